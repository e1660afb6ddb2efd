"""Masks of training cases: every acceleration, with and without a full centre, a part of k-space missing on one side."""

import torch
from torch import Tensor

from mri_d3gm.physics.draws import chance, log_uniform, one_of, uniform
from mri_d3gm.physics.masks import full_centre

CENTRE = 24  # lines of a calibration that is no part of the mask, and those that calibrate at most


def draw_accel(many: bool, generator: torch.Generator) -> float:
    """R from 1.5 to 20: of many coils half from 2 to 5, of one coil half 4, 8 or 16."""
    if chance(0.5, generator):
        return log_uniform(2, 5, generator) if many else float(one_of((4, 8, 8, 16, 16), generator))
    return log_uniform(1.5, 20, generator)


def random_mask(cols: int, generator: torch.Generator, accel: float) -> Tensor:
    """(1, cols) bool: full centre, outside of it equispaced with a random offset, in 30 % random or Gaussian density.

    From a quarter of the masks up to a third of the outer lines is missing, as when they are withheld to measure trust.
    """
    centre = max(4, round(cols * min(0.08, 0.32 / accel * uniform(0.8, 1.3, generator))))
    wanted = max(centre + 2, round(cols / accel))
    full = torch.from_numpy(full_centre(cols, centre))
    mask = full.clone()
    kind = uniform(0, 1, generator)
    if kind < 0.7:
        step = (cols - centre) / (wanted - centre)
        places = torch.arange(uniform(0, step, generator), cols - 0.5, step).round().long()
        mask[places.clamp_max(cols - 1)] = True
    else:
        distance = (torch.arange(cols) - cols // 2) / (cols / 2)
        density = torch.ones(cols) if kind < 0.85 else torch.exp(-0.5 * (distance / 0.35) ** 2) + 0.02
        mask[torch.multinomial(density * ~mask, wanted - centre, generator=generator)] = True
    if chance(0.25, generator):
        mask &= full | (torch.rand(cols, generator=generator) > uniform(0.05, 0.35, generator))
    return mask[None]


def regular_mask(cols: int, accel: float) -> Tensor:
    """(1, cols) bool: every n-th line, the central one among them, no full centre; n is accel rounded, at least 2."""
    step = max(2, round(accel))
    return (torch.arange(cols) % step == cols // 2 % step)[None]


def random_mask_2d(rows: int, cols: int, generator: torch.Generator, accel: float) -> Tensor:
    """(rows, cols) bool: full centre, then a density that falls with the distance from it."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    centre = (uniform(0.1, 0.3, generator) / accel) ** 0.5
    density = (1 - (x**2 + y**2).sqrt()).clamp_min(0.02) ** uniform(0.5, 3, generator)
    mask = (x.abs() < centre) & (y.abs() < centre)
    wanted = max(1, round(rows * cols / accel) - int(mask.sum()))
    chosen = torch.multinomial((density * ~mask).flatten(), wanted, generator=generator)
    return mask.flatten().index_fill(0, chosen, True).reshape(rows, cols)


def without_a_side(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Partial Fourier: lines of one side of the last axis are missing beyond the centre or more of it, up to 70 %."""
    cols = mask.shape[-1]
    place = (torch.arange(cols) - cols // 2) / (cols / 2)
    kept = place <= uniform(min(0.6, CENTRE / cols), 0.7, generator)
    return mask & (kept if chance(0.5, generator) else kept.flip(0).roll(1 - cols % 2))
