"""The training loop: every batch follows from the step's number alone, so a resumed run repeats the losses, and so does one in
several processes, but for rounding that depends on where in memory matrices lie.
"""

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import torch
from monai.data import Dataset
from torch import Tensor
from torch.utils.data import DataLoader

from mri_d3gm import __version__
from mri_d3gm.errors import InputError, beneath, in_a_line, memory_said, place
from mri_d3gm.networks.channels import for_each
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import check_channels, load_network, save_weights
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.runs.record import files_hash
from mri_d3gm.training import processes
from mri_d3gm.training.checkpoint import claimed, diverged, resumed, save_checkpoint
from mri_d3gm.training.interrupt import caught, leave_to_parent
from mri_d3gm.training.limits import OWN, TRAINER, check_numbers, check_simulated
from mri_d3gm.training.log import Log
from mri_d3gm.training.objective import OBJECTIVES, error_loss, reconstruction_loss, time_weight
from mri_d3gm.training.optimisers import Optimisation, fast_precision
from mri_d3gm.training.processes import everyones, from_first, highest, leads, mean_of_parts, process_group, share, together
from mri_d3gm.training.replay import Replayed
from mri_d3gm.training.simulate import Case, Scene
from mri_d3gm.training.sources import Example, digest
from mri_d3gm.training.teacher import target

VALIDATION_SEED = 2**40
GO_ON, OVER, STOPPED = range(3)
OPTIONS = ("steps", "lr", "weight_decay", "objective", "squared", "spread_after", "early", "ema", "precision", "parts")
PRECISIONS = ("auto", "float32", "bfloat16")
StepProgress = Callable[[int, int, float], None]  # (step, steps, loss)


class Trained(NamedTuple):
    """What a training left: its weights, after `steps` of the `of` steps of its schedule."""

    weights: Path
    steps: int
    of: int
    stopped_early: bool


