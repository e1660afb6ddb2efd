"""Magnitudes of training cases: a slice turned, zoomed, cut to a band with anatomy; its contrast changed."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.draws import chance, uniform
from mri_d3gm.training.phases import draw_field, smooth_fields
from mri_d3gm.training.sources import Example


def draw(slices: Sequence[Example], generator: torch.Generator) -> Example:
    """One slice, drawn by weight."""
    weights = torch.tensor([item.weight for item in slices])
    return slices[int(torch.multinomial(weights, 1, generator=generator))]


def augment(image: Tensor, rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """A magnitude slice turned, zoomed, cut to a band with anatomy; (rows, cols)."""
    image = turn(image, generator)
    zoom = min(1.0, cols / image.shape[1])
    if chance(0.7, generator):
        zoom *= math.exp(uniform(-0.25, 0.25, generator))
    if zoom != 1:
        size = [max(rows, round(n * zoom)) if axis == 0 else round(n * zoom) for axis, n in enumerate(image.shape)]
        resized = functional.interpolate(image[None, None], size, mode="bicubic", antialias=True)
        image = resized[0, 0].clamp_min(0)
    missing = max(0, cols - image.shape[1])
    image = functional.pad(image, (missing // 2, missing - missing // 2, 0, max(0, rows - image.shape[0])))
    left = (image.shape[1] - cols) // 2
    image = image[:, left : left + cols]
    occupied = (image > 0.1).float().mean(1).cumsum(0)
    below = torch.cat([occupied.new_zeros(1), occupied])
    anatomy = below[rows:] - below[:-rows]
    top = int(torch.multinomial(anatomy.clamp_min(0) + 1e-3, 1, generator=generator))
    return image[top : top + rows]


def turn(image: Tensor, generator: torch.Generator) -> Tensor:
    """Transposed in half of the draws, each axis flipped in half."""
    if chance(0.5, generator):
        image = image.T
    return image.flip([axis for axis in (0, 1) if chance(0.5, generator)])


def draw_contrast(generator: torch.Generator) -> Tensor:
    """Numbers behind `change_contrast`: inverted (a tenth) or not, a gamma, and in 30 % a bias field or not, its field."""
    chosen = [chance(0.1, generator), math.exp(uniform(-0.3, 0.4, generator)), chance(0.3, generator)]
    return torch.cat([torch.tensor(chosen, dtype=torch.float32), draw_field(generator)])


def change_contrast(images: Tensor, numbers: Tensor) -> Tensor:
    """Each inverted or not, to the power of a gamma, under a bias field or not; (batch, rows, cols) from 0 to about 1."""
    inverted, gamma, biased = (number[:, None, None] for number in numbers[:, :3].unbind(1))
    images = images.clamp(0, 1.5)
    images = torch.where(inverted > 0, (1 - images).clamp_min(0) * (images > 0.05), images)
    field = smooth_fields(numbers[:, 3:], images.shape[1], images.shape[2])
    return images.clamp_min(1e-6) ** gamma * (0.3 * biased * field.sin()).exp()
