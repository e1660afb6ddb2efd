"""What every solver takes, and the step that they share."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics, Gaussian

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[Tensor], Tensor]
Hook = Callable[[Tensor], Tensor]


def identity(x0: Tensor) -> Tensor:
    """No measurement to agree with."""
    return x0


class Solver(Protocol):
    """Reverse process over decreasing times that end at 0.

    denoise(x, t) estimates x0, on_x0 brings the estimate into agreement with a measurement, noise(like) draws standard
    normals; the last step returns the x0 estimate, where the log-SNR is infinite.
    """

    def __call__(
        self, path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook = identity
    ) -> Tensor: ...


def estimate(denoise: Denoise, on_x0: Hook, x: Tensor, t: Tensor) -> Tensor:
    """The consistent x0 estimate of a batch at one time."""
    return on_x0(denoise(x, t.expand(len(x))))


def step(law: Gaussian, x: Tensor, x0: Tensor, mu: Tensor, noise: Noise) -> Tensor:
    """A draw from a conditional law; no noise is drawn where its variance is 0."""
    mean = float(law.x) * x + float(law.x0) * x0 + float(law.mu) * mu
    deviation = float(law.variance) ** 0.5
    return mean + deviation * noise(x) if deviation > 0 else mean


def pairs(times: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(later, earlier) for every step."""
    if times.ndim != 1 or len(times) < 2 or not bool((times[1:] < times[:-1]).all()):
        raise ValueError("times must be a decreasing grid of at least two points")
    return list(zip(times[:-1].to(torch.float64), times[1:].to(torch.float64), strict=True))