@dataclass(repr=False)  # which would print every slice
class Trainer:
    """Trains `denoiser` on `slices` and leaves checkpoint.pt, log.csv and weights.safetensors in `folder`.

    simulate: (slices, seed) to one batch, such as `simulate.draw_scene` with its keywords bound. steps: length of the
    schedule. spread_after: part of it after which the share `early` of the samples leaves T, uniform in t.
    max_minutes: stop earlier and resume at the next call. precision: auto, float32 or bfloat16. command, sources: for the
    record in the weights. initial: file that the denoiser started from. teacher: weights as in
    `training.teacher`. parts: batches of `simulate` that a step is the mean of; processes share them.
    """

    denoiser: Denoiser
    slices: Sequence[Example]
    validation: Sequence[Example]
    folder: str
    simulate: Callable[[Sequence[Example], int], Case | Scene]
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
    initial: str | None = None
    teacher: str | None = None
    parts: int = 1

    def _seed(self, step: int, part: int) -> int:
        """That of a batch; its times, its noise and what the network draws have seeds of 2**20, 2**21 and 3 * 2**20 more."""
        return self.seed * 2**32 + part * 2**22 + step

    def _batch(self, step: int) -> list[Case | Scene]:
        """The parts of a step that are this process's."""
        return [self.simulate(self.slices, self._seed(step, part)) for part in share(self.parts)]

    def _loss(
        self,
        x: Tensor,
        t: Tensor,
        aim: Tensor,
        image: Tensor,
        mu: Tensor,
        measurement: Measurement,
        *,
        dtype: torch.dtype,
    ) -> Tensor:
        """The loss of estimates against `aim` at times t, all on the device; its gradients go to the parameters' grad."""
        with self._autocast(dtype):
            estimates = self.denoiser.estimates(x, t, mu, measurement)
        importance = time_weight(self.denoiser.path, t, self.denoiser.sigma_r, self.objective)
        loss = reconstruction_loss(estimates.images, aim, importance, self.squared)
        if estimates.error is not None:
            loss = loss + 0.01 * error_loss(estimates.images[-1], estimates.error, image)
        parameters = list(self.denoiser.parameters())
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        torch._foreach_copy_([parameter.grad for parameter in parameters], list(gradients))  # type: ignore[misc]
        return loss.detach()

    def _state_at_time(self, case: Case, step: int, part: int = 0) -> tuple[Tensor, Tensor]:
        """Times (batch,) and x_t: at T without noise before the spread; after it some at T with noise, others earlier."""
        path, count = self.denoiser.path, len(case.mu)
        t = path.last(count)
        if step < self.spread_after * self.steps:
            return t, path.noise_free(case.mu)
        generator = torch.Generator().manual_seed(self._seed(step, part) + 2**20)
        early = torch.rand(count, generator=generator) < self.early
        t = torch.where(early, path.T * (torch.rand(count, generator=generator, dtype=torch.float64) * 0.98 + 0.01), t)
        there = torch.Generator(self.device).manual_seed(self._seed(step, part) + 2**21)
        noise = torch.randn(case.mu.shape, dtype=case.mu.dtype, device=self.device, generator=there)
        noise = noise * (math.sqrt(2) if noise.is_complex() else 1)
        A, B, s = (for_each(c, case.mu) for c in (path.A(t), path.B(t), path.s(t)))
        return t, A * case.image + B * case.mu + s * noise

    @property
    def _on_gpu(self) -> bool:
        return torch.device(self.device).type == "cuda"

    @property
    def replays(self) -> bool:
        """Whether a GPU may record steps as CUDA graphs: not those of a network that says `waits`."""
        return not getattr(self.denoiser.net, "waits", False)

    def _autocast(self, dtype: torch.dtype) -> Any:
        return torch.autocast(torch.device(self.device).type, dtype) if dtype is not torch.float32 else nullcontext()

    @torch.no_grad()
    def validate(self, ema: dict[str, Tensor], count: int = 8) -> float:
        """Mean gain in dB over zero-filled, one evaluation at T, on fixed cases of the validation slices.

        Processes share the cases.
        """
        held = {name: value.clone() for name, value in self.denoiser.state_dict().items()}
        self.denoiser.load_state_dict(ema)
        self.denoiser.eval()
        gains: dict[int, list[float]] = {}
        for index in share(count):
            case = self.simulate(self.validation, VALIDATION_SEED + index).on(self.device)
            estimate = self.denoiser.at_the_end(case.measurement, mu=case.mu).images[-1]
            images = (case.mu, estimate)
            before, after = ((i.abs() - case.image.abs()).square().flatten(1).mean(1).clamp_min(1e-7) for i in images)
            gains[index] = (10 * (before / after).log10()).tolist()
        self.denoiser.train()
        self.denoiser.load_state_dict(held)
        found = [gain for _, some in sorted(pair for one in everyones(gains) for pair in one.items()) for gain in some]
        return sum(found) / len(found)

    def options(self) -> dict[str, Any]:
        """What decides the numbers of a run, by the names that configurations give it; plain values, as JSON has them."""
        drawn = "\n".join(f"{item.name} {item.weight} {tuple(item.image.shape)}" for item in self.slices)
        values = {
            "sources": self.sources,
            "data": f"{len(self.slices)} examples ({crc32(drawn.encode()):08x})",
            "pixels of the data": digest(self.slices),
            "seed": self.seed,
            "initial": _named(self.initial),
            "teacher": _named(self.teacher),
            "train#simulate": getattr(self._simulator, "__qualname__", type(self._simulator).__qualname__),
        }
        for name, value in self.denoiser.config.items():
            parts = {f"{name}#{part}": given for part, given in value.items()} if isinstance(value, dict) else {name: value}
            values |= {f"network_def#{part}": given for part, given in parts.items()}
        values |= {f"train#trainer#{name}": getattr(self, name) for name in OPTIONS}
        values |= {f"train#simulate#{name}": value for name, value in self._simulated().items()}
        return json.loads(json.dumps(values, default=str))

    @property
    def _simulator(self) -> Callable[..., Case | Scene]:
        """`simulate` without the keywords bound to it."""
        return getattr(self.simulate, "func", self.simulate)

    def _simulated(self) -> dict[str, Any]:
        """Keywords of `simulate`, bound ones and defaults."""
        defaults = {name: given.default for name, given in signature(self.simulate).parameters.items()}
        values = defaults | getattr(self.simulate, "keywords", {})
        return {name: value for name, value in values.items() if value is not Parameter.empty}

    def check(self) -> None:
        """InputError for what could not be trained."""
        if not self.slices:
            raise InputError("no training slices: every source was empty")
        if not any(item.weight > 0 for item in self.slices):
            raise InputError("no training slices: every source has weight 0")
        check_numbers(vars(self), OWN)
        check_numbers(vars(self), TRAINER, "train#trainer#")
        if getattr(self._simulator, "__module__", "").startswith("mri_d3gm."):
            check_simulated(self._simulated())
        for name, choices in (("objective", OBJECTIVES), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"train#trainer#{name}: must be one of {', '.join(choices)}, not {value}")
        started = processes.count()
        if self.parts < started:
            raise InputError(
                f"train#trainer#parts: {self.parts}, too few for {started} processes; start fewer, or a new training"
            )
        if self.teacher is not None:
            needed = self.denoiser.config["options"].get("channels", 2)
            check_channels(self.teacher, load_network(self.teacher, self.device), needed)

    def run(self, progress: StepProgress | None = None) -> Trained:
        """Train to the end of the schedule or of max_minutes, from the checkpoint in `folder` if there is one.

        A run that has reached the end is left as it is, its files too; one that is interrupted is saved first. progress: called
        after each step with the steps done, those of the schedule and the loss. InputError where the folder cannot be written,
        is in use, or holds a run with other `options`. Of several processes the first alone touches the folder and calls
        progress.
        """
        folder = Path(self.folder)
        weights = folder / "weights.safetensors"
        with process_group(), ExitStack() as kept:

            def begin() -> dict[str, Any]:
                self.check()
                if leads():
                    kept.enter_context(claimed(folder))
                return self.options()

            def found() -> dict[str, Any]:
                if options != first:
                    raise InputError("the processes of this training were given different data or options")
                new: dict[str, Any] = {"step": 0, "seconds": 0.0, "precision": self.precision}
                return new | (resumed(folder, options) if leads() else {}) | {"options": options}

            options = together(begin)
            first = from_first(options)
            state = from_first(together(found))
            if from_first(state["step"] < self.steps or not weights.exists()):
                state = self._train(folder, state, progress)
        return Trained(weights, state["step"], self.steps, state["step"] < self.steps)

    def _train(self, folder: Path, state: dict[str, Any], progress: StepProgress | None) -> dict[str, Any]:
        """Train from `state`, which holds no weights for a new run, and save; the state at the end without them.

        InputError where the loss is not finite any more; the last checkpoint stays.
        """
        started = saved = time.monotonic()
        optimisation = together(lambda: self._optimisation(state))
        state = {name: state[name] for name in ("step", "seconds", "precision", "options")}
        before = state["seconds"]
        if state["precision"] == "auto":
            state["precision"] = from_first(str(fast_precision(torch.device(self.device)))).removeprefix("torch.")
        loss = partial(self._loss, dtype=getattr(torch, state["precision"]))
        gradients = Replayed(loss) if self._on_gpu and self.replays else loss
        signals = (signal.SIGINT, signal.SIGTERM) if processes.count() > 1 else (signal.SIGINT,)
        keep = closing(Log(folder if leads() else None, state["step"]))
        with keep as log, caught(*signals) as came, self._first_step_said(state):

            def save() -> None:
                log.flush()
                state["seconds"] = before + time.monotonic() - started
                if leads():
                    fault = optimisation.fault()
                    if fault is not None:
                        diverged(folder, state["step"], fault)
                    self._save(folder, optimisation, state)

            end = GO_ON
            try:
                for parts in self._batches(state["step"]):
                    over = time.monotonic() - started > 60 * self.max_minutes
                    end = highest(STOPPED if came else OVER if over else GO_ON)
                    if end != GO_ON:
                        break
                    log.write(self._step(parts, state["step"], gradients, optimisation))
                    state["step"] += 1
                    if not self._on_gpu:
                        log.flush()
                    if not log.finite:
                        together(partial(diverged, folder, state["step"], "its loss is not finite"))
                    if progress is not None and leads():
                        progress(state["step"], self.steps, log.loss)
                    if time.monotonic() - saved > self.checkpoint_seconds:
                        save()
                        saved = time.monotonic()
                together(save)
            except KeyboardInterrupt:
                save()
                raise
        if end == STOPPED:
            raise KeyboardInterrupt if leads() else SystemExit(130)
        return state

    @contextmanager
    def _first_step_said(self, state: dict[str, Any]) -> Iterator[None]:
        """Whatever goes wrong in the first step of this block becomes an InputError: networks and cases can have any size."""
        first = state["step"]
        try:
            with memory_said():
                yield
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if state["step"] > first:
                raise
            said = beneath(error)
            if said is not None:
                raise said from None
            problem = f"the first step fails, {in_a_line(error)} ({place(error)})"
            raise InputError(f"{problem}; see there, or network_def and train#simulate in the configuration") from error

    def _optimisation(self, state: dict[str, Any]) -> Optimisation:
        self.denoiser.to(self.device).train()
        optimisation = Optimisation(self.denoiser, self.lr, self.weight_decay, self.ema)
        if "denoiser" in state:
            try:
                optimisation.load(state)
            except (RuntimeError, ValueError, KeyError) as error:
                raise InputError(
                    f"{self.folder}: holds another network's training; give another -o, or remove the folder"
                ) from error
        return optimisation

    def _batches(self, step: int) -> Iterable[list[Case | Scene]]:
        """Batches from `step` to the end of the schedule; for a GPU the other cores draw them ahead, shared by its machine's
        processes.
        """
        batches = Dataset(data=range(step, self.steps), transform=self._batch)
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if processes.count() > 1 else 1
        workers = max((os.cpu_count() or 1) // beside - 1, 0) if self._on_gpu else 0
        return DataLoader(batches, batch_size=None, num_workers=workers, worker_init_fn=leave_to_parent)

    def _losses(self, parts: Iterable[Case | Scene], step: int, gradients: Callable[..., Tensor]) -> Iterator[Tensor]:
        """The loss of each of this process's parts of a step; its gradients are the parameters' grad until the next."""
        teacher = None if self.teacher is None else load_network(self.teacher, self.device)
        for part, batch in zip(share(self.parts), parts, strict=True):
            case = batch.on(self.device)
            t, x = self._state_at_time(case, step, part)
            aim = target(case, teacher, t, step + part)
            torch.manual_seed(self._seed(step, part) + 3 * 2**20)
            yield gradients(x, t.to(self.device), aim, case.image, case.mu, case.measurement)

    def _step(
        self, parts: list[Case | Scene], step: int, gradients: Callable[..., Tensor], optimisation: Optimisation
    ) -> dict[str, Any]:
        """One step, and its row of the log."""
        losses = self._losses(parts, step, gradients)
        if self.parts == 1:
            loss = next(losses)
        else:
            loss = mean_of_parts(losses, [p.grad for p in self.denoiser.parameters() if p.grad is not None], self.parts)
        row: dict[str, Any] = {"step": step, "loss": loss, "lr": optimisation.step(step, self.steps)}
        if self.validation and ((step + 1) % self.validate_every == 0 or step + 1 == self.steps):
            row["gain_db"] = self.validate(optimisation.ema)
        return row

    def _save(self, folder: Path, optimisation: Optimisation, state: dict[str, Any]) -> None:
        """The checkpoint, and the weights with their record."""
        save_checkpoint(folder / "checkpoint.pt", state | optimisation.state())
        record = {
            "steps": state["step"],
            "of": self.steps,
            "seconds": round(state["seconds"]),
            "command": self.command,
            "sources": self.sources,
            "initial": _named(self.initial),
            "teacher": _named(self.teacher),
            "precision": state["precision"],
            "seed": self.seed,
            "lr": self.lr,
            "objective": self.objective,
            "squared": self.squared,
            "parts": self.parts,
            "versions": {"mri-d3gm": __version__, "torch": str(torch.__version__)},
        }
        save_weights(folder / "weights.safetensors", optimisation.averaged(), record)


def _named(path: str | None) -> str | None:
    """The name of a file of weights and a part of its hash."""
    return path and f"{Path(path).name} ({files_hash([path])[:8]})"
