"""Training cases for super-resolution: sharp crops, degraded by truncation of k-space or by a blur kernel."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.blur import blur_subsample, random_kernel
from mri_d3gm.physics.draws import chance, log_uniform
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.resolution import embed, truncate
from mri_d3gm.physics.truncation import Truncation
from mri_d3gm.physics.unknown import Unknown
from mri_d3gm.training.anatomy import change_contrast, draw, draw_contrast, turn
from mri_d3gm.training.simulate import Case
from mri_d3gm.training.sources import Example


def sharp_crop(image: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A magnitude slice turned, in half of the draws made smaller, cut to (size, size) with anatomy, its contrast changed."""
    image = turn(image, generator)
    if chance(0.5, generator):
        zoom = log_uniform(min(0.9, size / max(image.shape)), 1, generator)
        shape = [round(n * zoom) for n in image.shape]
        image = functional.interpolate(image[None, None], shape, mode="bicubic", antialias=True)[0, 0].clamp_min(0)
    missing = [max(0, size - n) for n in image.shape]
    image = functional.pad(
        image, (missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] - missing[0] // 2)
    )
    occupied = functional.avg_pool2d((image > 0.1).float()[None], size, stride=8)[0]
    place = int(torch.multinomial(occupied.flatten() + 1e-3, 1, generator=generator))
    top, left = 8 * (place // occupied.shape[-1]), 8 * (place % occupied.shape[-1])
    cut = image[top : top + size, left : left + size]
    return change_contrast(cut[None], draw_contrast(generator)[None])[0]


def simulate_resolution(
    slices: Sequence[Example],
    seed: int,
    *,
    batch: int = 2,
    crop: int = 192,
    factor: int | None = None,
    blind: float = 0.5,
    informed: bool = True,
) -> Case:
    """One batch that depends on the seed alone; scaled so that mu's 99th percentile is 1.

    The factor is 4 in two thirds of the batches, else 2, unless given. A part `blind` of the batches is blurred by an
    unknown kernel and has no k-space; the rest is truncated, and has it if `informed`. Both get Rician noise; the target
    does not.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = 4 if chance(2 / 3, generator) else 2
    factor = drawn if factor is None else factor
    unknown = chance(blind, generator)
    clean = torch.stack([sharp_crop(draw(slices, generator).image, crop, generator) for _ in range(batch)])
    lows = []
    for image in clean:
        low = blur_subsample(image, random_kernel(factor, generator), factor) if unknown else truncate(image, factor)
        level = log_uniform(0.0005, 0.02, generator)
        noise = level * math.sqrt(2) * torch.randn(low.shape, dtype=torch.complex64, generator=generator)
        lows.append((low + noise).abs())
    low = torch.stack(lows)
    kspace = embed(low, factor)
    mu = ifft2c(kspace)
    scale = mu.abs().flatten(1).quantile(0.99, 1).clamp_min(1e-6)[:, None, None]
    image, mu = clean.to(torch.complex64) / scale, mu / scale
    if unknown or not informed:
        return Case(image, mu, Unknown(mu, without_phase=True))
    truncation = Truncation.of(low, factor)
    return Case(image, mu, truncation.with_tensors({"kspace": truncation.kspace / scale[:, None]}))
