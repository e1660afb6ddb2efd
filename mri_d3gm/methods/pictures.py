"""Restoration of colour pictures of any size, with the network in tiles, and by filters to compare with."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from mri_d3gm.compute import Progress
from mri_d3gm.methods.draws import Draws, draw_seed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.tiles import PICTURE_MARGIN, stride_of, tiled_estimate
from mri_d3gm.physics.fft import MIRRORS
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.unknown import Unknown
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.settings import Restore

FAINT = {"derain": 0.01, "dehaze": 0.03}  # RMS of what clear pictures lose: up to it they come back as they are
TEXTURE = 2 / 255  # RMS of second differences; those of a ramp of whole levels are smaller


@torch.no_grad()
def tiled(
    measurement: Measurement,
    network: Denoiser,
    settings: Restore,
    indices: Sequence[int],
    *,
    progress: Progress | None = None,
    **_: Any,
) -> Draws:
    """The mean of the draws whose estimates are blended from tiles at every step, or one evaluation for `regression`.

    The draws take turns in seeing the picture as it is and mirrored, as in `diffusion.d3gm`. Draw i of index n depends on
    (seed, n, i) alone; progress is told (tiles done, tiles of all evaluations) after each tile.
    """
    mu = measurement.prior_mean()
    least = PICTURE_MARGIN + stride_of(network)
    side = max(mu.shape[-2:]) if getattr(network.net, "whole", False) else max(settings.tile, least)
    evaluations = 1 if settings.method == "regression" else settings.steps * settings.samples
    evaluated = 0

    def denoise(x: Tensor, t: Tensor, seen: Tensor = mu) -> Tensor:
        nonlocal evaluated
        estimate = tiled_estimate(network, x, t, seen, Unknown(seen), tile=(side, side), margin=PICTURE_MARGIN, progress=tell)
        evaluated += 1
        return estimate

    def tell(done: int, tiles: int) -> None:
        if progress is not None:
            progress(evaluated * tiles + done, evaluations * tiles)

    if settings.method == "regression":
        estimate = denoise(network.path.noise_free(mu), network.path.last(len(mu)))
        return Draws(unless_faint(estimate, mu, FAINT[settings.task])[:, None], 1)
    mean = torch.zeros_like(mu)
    for draw in range(settings.samples):
        seeds = [draw_seed(settings.seed, index, draw) for index in indices]
        axes = MIRRORS[draw % len(MIRRORS)]
        seen = mu.flip(axes)
        mirrored = partial(denoise, seen=seen)
        drawn = sample(network.path, mirrored, seen, SOLVERS[settings.solver], settings.steps, seeds)[0]
        mean += drawn.flip(axes) / settings.samples
    return Draws(unless_faint(mean, mu, FAINT[settings.task])[:, None], evaluations)


def unless_faint(restored: Tensor, pictures: Tensor, faint: float) -> Tensor:
    """Restored pictures (batch, 3, rows, cols), but those of which no more than faint was removed as they were, and up to
    twice as much in between: RMS where there is texture, so that no border or background counts.
    """
    seen = textured(pictures)
    square = (restored - pictures).square().mean(1, keepdim=True) * seen
    removed = (square.sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp_min(1)).sqrt()
    part = (removed / faint - 1).clamp(0, 1)
    return torch.where(part < 1, torch.lerp(pictures, restored, part), restored)


def textured(pictures: Tensor) -> Tensor:
    """Where pictures (batch, 3, rows, cols) in [0, 1] have texture, neither flat nor a ramp: (batch, 1, rows, cols) bool."""
    grey = pictures.mean(1, keepdim=True)
    bends = pad(grey.diff(n=2, dim=-1).square(), (1, 1)) + pad(grey.diff(n=2, dim=-2).square(), (0, 0, 1, 1))
    return avg_pool2d(bends, 9, 1, 4) > TEXTURE**2


def dark_channel(measurement: Measurement, *_: Any, **__: Any) -> Draws:
    """The dark channel prior (He et al., 2009)."""
    from mri_d3gm.weather.haze import dark_channel_prior

    return Draws(torch.stack([dark_channel_prior(picture) for picture in measurement.prior_mean()])[:, None], 0)


def median(measurement: Measurement, *_: Any, **__: Any) -> Draws:
    """Median of 5 x 5 pixels, across the streaks."""
    from scipy.ndimage import median_filter

    mean = measurement.prior_mean()
    filtered = median_filter(mean.cpu().numpy(), size=(1, 1, 5, 5))
    return Draws(torch.from_numpy(filtered)[:, None].to(mean.device), 0)
