"""Training cases from magnitude slices: contrast, geometry, phase, coils, noise and mask, all from one seed.

A 1-D mask acts along one axis only, so a band of rows is an exact smaller problem; 2-D masks get whole crops. What is
drawn, and cut from slices, is a `Scene`; measuring it, all cases of the batch at once, is left to the device that trains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.coil_maps import low_resolution_maps, smooth_coil_maps
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.operators import combine, expand
from mri_d3gm.training.sources import Example


@dataclass(frozen=True)
class Case:
    """A batch: clean image and prior mean mu, both (batch, rows, cols) complex or (batch, channels, rows, cols) real, and the
    measurement.
    """

    image: Tensor
    mu: Tensor
    measurement: Measurement

    def on(self, device: torch.device | str) -> "Case":
        """The same on `device`."""
        return moved(self, device)


@dataclass(frozen=True)
class Scene:
    """A batch before it is measured: magnitudes (batch, rows, cols), and the numbers behind contrast, phase and coils (or
    None), masks, levels of noise (batch,), the noise's seed; whether the maps are estimated, and their weight (`Cartesian`).
    """

    magnitude: Tensor
    contrast: Tensor
    phase: Tensor
    coils: Tensor | None
    mask: Tensor
    level: Tensor
    seed: int
    estimated: bool
    weight: float

    def on(self, device: torch.device | str) -> Case:
        """Measured on `device`."""
        return measure(moved(self, device))


def moved(batch: Any, device: torch.device | str) -> Any:
    """A dataclass of tensors and other values, its tensors on `device`."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{n: value.to(device) for n, value in values.items() if isinstance(value, Tensor | Measurement)})


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number from the generator, between low and high."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def draw_field(generator: torch.Generator) -> Tensor:
    """Numbers behind one of `smooth_fields`: ten coefficients of a cubic polynomial, and in 30 % a coarse grid of 6 x 6."""
    scales = torch.tensor([3.0] + [1.2] * 2 + [0.8] * 3 + [0.4] * 4)
    polynomial = uniform(0.3, 1.2, generator) * scales * torch.randn(10, generator=generator)
    strength = uniform(0.2, 0.8, generator) if uniform(0, 1, generator) < 0.3 else 0.0
    return torch.cat([polynomial, strength * torch.randn(36, generator=generator)])


