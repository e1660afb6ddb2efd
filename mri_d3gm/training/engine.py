"""The training loop: every batch follows from the step's number alone, so a resumed run repeats the losses."""

import csv
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset
from torch import Tensor
from torch.utils.data import DataLoader

from mri_d3gm.errors import InputError
from mri_d3gm.networks.channels import for_each
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import load_weights, save_weights
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.training.checkpoint import load_checkpoint, save_checkpoint
from mri_d3gm.training.muon import Muon
from mri_d3gm.training.objective import error_loss, reconstruction_loss, time_weight
from mri_d3gm.training.replay import Replayed
from mri_d3gm.training.simulate import Case, Scene
from mri_d3gm.training.sources import Slice

VALIDATION_SEED = 2**40


def optimisers(denoiser: Denoiser, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for inner convolutions; AdamW (lr / 10) for first, last and depthwise ones, those of at most 8 outputs, the rest."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in denoiser.named_parameters():
        inner = (
            parameter.ndim == 4
            and len(parameter) > 8
            and parameter.shape[1] > 1
            and not name.endswith(("first.weight", "last.weight"))
        )
        (matrices if inner else others).append(parameter)
    adam = torch.optim.AdamW(others, lr=lr / 10, betas=(0.9, 0.98), weight_decay=weight_decay)
    return [Muon(matrices, lr=lr), adam]


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where a 3 x 3 convolution runs at least 1.3 times as fast with it on `device`, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    layer = torch.nn.Conv2d(32, 32, 3, padding=1)
    image = torch.randn(2, 32, 32, 160).to(memory_format=torch.channels_last)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
            layer(image).float().sum().backward()
            start = time.perf_counter()
            for _ in range(5):
                layer(image).float().sum().backward()
            seconds[dtype] = time.perf_counter() - start
    return torch.bfloat16 if 1.3 * seconds[torch.bfloat16] < seconds[torch.float32] else torch.float32


def seeded_denoiser(seed: int, initial: str | None = None, **config: Any) -> Denoiser:
    """A denoiser whose first weights follow from the seed, or are those of the file `initial`, whose config then holds.

    Options of the network that the file lacks or has otherwise are taken from here; what they add follows from the seed.
    Blocks beyond the file's are copies of its last one that at first change nothing: the layers named `last` start at zero.
    """
    torch.manual_seed(seed)
    if initial is None:
        return Denoiser(**config)
    known = load_weights(initial)[0]
    grown = Denoiser(**known.config | {"options": known.config["options"] | (config.get("options") or {})})
    state = known.state_dict()
    first, count = (denoiser.config["options"].get("blocks", 0) for denoiser in (known, grown))
    for name in [name for name in state if name.startswith(f"net.blocks.{first - 1}.") and ".last." not in name]:
        state |= {name.replace(f".{first - 1}.", f".{index}.", 1): state[name] for index in range(first, count)}
    grown.load_state_dict(state, strict=False)
    return grown


@dataclass
class Trainer:
    """Trains `denoiser` on `slices` and leaves checkpoint.pt, log.csv and weights.safetensors in `folder`.

    simulate: (slices, seed) to one batch, such as `simulate.draw_scene` with its keywords bound. steps: length of the
    schedule. spread_after: part of it after which the share `early` of the samples leaves T, uniform in t.
    max_minutes: stop earlier and resume at the next call. precision: auto, float32 or bfloat16.
    """

    denoiser: Denoiser
    slices: Sequence[Slice]
    validation: Sequence[Slice]
    folder: str
    simulate: Callable[[Sequence[Slice], int], Case | Scene]
    steps: int = 5000
    lr: float = 0.01
    weight_decay: float = 0.01
    objective: str = "x0"
    squared: bool = False
    spread_after: float = 0.6
    early: float = 0.5
    ema: float = 0.995
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    max_minutes: float = math.inf
    validate_every: int = 500
    checkpoint_seconds: float = 60.0
    command: str = ""
    sources: Any = None
    max_epochs: int = 1

    def _batch(self, step: int) -> Case | Scene:
        return self.simulate(self.slices, self.seed * 2**32 + step)

    def _loss(
        self, dtype: torch.dtype, x: Tensor, t: Tensor, image: Tensor, mu: Tensor, measurement: Measurement
    ) -> Tensor:
        """The loss of a batch at times t, all on the device; its gradients go to the parameters' grad."""
        with self._autocast(dtype):
            estimates = self.denoiser.estimates(x, t, mu, measurement)
        importance = time_weight(self.denoiser.path, t, self.denoiser.sigma_r, self.objective)
        loss = reconstruction_loss(estimates.images, image, importance, self.squared)
        if estimates.error is not None:
            loss = loss + 0.01 * error_loss(estimates.images[-1], estimates.error, image)
        parameters = list(self.denoiser.parameters())
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        torch._foreach_copy_([parameter.grad for parameter in parameters], list(gradients))  # type: ignore[misc]
        return loss.detach()

    def _state_at_time(self, case: Case, step: int) -> tuple[Tensor, Tensor]:
        """Times (batch,) and x_t: at T without noise before the spread; after it some at T with noise, others earlier."""
        path, count = self.denoiser.path, len(case.mu)
        t = torch.full((count,), float(path.T), dtype=torch.float64)
        if step < self.spread_after * self.steps:
            return t, path.noise_free(case.mu)
        generator = torch.Generator().manual_seed(self.seed * 2**32 + step + 2**20)
        early = torch.rand(count, generator=generator) < self.early
        t = torch.where(early, torch.rand(count, generator=generator, dtype=torch.float64) * 0.98 + 0.01, t)
        there = torch.Generator(self.device).manual_seed(self.seed * 2**32 + step + 2**21)
        noise = torch.randn(case.mu.shape, dtype=case.mu.dtype, device=self.device, generator=there)
        noise = noise * (math.sqrt(2) if noise.is_complex() else 1)
        A, B, s = (for_each(c, case.mu) for c in (path.A(t), path.B(t), path.s(t)))
        return t, A * case.image + B * case.mu + s * noise

    def _autocast(self, dtype: torch.dtype) -> Any:
        return torch.autocast(torch.device(self.device).type, dtype) if dtype is not torch.float32 else nullcontext()

    @torch.no_grad()
    def validate(self, ema: dict[str, Tensor], count: int = 8) -> float:
        """Mean gain in dB over zero-filled, one evaluation at T, on fixed cases of the validation slices."""
        held = {name: value.clone() for name, value in self.denoiser.state_dict().items()}
        self.denoiser.load_state_dict(ema)
        gains = []
        for index in range(count):
            case = self.simulate(self.validation, VALIDATION_SEED + index).on(self.device)
            estimate = self.denoiser.at_the_end(case.measurement, mu=case.mu).images[-1]
            images = (case.mu, estimate)
            before, after = ((i.abs() - case.image.abs()).square().flatten(1).mean(1).clamp_min(1e-7) for i in images)
            gains += (10 * (before / after).log10()).tolist()
        self.denoiser.load_state_dict(held)
        return sum(gains) / len(gains)

    def run(self) -> None:
        """Train to the end of the schedule or of max_minutes, from the checkpoint in `folder` if there is one.

        A run that has reached the end is left as it is, its files too.
        """
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if not self.slices:
            raise InputError("no training slices: every source was empty")
        started = time.monotonic()
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.denoiser.to(self.device).train()
        solvers = optimisers(self.denoiser, self.lr, self.weight_decay)
        ema = {name: value.detach().clone() for name, value in self.denoiser.state_dict().items()}
        state: dict[str, Any] = {"step": 0, "seconds": 0.0, "precision": self.precision}
        checkpoint = folder / "checkpoint.pt"
        if checkpoint.exists():
            state = load_checkpoint(checkpoint)
            if state["step"] >= self.steps and (folder / "weights.safetensors").exists():
                return
            self.denoiser.load_state_dict(state["denoiser"])
            ema = {name: value.to(self.device) for name, value in state["ema"].items()}
            for solver, saved in zip(solvers, state["solvers"], strict=True):
                solver.load_state_dict(saved)
        if state["precision"] == "auto":
            state["precision"] = str(fast_precision(torch.device(self.device))).removeprefix("torch.")
        dtype = getattr(torch, state["precision"])
        step, before, saved_at = int(state["step"]), float(state["seconds"]), time.monotonic()

        def save() -> None:
            logs.flush()
            save_checkpoint(
                checkpoint,
                {
                    "step": step,
                    "seconds": before + time.monotonic() - started,
                    "precision": state["precision"],
                    "denoiser": self.denoiser.state_dict(),
                    "ema": ema,
                    "solvers": [solver.state_dict() for solver in solvers],
                },
            )
            trained = Denoiser(**self.denoiser.config)
            trained.load_state_dict(ema)
            seconds = round(before + time.monotonic() - started)
            record = {"steps": step, "of": self.steps, "seconds": seconds, "command": self.command, "sources": self.sources}
            save_weights(folder / "weights.safetensors", trained, record)

        for parameter in self.denoiser.parameters():
            parameter.grad = torch.zeros_like(parameter)
        on_gpu = torch.device(self.device).type == "cuda"
        gradients = Replayed(partial(self._loss, dtype)) if on_gpu else partial(self._loss, dtype)
        batches = Dataset(data=range(step, self.steps), transform=self._batch)
        loader = DataLoader(batches, batch_size=None, num_workers=(os.cpu_count() or 1) - 1 if on_gpu else 0)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        logs = _Logs(folder, step)
        with Progress(*columns) as progress:
            bar = progress.add_task("training", total=self.steps, completed=step)
            for batch in loader:
                if time.monotonic() - started > 60 * self.max_minutes:
                    break
                case = batch.on(self.device)
                t, x = self._state_at_time(case, step)
                scale = min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / self.steps)) / 2)
                for solver, lr in zip(solvers, (self.lr, self.lr / 10), strict=True):
                    for group in solver.param_groups:
                        group["lr"] = lr * scale
                loss = gradients(x, t.to(self.device), case.image, case.mu, case.measurement)
                torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
                for solver in solvers:
                    solver.step()
                decay = min(self.ema, (step + 1) / (step + 10))
                torch._foreach_lerp_(list(ema.values()), list(self.denoiser.state_dict().values()), 1 - decay)
                row: dict[str, Any] = {"step": step, "loss": loss, "lr": self.lr * scale}
                step += 1
                if self.validation and (step % self.validate_every == 0 or step == self.steps):
                    row["gain_db"] = self.validate(ema)
                logs.write(row)
                if not on_gpu:
                    logs.flush()
                progress.update(bar, completed=step, description=f"loss {logs.loss:.4f}")
                if time.monotonic() - saved_at > self.checkpoint_seconds:
                    save()
                    saved_at = time.monotonic()
        save()
        logs.close()


