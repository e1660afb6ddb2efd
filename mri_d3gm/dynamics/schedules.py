"""The five schedules of the paper's Table 2: Theta_t = integral of theta from 0 to t, on [0, 1].

Each is given up to the overall factor that a path chooses so that A_T = exp(-Theta_T) = a_T. The exponents' minus
signs and the constant of the logarithmic schedule, which the print lacks, are put in so that Theta_0 = 0.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Schedule = Callable[[Tensor], Tensor]


def constant(t: Tensor) -> Tensor:
    """theta constant: Theta = t."""
    return t


def linear(t: Tensor) -> Tensor:
    """theta = t: Theta = t^2 / 2."""
    return t**2 / 2


def quadratic(t: Tensor) -> Tensor:
    """theta = t^2: Theta = t^3 / 3."""
    return t**3 / 3


def cosine(t: Tensor, frequency: float = math.pi) -> Tensor:
    """theta = 1 - cos(frequency t): Theta = t - sin(frequency t) / frequency."""
    return t - torch.sin(frequency * t) / frequency


def logarithmic(t: Tensor, k: float = 10.0) -> Tensor:
    """theta a sigmoid of slope k: Theta = [log(1 + e^{kt}) - log 2] / k."""
    return (torch.nn.functional.softplus(k * t) - math.log(2)) / k


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "quadratic": quadratic,
    "cosine": cosine,
    "logarithmic": logarithmic,
}