def _grid(rows: int, cols: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Places from -1 to 1 along rows and columns, each (rows, cols)."""
    along = (torch.linspace(-1, 1, count, device=device) for count in (rows, cols))
    y, x = torch.meshgrid(*along, indexing="ij")
    return y, x


def smooth_fields(numbers: Tensor, rows: int, cols: int) -> Tensor:
    """Cubic polynomials plus interpolated coarse grids, (batch, rows, cols) in radians, from `draw_field`'s numbers."""
    y, x = _grid(rows, cols, numbers.device)
    terms = torch.stack([x**power * y ** (order - power) for order in range(4) for power in range(order + 1)])
    coarse = numbers[:, 10:].reshape(-1, 1, 6, 6)
    fine = functional.interpolate(coarse, (rows, cols), mode="bicubic", align_corners=True)[:, 0]
    return torch.einsum("bk,kyx->byx", numbers[:, :10], terms) + fine


def augment(image: Tensor, rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """A magnitude slice turned, zoomed, cut to a band with anatomy; (rows, cols)."""
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
    return image[top : top + rows]


def turn(image: Tensor, generator: torch.Generator) -> Tensor:
    """Transposed in half of the draws, each axis flipped in half."""
    if uniform(0, 1, generator) < 0.5:
        image = image.T
    return image.flip([axis for axis in (0, 1) if uniform(0, 1, generator) < 0.5])


def draw_contrast(generator: torch.Generator) -> Tensor:
    """Numbers behind `change_contrast`: inverted (a tenth) or not, a gamma, and in 30 % a bias field or not, its field."""
    chosen = [uniform(0, 1, generator) < 0.1, math.exp(uniform(-0.3, 0.4, generator)), uniform(0, 1, generator) < 0.3]
    return torch.cat([torch.tensor(chosen, dtype=torch.float32), draw_field(generator)])


def change_contrast(images: Tensor, numbers: Tensor) -> Tensor:
    """Each inverted or not, to the power of a gamma, under a bias field or not; (batch, rows, cols) from 0 to about 1."""
    inverted, gamma, biased = (number[:, None, None] for number in numbers[:, :3].unbind(1))
    images = images.clamp(0, 1.5)
    images = torch.where(inverted > 0, (1 - images).clamp_min(0) * (images > 0.05), images)
    field = smooth_fields(numbers[:, 3:], images.shape[1], images.shape[2])
    return images.clamp_min(1e-6) ** gamma * (0.3 * biased * field.sin()).exp()


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


def draw_coils(coils: int, generator: torch.Generator) -> Tensor:
    """Numbers behind `smooth_coil_maps`, (coils, 6): place around the field of view, its height, falloff, phase and slope."""
    turn, radius = uniform(0, 2 * math.pi, generator), uniform(1.0, 1.6, generator)
    height = uniform(0.15, 1, generator)
    angle = turn + 2 * math.pi * torch.arange(coils) / coils
    falloff, phase, slope = torch.rand(3, coils, generator=generator)
    ranges = 0.6 + 0.6 * falloff, 2 * math.pi * phase, 2 * slope - 1
    return torch.stack([radius * angle.sin(), radius * angle.cos(), torch.full((coils,), height), *ranges], 1)


def draw(slices: Sequence[Example], generator: torch.Generator) -> Example:
    """One slice, drawn by weight."""
    weights = torch.tensor([item.weight for item in slices])
    return slices[int(torch.multinomial(weights, 1, generator=generator))]


def draw_scene(
    slices: Sequence[Example],
    seed: int,
    *,
    batch: int = 4,
    rows: int = 48,
    cols: int = 320,
    crop: int = 128,
    accel: float | None = None,
) -> Scene:
    """One batch that depends on the seed alone.

    15 % of batches have a 2-D mask on a crop x crop image, 25 % fewer columns (0.4 to 0.7) and more rows, 45 % 2, 4, 8 or 16
    coils, whose maps are the true ones or those that the centre lines show; with more than 5 coils R begins at 2. With
    accel every mask is one-dimensional and has that acceleration. Shapes are few, so that a GPU can replay (`Replayed`).
    """
    generator = torch.Generator().manual_seed(seed)
    planar = uniform(0, 1, generator) < 0.15 and accel is None
    if planar:
        rows, cols, batch = crop, crop, max(1, batch // 2)
    elif uniform(0, 1, generator) < 0.25:
        fewer = 4 * round(cols * (0.4, 0.55, 0.7)[int(torch.randint(3, (), generator=generator))] / 4)
        rows, cols = min(2 * rows, 4 * round(rows * cols / fewer / 4)), fewer
    coils = 2 ** int(torch.randint(1, 5, (), generator=generator)) if uniform(0, 1, generator) < 0.45 else 1
    estimated = coils > 1 and uniform(0, 1, generator) < 0.5
    lightest = 0.05 if estimated else 0.003
    weight = lightest * math.exp(uniform(0, math.log(10 if estimated else 30), generator))
    quietest, lowest = (0.003, 4.0) if coils < 6 else (0.001, 2.0)
    drawn = []
    for _ in range(batch):
        band = augment(draw(slices, generator).image, rows, cols, generator)
        mask = random_mask_2d(rows, cols, generator) if planar else random_mask(cols, generator, accel, lowest)
        level = torch.tensor(math.exp(uniform(math.log(quietest), math.log(0.03), generator)))
        numbers = draw_contrast(generator), draw_field(generator), draw_coils(coils, generator)
        drawn.append((band, *numbers, mask, level))
    magnitude, contrast, phase, places, masks, levels = (torch.stack(column) for column in zip(*drawn, strict=True))
    noise_seed = int(torch.randint(2**62, (), generator=generator))
    many = places if coils > 1 else None
    return Scene(magnitude, contrast, phase, many, masks, levels, noise_seed, estimated, weight)


def measure(scene: Scene) -> Case:
    """The case of a scene, on its device; scaled so that mu's 99th percentile is 1."""
    shape = scene.magnitude.shape[-2:]
    clean = torch.polar(change_contrast(scene.magnitude, scene.contrast), smooth_fields(scene.phase, *shape))
    true_maps = None if scene.coils is None else smooth_coil_maps(scene.coils, *shape)
    coil_images = expand(clean, true_maps)
    generator = torch.Generator(clean.device).manual_seed(scene.seed)
    noise = torch.randn(coil_images.shape, dtype=torch.complex64, device=clean.device, generator=generator)
    kspace = fft2c(coil_images + scene.level[:, None, None, None] * math.sqrt(2) * noise) * scene.mask[:, None]
    coil_maps = low_resolution_maps(kspace, scene.mask) if scene.estimated else true_maps
    mu = combine(ifft2c(kspace), coil_maps)
    target = combine(expand(clean, true_maps), coil_maps)
    target = target * (clean.abs() / target.abs().clamp_min(1e-6)).clamp_max(10)
    scale = mu.abs().flatten(1).quantile(0.99, 1).clamp_min(1e-6)
    one, many = scale[:, None, None], scale[:, None, None, None]
    measurement = Cartesian(kspace / many, scene.mask, coil_maps, map_weight=scene.weight)
    return Case(target / one, mu / one, measurement)


def simulate(slices: Sequence[Example], seed: int, **settings: Any) -> Case:
    """A scene of `draw_scene`, with its settings, measured here and now."""
    return measure(draw_scene(slices, seed, **settings))
