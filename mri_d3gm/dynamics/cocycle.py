"""The cocycle property, phi(t, s; w) = phi(t - s, 0; theta_s w) (Proposition 1), and measure preservation, measured.

Paths are linear, so the property holds in a clock exactly when the transition's law, gain, coefficient of mu and variance,
depends on the length of an interval in that clock and not on where it begins.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics

Clock = Callable[[Tensor], Tensor]
TICKS = 20


def own_clock(path: Dynamics) -> tuple[str, Clock]:
    """The one clock in which a path's gain can depend on lengths alone, u = -log A_t (D3GM's Theta_t), and its name; where A
    stays 1 that of its noise, s_t^2.
    """
    if float(path.A(path.end)) == 1:
        return "s^2", path.variance
    return "-log A", lambda t: -path.A(t).log()


def last_time(path: Dynamics) -> Tensor:
    """T, or 0.99 T where the path starts at a point and its clock does not end."""
    return path.end if path.start()[1] > 0 else 0.99 * path.end


def time_at(clock: Clock, values: Tensor, end: Tensor) -> Tensor:
    """Times in [0, end] at which an increasing clock shows `values`, float64, by bisection."""
    low, high = torch.zeros_like(values), end.expand_as(values)
    for _ in range(60):
        middle = (low + high) / 2
        below = clock(middle) < values
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def cocycle_deviation(path: Dynamics, clock: Clock) -> float:
    """Largest relative spread, 1 - smallest / largest, of the transition's gain, coefficient of mu or variance over intervals
    of one length in the clock that begin at different times; 0 where the cocycle property holds.
    """
    ticks, worst = _ticks(path, clock), 0.0
    for length in range(1, TICKS):
        law = path.transition(ticks[:-length], ticks[length:])
        worst = max(worst, *(_spread(coefficient) for coefficient in (law.x, law.mu, law.variance)))
    return worst


def invariance_deviation(path: Dynamics) -> float:
    """How far transitions move the start law N(m mu, sigma^2 I): the largest change of m or, relative, of sigma^2; 0 where the
    dynamics preserves this measure, infinite where it starts at a point.
    """
    (mean, sigma), ticks = path.start(), _ticks(path, lambda t: t)
    if sigma == 0:
        return math.inf
    early, late = torch.triu_indices(TICKS + 1, TICKS + 1, 1)
    law = path.transition(ticks[early], ticks[late])
    moved, widened = law.x * mean + law.mu - mean, law.x**2 + law.variance / sigma**2 - 1
    return float(torch.stack([moved, widened]).abs().max())


def _ticks(path: Dynamics, clock: Clock) -> Tensor:
    end = last_time(path)
    return time_at(clock, torch.linspace(0, 1, TICKS + 1, dtype=torch.float64) * clock(end), end)


def _spread(values: Tensor) -> float:
    largest = float(values.abs().max())
    return float(values.max() - values.min()) / largest if largest > 0 else 0.0
