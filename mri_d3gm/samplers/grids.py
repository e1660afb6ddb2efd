"""Decreasing time grids from T over `steps` points, then 0: a solver evaluates the denoiser `steps` times.

Where a path starts at a point the log-SNR and the log-odds are infinite: there their clocks run from 0.99 T on.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mri_d3gm.dynamics.cocycle import time_at
from mri_d3gm.dynamics.path import Dynamics


def uniform(path: Dynamics, steps: int, t_start: float | None = None) -> Tensor:
    """Equal steps in t, (steps + 1,) float64."""
    return torch.linspace(path.T if t_start is None else t_start, 0, steps + 1, dtype=torch.float64)


def end_of_grid(path: Dynamics, usual: float) -> float:
    """The time before the jump to 0: `usual`, or the earlier one at which s / A is the path's `last_noise`, at least 0.0001.

    The jump returns the x0 estimate: of an x0 of variance v it keeps v / (1 + (s / A)^2 / v), however many steps came before.
    """
    noise = torch.tensor(path.last_noise**2, dtype=torch.float64)

    def left(t: Tensor) -> Tensor:
        return path.relative_variance(t) / path.A(t)

    if usual <= path.T and bool(left(torch.tensor(usual, dtype=torch.float64)) <= noise):
        return usual
    return min(usual, max(float(time_at(left, noise, path.end)), 0.0001))


def _spread(path: Dynamics, steps: int, t_start: float | None, t_min: float, clock: Callable[[Tensor], Tensor]) -> Tensor:
    start = path.T if t_start is None else t_start
    at_a_point = float(path.variance(torch.tensor(start, dtype=torch.float64))) == 0
    ends = torch.tensor([0.99 * start if at_a_point else start, min(t_min, start / 2)], dtype=torch.float64)
    first, last = (-clock(ends)).tolist()
    times = time_at(lambda t: -clock(t), torch.linspace(first, last, steps, dtype=torch.float64), ends[0])
    return torch.tensor([start, *times.tolist()[1:], 0.0], dtype=torch.float64)


def log_snr(path: Dynamics, steps: int, t_start: float | None = None, t_min: float | None = None) -> Tensor:
    """Equal steps in log(A^2 / s^2) from T (or t_start) to t_min (`end_of_grid` of 0.05; at most t_start / 2), then 0."""
    return _spread(path, steps, t_start, end_of_grid(path, 0.05) if t_min is None else t_min, path.log_snr)


def log_odds(path: Dynamics, steps: int, t_start: float | None = None, t_min: float | None = None) -> Tensor:
    """Equal steps in log(A / (1 - A)) from T (or t_start) to t_min (`end_of_grid` of 0.1; at most t_start / 2), then 0."""
    return _spread(path, steps, t_start, end_of_grid(path, 0.1) if t_min is None else t_min, path.log_odds)


GRIDS = {"uniform": uniform, "log-snr": log_snr, "log-odds": log_odds}
