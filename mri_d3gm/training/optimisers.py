"""How weights follow from gradients: which optimiser moves which of them, at which rate, in which arithmetic."""

import math
import time
from typing import Any

import torch
from torch import Tensor

from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.training.muon import Muon


def optimisers(denoiser: Denoiser, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Muon for inner convolutions; AdamW (lr / 10) for first, last and depthwise ones, those of at most 8 outputs, the rest.

    Muon is left out where nothing is for it.
    """
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
    return [Muon(matrices, lr=lr), adam] if matrices else [adam]


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


class Optimisation:
    """A denoiser's optimisers and the moving average `ema` of its weights, which is what a training keeps; buffers are kept as
    they are.

    lr: highest rate of Muon; AdamW's is a tenth of it. decay: of the moving average, in the long run.
    """

    def __init__(self, denoiser: Denoiser, lr: float, weight_decay: float, decay: float) -> None:
        self.denoiser, self.lr, self.decay = denoiser, lr, decay
        self.solvers = optimisers(denoiser, lr, weight_decay)
        self.ema = {name: value.detach().clone() for name, value in denoiser.state_dict().items()}
        for parameter in denoiser.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on."""
        solvers = [solver.state_dict() for solver in self.solvers]
        return {"denoiser": self.denoiser.state_dict(), "ema": self.ema, "solvers": solvers}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, wherever its tensors are."""
        self.denoiser.load_state_dict(state["denoiser"])
        self.ema = {name: state["ema"][name].to(value.device) for name, value in self.ema.items()}
        for solver, saved in zip(self.solvers, state["solvers"], strict=True):
            solver.load_state_dict(saved)

    def step(self, step: int, steps: int) -> float:
        """Move the weights by their gradients, clipped at 1, and the average after them; the rate of step number `step`."""
        scale = min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        for solver in self.solvers:
            for group in solver.param_groups:
                group["lr"] = scale * (self.lr if isinstance(solver, Muon) else self.lr / 10)
            solver.step()
        decay = min(self.decay, (step + 1) / (step + 10))
        state, names = self.denoiser.state_dict(), [name for name, _ in self.denoiser.named_parameters(remove_duplicate=False)]
        torch._foreach_lerp_([self.ema[name] for name in names], [state[name] for name in names], 1 - decay)
        for name in state.keys() - set(names):
            self.ema[name].copy_(state[name])
        return self.lr * scale

    def fault(self) -> str | None:
        """What is wrong with the weights, if anything; buffers aside, which may be infinite masks and large constants."""
        weights = dict(self.denoiser.named_parameters(remove_duplicate=False))
        averages = [self.ema[name] for name in weights]
        if not all(bool(value.isfinite().all()) for value in (*weights.values(), *averages)):
            return "its weights are not finite"
        if all(bool(value.half().isfinite().all()) for value in averages if value.is_floating_point()):
            return None
        return "its weights are above 65504, the most that the float16 they are saved as can hold"

    def averaged(self) -> Denoiser:
        """A denoiser with the averaged weights, on the CPU."""
        averaged = Denoiser(**self.denoiser.config)
        averaged.load_state_dict(self.ema)
        return averaged
