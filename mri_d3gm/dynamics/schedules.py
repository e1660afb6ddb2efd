"""The five schedules of the paper's Table 2: Theta_t = integral of theta from 0 to t, on [0, 1].

Each is given up to the overall factor that a path chooses so that A_T = exp(-Theta_T) = a_T. The exponents' minus
signs and the constant of the logarithmic schedule, which the print lacks, are put in so that Theta_0 = 0.
"""

import math
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """Theta at t (float64, any shape) up to a factor; theta shapes the cosine, k the logarithmic schedule alone."""

    def __call__(self, t: Tensor, *, theta: float, k: float) -> Tensor: ...


def constant(t: Tensor, *, theta: float, k: float) -> Tensor:
    """theta_t constant: Theta = t."""
    return t


def linear(t: Tensor, *, theta: float, k: float) -> Tensor:
    """theta_t = t: Theta = t^2 / 2."""
    return t**2 / 2


def quadratic(t: Tensor, *, theta: float, k: float) -> Tensor:
    """theta_t = t^2: Theta = t^3 / 3."""
    return t**3 / 3


def cosine(t: Tensor, *, theta: float, k: float) -> Tensor:
    """theta_t = 1 - cos(theta t): Theta = t - sin(theta t) / theta, kept from rounding below 0."""
    return (t - torch.sin(theta * t) / theta).clamp_min(0)


def logarithmic(t: Tensor, *, theta: float, k: float) -> Tensor:
    """theta_t a sigmoid of slope k: Theta = [log(1 + e^{kt}) - log 2] / k."""
    return (torch.nn.functional.softplus(k * t) - math.log(2)) / k


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "quadratic": quadratic,
    "cosine": cosine,
    "logarithmic": logarithmic,
}
