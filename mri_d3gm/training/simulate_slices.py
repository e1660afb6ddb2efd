"""Training cases for the way through the slices: sharp crops, thickened along one axis by a slice profile."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mri_d3gm.physics.draws import chance, log_uniform, uniform
from mri_d3gm.physics.slice_stack import SliceStack, fine_count, slice_profiles
from mri_d3gm.training.anatomy import draw
from mri_d3gm.training.simulate import Case
from mri_d3gm.training.simulate_resolution import sharp_crop
from mri_d3gm.training.sources import Example


def draw_stack(crop: int, generator: torch.Generator) -> tuple[int, float, float]:
    """Number of slices that `crop` voxels hold, distance of their centres, and thickness, in voxels.

    Slices are 2 to 8 thick, in half of the draws next to each other, else with gaps of up to half a thickness or, one in five,
    overlapping by up to 30 %.
    """
    thickness = log_uniform(2, 8, generator)
    if chance(0.5, generator):
        apart = 0.0
    else:
        apart = uniform(-0.3, 0, generator) if chance(0.2, generator) else uniform(0, 0.5, generator)
    spacing = thickness * (1 + apart)
    return int((crop - thickness) / spacing) + 1, spacing, thickness


def draw_profiles(slices: int, spacing: float, thickness: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The true profiles and those that are believed, both (slices, cols).

    The truth lies between a Gaussian and a box: the one or the other in half of the draws. In a third of the draws one of the
    two is believed instead of it.
    """
    gaussian, box = (slice_profiles(slices, spacing, thickness, kind) for kind in ("gaussian", "box"))
    share = uniform(0, 1, generator) if chance(0.5, generator) else float(chance(0.3, generator))
    true = share * box + (1 - share) * gaussian
    if chance(1 / 3, generator):
        return true, gaussian if chance(0.7, generator) else box
    return true, true


def simulate_slices(slices: Sequence[Example], seed: int, *, batch: int = 2, crop: int = 160) -> Case:
    """One batch that depends on the seed alone, of one stack's geometry; scaled so that mu's 99th percentile is 1.

    What is in plane stands for what is through the slices; the last axis is. Slices get Rician noise; the target does not.
    """
    generator = torch.Generator().manual_seed(seed)
    clean = torch.stack([sharp_crop(draw(slices, generator).image, crop, generator) for _ in range(batch)])
    stack = draw_stack(crop, generator)
    clean = clean[..., : fine_count(*stack)]
    true, believed = draw_profiles(*stack, generator)
    levels = torch.tensor([log_uniform(0.0005, 0.02, generator) for _ in range(batch)])[:, None, None]
    thick = clean @ true.T
    noise = levels * math.sqrt(2) * torch.randn(thick.shape, dtype=torch.complex64, generator=generator)
    measured = SliceStack((thick + noise).abs().to(torch.complex64), believed.expand(batch, -1, -1))
    mu = measured.prior_mean()
    scale = mu.abs().flatten(1).quantile(0.99, 1).clamp_min(1e-6)[:, None, None]
    return Case(clean.to(torch.complex64) / scale, mu / scale, measured.with_tensors({"data": measured.data / scale}))
