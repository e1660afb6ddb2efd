"""The reverse process step by step."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers.grids import GRIDS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.samplers.solver import Denoise, Solver


def trajectory(
    path: Dynamics,
    denoise: Denoise,
    mu: Tensor,
    solver: Solver,
    steps: int,
    seeds: Sequence[int],
    *,
    grid: str = "log-odds",
    **options: Any,
) -> tuple[Tensor, list[Tensor]]:
    """Times from T to 0, (steps + 1,), and the state at each, of mu's shape; arguments are those of `sample`."""
    states: list[Tensor] = []

    def seen(x: Tensor, t: Tensor) -> Tensor:
        states.append(x)
        return denoise(x, t)

    x0, _ = sample(path, seen, mu, solver, steps, seeds, grid=grid, **options)
    return GRIDS[grid](path, steps, options.get("t0")), [*states, x0]
