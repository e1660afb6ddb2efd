"""Training cases from magnitude slices: contrast, geometry, phase, coils, noise and mask, all from one seed.

A 1-D mask acts along one axis only, so a band of rows is an exact smaller problem; 2-D masks get whole crops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.networks.consistent import PROXIMAL_WEIGHT
from mri_d3gm.physics.coil_maps import low_resolution_maps
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.operators import combine, expand
from mri_d3gm.training.sources import Slice


@dataclass(frozen=True)
class Case:
    """A batch: clean image and prior mean mu (batch, rows, cols); where the measurement is known k-space, mask and maps as
    in `physics.operators`, and the weight of the estimate in the network's consistency of many coils.
    """

    image: Tensor
    mu: Tensor
    kspace: Tensor | None = None
    mask: Tensor | None = None
    coil_maps: Tensor | None = None
    weight: float = PROXIMAL_WEIGHT


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number from the generator, between low and high."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def _smooth_field(rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """Cubic polynomial, in 30 % plus an interpolated random field, (rows, cols) in radians."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    strength = uniform(0.3, 1.2, generator)
    field = torch.zeros(rows, cols)
    for order, scale in enumerate((3.0, 1.2, 0.8, 0.4)):
        for power in range(order + 1):
            field += strength * scale * float(torch.randn((), generator=generator)) * x**power * y ** (order - power)
    if uniform(0, 1, generator) < 0.3:
        grid = torch.randn(1, 1, 6, 6, generator=generator) * uniform(0.2, 0.8, generator)
        field += functional.interpolate(grid, (rows, cols), mode="bicubic", align_corners=True)[0, 0]
    return field


