"""The sampling loop: a batch from the start law, or from a first guess at t0 < T, brought to t = 0."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Path
from mri_d3gm.samplers.grids import GRIDS
from mri_d3gm.samplers.solver import Denoise, Hook, Noise, Solver


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
    path: Path,
    denoise: Denoise,
    mu: Tensor,
    solver: Solver,
    steps: int,
    seeds: Sequence[int],
    *,
    grid: str = "log-odds",
    on_x0: Hook = lambda x0: x0,
    first_guess: Tensor | None = None,
    t0: float | None = None,
) -> tuple[Tensor, int]:
    """x0 estimates, of mu's shape (batch, ...), and the number of evaluations of the denoiser.

    seeds: one a sample. first_guess with t0 starts the reverse process there (the paper's basin of attraction).
    """
    if len(seeds) != len(mu):
        raise ValueError(f"{len(seeds)} seeds for a batch of {len(mu)}")
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
        count += 1
        return denoise(state, t)

    return solver(path, counted, x, mu, times, noise=noise, on_x0=on_x0), count