class _Logs:
    """log.csv, and TensorBoard events where tensorboard is installed; rows from `step` on are written anew, and lines that a
    crash filled with zeros are left out.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / "log.csv"
        kept = []
        if path.exists():
            with open(path, newline="") as file:
                whole = csv.DictReader(line for line in file if "\0" not in line)
                kept = [row for row in whole if int(row["step"]) < step]
        self.file = open(path, "w", newline="")  # noqa: SIM115
        self.writer = csv.DictWriter(self.file, ["step", "loss", "lr", "gain_db"])
        self.writer.writeheader()
        self.writer.writerows(kept)
        self.held: dict[str, Any] | None = None
        self.loss = math.nan
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        except ImportError:
            self.board = None

    def write(self, row: dict[str, Any]) -> None:
        """Keep a row and write the one before, whose loss, a tensor, a GPU has ready by now."""
        self.flush()
        self.held = row

    def flush(self) -> None:
        """Write the row that is kept."""
        if self.held is None:
            return
        row = self.held | {"loss": self.held["loss"].item()}
        self.held, self.loss = None, row["loss"]
        self.writer.writerow(row)
        self.file.flush()
        if self.board is not None:
            for name in set(row) - {"step"}:
                self.board.add_scalar(name, row[name], int(row["step"]))

    def close(self) -> None:
        self.flush()
        self.file.close()
        if self.board is not None:
            self.board.close()