def augment(image: Tensor, rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """A magnitude slice turned, zoomed, cut to a band with anatomy, its contrast changed; (rows, cols)."""
    image = turn(image, generator)
    zoom = min(1.0, cols / image.shape[1])
    if uniform(0, 1, generator) < 0.7:
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
    return change_contrast(image[top : top + rows], generator)


def turn(image: Tensor, generator: torch.Generator) -> Tensor:
    """Transposed in half of the draws, each axis flipped in half."""
    if uniform(0, 1, generator) < 0.5:
        image = image.T
    return image.flip([axis for axis in (0, 1) if uniform(0, 1, generator) < 0.5])


def change_contrast(image: Tensor, generator: torch.Generator) -> Tensor:
    """Inverted in a tenth of the draws, a gamma, in 30 % a bias field; (rows, cols) from 0 to about 1."""
    image = image.clamp(0, 1.5)
    if uniform(0, 1, generator) < 0.1:
        image = (1 - image).clamp_min(0) * (image > 0.05)
    image = image.clamp_min(1e-6) ** math.exp(uniform(-0.3, 0.4, generator))
    if uniform(0, 1, generator) < 0.3:
        image = image * (0.3 * _smooth_field(image.shape[0], image.shape[1], generator).sin()).exp()
    return image


def random_mask(cols: int, generator: torch.Generator, accel: float | None = None, low: float = 4) -> Tensor:
    """(1, cols) bool: equispaced with a random offset, in 30 % random or Gaussian density; R low to 20 unless given, half of
    them 8 or 16, or 4 or 8 where low is less than 4.

    From a quarter of the masks up to a third of the outer lines is missing, as when they are withheld to measure trust.
    """
    drawn = math.exp(uniform(math.log(low), math.log(20), generator))
    if uniform(0, 1, generator) < 0.5:
        usual = (4.0, 4.0, 8.0) if low < 4 else (8.0, 16.0, 16.0)
        drawn = usual[int(torch.randint(3, (), generator=generator))]
    accel = drawn if accel is None else accel
    centre = max(4, round(cols * min(0.08, 0.32 / accel * uniform(0.8, 1.3, generator))))
    wanted = max(centre + 2, round(cols / accel))
    mask = torch.zeros(cols, dtype=torch.bool)
    start = (cols - centre + 1) // 2
    mask[start : start + centre] = True
    kind = uniform(0, 1, generator)
    if kind < 0.7:
        step = (cols - centre) / (wanted - centre)
        places = torch.arange(uniform(0, step, generator), cols - 0.5, step).round().long()
        mask[places.clamp_max(cols - 1)] = True
    else:
        distance = (torch.arange(cols) - cols // 2) / (cols / 2)
        density = torch.ones(cols) if kind < 0.85 else torch.exp(-0.5 * (distance / 0.35) ** 2) + 0.02
        mask[torch.multinomial(density * ~mask, wanted - centre, generator=generator)] = True
    if uniform(0, 1, generator) < 0.25:
        kept = torch.rand(cols, generator=generator) > uniform(0.05, 0.35, generator)
        kept[start : start + centre] = True
        mask &= kept
    return mask[None]


def random_mask_2d(rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """(rows, cols) bool: full centre, then a density that falls with the distance from it; R 4 to 16."""
    accel = math.exp(uniform(math.log(4), math.log(16), generator))
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    centre = math.sqrt(uniform(0.1, 0.3, generator) / accel)
    density = (1 - (x**2 + y**2).sqrt()).clamp_min(0.02) ** uniform(0.5, 3, generator)
    mask = (x.abs() < centre) & (y.abs() < centre)
    wanted = max(1, round(rows * cols / accel) - int(mask.sum()))
    chosen = torch.multinomial((density * ~mask).flatten(), wanted, generator=generator)
    return mask.flatten().index_fill(0, chosen, True).reshape(rows, cols)


def random_coil_maps(coils: int, rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """Smooth sensitivities around the field of view, S^H S = 1; (coils, rows, cols)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    turn, radius = uniform(0, 2 * math.pi, generator), uniform(1.0, 1.6, generator)
    height = uniform(0.15, 1, generator)
    maps = []
    for coil in range(coils):
        angle = turn + 2 * math.pi * coil / coils
        dy, dx = height * y - radius * math.sin(angle), x - radius * math.cos(angle)
        size = 1 / (dy**2 + dx**2 + 0.1) ** uniform(0.6, 1.2, generator)
        phase = torch.atan2(dx, -dy) + uniform(0, 2 * math.pi, generator) + x * uniform(-1, 1, generator)
        maps.append(torch.polar(size, phase))
    stacked = torch.stack(maps)
    return stacked / torch.linalg.vector_norm(stacked, dim=0)


def draw(slices: Sequence[Slice], generator: torch.Generator) -> Slice:
    """One slice, drawn by weight."""
    weights = torch.tensor([item.weight for item in slices])
    return slices[int(torch.multinomial(weights, 1, generator=generator))]


def simulate(
    slices: Sequence[Slice],
    seed: int,
    *,
    batch: int = 4,
    rows: int = 48,
    cols: int = 320,
    crop: int = 128,
    accel: float | None = None,
) -> Case:
    """One batch that depends on the seed alone; scaled so that mu's 99th percentile is 1.

    15 % of batches have a 2-D mask on a crop x crop image, 25 % fewer columns (96 to 256) and more rows, 45 % 2 to 16
    coils, whose maps are the true ones or those that the centre lines show; with more than 5 coils R begins at 2. With
    accel every mask is one-dimensional and has that acceleration.
    """
    generator = torch.Generator().manual_seed(seed)
    planar = uniform(0, 1, generator) < 0.15 and accel is None
    if planar:
        rows, cols, batch = crop, crop, max(1, batch // 2)
    elif uniform(0, 1, generator) < 0.25:
        fewer = 4 * round(cols * uniform(0.3, 0.8, generator) / 4)
        rows, cols = min(2 * rows, 4 * round(rows * cols / fewer / 4)), fewer
    coils = round(2 ** uniform(1, 4, generator)) if uniform(0, 1, generator) < 0.45 else 1
    estimated = uniform(0, 1, generator) < 0.5
    lightest = 0.05 if estimated else 0.003
    weight = lightest * math.exp(uniform(0, math.log(10 if estimated else 30), generator))
    quietest, lowest = (0.003, 4.0) if coils < 6 else (0.001, 2.0)
    images, masks, maps, noises = [], [], [], []
    for _ in range(batch):
        magnitude = augment(draw(slices, generator).image, rows, cols, generator)
        images.append(torch.polar(magnitude, _smooth_field(rows, cols, generator)))
        masks.append(random_mask_2d(rows, cols, generator) if planar else random_mask(cols, generator, accel, lowest))
        maps.append(random_coil_maps(coils, rows, cols, generator) if coils > 1 else torch.ones(1, rows, cols))
        level = math.exp(uniform(math.log(quietest), math.log(0.03), generator))
        noises.append(level * torch.randn(coils, rows, cols, dtype=torch.complex64, generator=generator) * math.sqrt(2))
    clean, mask, noise = torch.stack(images), torch.stack(masks), torch.stack(noises)
    true_maps = torch.stack(maps) if coils > 1 else None
    coil_images = expand(clean, true_maps) + noise
    kspace = fft2c(coil_images) * mask[:, None]
    coil_maps = low_resolution_maps(kspace, mask) if coils > 1 and estimated else true_maps
    mu = combine(ifft2c(kspace), coil_maps)
    target = combine(expand(clean, true_maps), coil_maps)
    target = target * (clean.abs() / target.abs().clamp_min(1e-6)).clamp_max(10)
    scale = mu.abs().flatten(1).quantile(0.99, 1).clamp_min(1e-6)
    one, many = scale[:, None, None], scale[:, None, None, None]
    return Case(target / one, mu / one, kspace / many, mask, coil_maps, weight)
