"""The sampling loop: a batch from the start law, or from a first guess at t0 < T, brought to t = 0."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers.grids import GRIDS
from mri_d3gm.samplers.solver import Denoise, Hook, Noise, Solver, identity


def noise_source(seeds: Sequence[int], device: torch.device) -> Noise:
    """Standard normals with a generator a sample, so that a sample does not depend on its batch.

    For complex tensors real and imaginary part each have unit variance. Drawn on the CPU: the same on every device.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def noise(like: Tensor) -> Tensor:
        shape, scale = like.shape[1:], math.sqrt(2) if like.is_complex() else 1.0
        draws = [torch.randn(shape, dtype=like.dtype, generator=generator) for generator in generators]
        return scale * torch.stack(draws).to(device)

    return noise


@torch.no_grad()
def sample(
    path: Dynamics,
    denoise: Denoise,
    mu: Tensor,
    solver: Solver,
    steps: int,
    seeds: Sequence[int],
    *,
    grid: str = "log-odds",
    on_x0: Hook = identity,
    first_guess: Tensor | None = None,
    t0: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, int]:
    """x0 estimates, of mu's shape (batch, ...), and the number of evaluations of the denoiser.

    seeds: one a sample. first_guess with t0 in (0, T] starts the reverse process there (the paper's basin of
    attraction). progress is told (evaluations done, steps) after each. ValueError where arguments do not fit.
    """
    if len(seeds) != len(mu):
        raise ValueError(f"{len(seeds)} seeds for a batch of {len(mu)}")
    if steps < 1:
        raise ValueError(f"{steps} steps: at least 1")
    if (first_guess is None) != (t0 is None) or not 0 < (path.T if t0 is None else t0) <= path.T:
        raise ValueError(f"first_guess needs t0, and t0 a first_guess, with 0 < t0 <= {path.T}")
    noise = noise_source(seeds, mu.device)
    times = GRIDS[grid](path, steps, t0)
    if first_guess is None:
        mean, deviation = path.start()
        x = mean * mu + deviation * noise(mu)
    else:
        A, B, s = (float(c(times[0])) for c in (path.A, path.B, path.s))
        x = A * first_guess + B * mu + s * noise(mu)
    count = 0

    def counted(state: Tensor, t: Tensor) -> Tensor:
        nonlocal count
        x0 = denoise(state, t)
        count += 1
        if progress is not None:
            progress(count, steps)
        return x0

    return solver(path, counted, x, mu, times, noise=noise, on_x0=on_x0), count
