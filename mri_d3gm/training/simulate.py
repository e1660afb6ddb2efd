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

from mri_d3gm.io.sampling import center_lines
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.coil_maps import MINIMUM_LINES, low_resolution_maps
from mri_d3gm.physics.draws import chance, log_uniform, one_of, uniform
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.masks import full_centre
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.operators import combine, expand
from mri_d3gm.training.anatomy import augment, change_contrast, draw, draw_contrast
from mri_d3gm.training.coils import (
    compression,
    draw_coils,
    draw_count,
    draw_mixing,
    maps_of_band,
    virtual_maps,
)
from mri_d3gm.training.masks import CENTRE, draw_accel, random_mask, random_mask_2d, regular_mask, without_a_side
from mri_d3gm.training.phases import draw_phase, is_smooth, phases
from mri_d3gm.training.sources import Example


@dataclass(frozen=True)
class Case:
    """A batch: clean image and prior mean mu, both (batch, rows, cols) complex or (batch, channels, rows, cols) real, and the
    measurement. simple: which of them have one coil and a smooth phase, (batch,) bool; None where none has.
    """

    image: Tensor
    mu: Tensor
    measurement: Measurement
    simple: Tensor | None = None

    def on(self, device: torch.device | str) -> "Case":
        """The same on `device`."""
        return moved(self, device)


@dataclass(frozen=True)
class Scene:
    """A batch before it is measured: magnitudes (batch, rows, cols), and the numbers behind contrast, phase, ghosts, coils.

    coils, compression and mixing are None for one coil (see `training.coils`); mask, and the lines that calibrate the maps,
    which are the mask's unless they are apart; levels of noise, and what a scan would estimate them to be,
    (batch,); the noise's seed. maps: true, low-resolution, or
    espirit from a centre of size `calibration`; weight: theirs (`Cartesian`).
    """

    magnitude: Tensor
    contrast: Tensor
    phase: Tensor
    ghost: Tensor
    coils: Tensor | None
    compression: Tensor | None
    mixing: Tensor | None
    mask: Tensor
    calibrating: Tensor
    level: Tensor
    estimated: Tensor
    seed: int
    maps: str
    calibration: tuple[int, int]
    weight: float

    def on(self, device: torch.device | str) -> Case:
        """Measured on `device`."""
        return measure(moved(self, device))


def moved(batch: Any, device: torch.device | str) -> Any:
    """A dataclass of tensors and other values, its tensors on `device`."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{n: value.to(device) for n, value in values.items() if isinstance(value, Tensor | Measurement)})


def draw_ghost(share: float, generator: torch.Generator) -> Tensor:
    """Numbers behind `ghosts`: amplitude, 0 but for a share of the draws, cycles a line, phase, and whether along rows."""
    amplitude = chance(share, generator) * uniform(0.05, 0.5, generator)
    cycles = 0.5 if chance(0.5, generator) else uniform(0.03, 0.5, generator)
    return torch.tensor([amplitude, cycles, uniform(0, 2 * math.pi, generator), float(chance(0.5, generator))])


def ghosts(numbers: Tensor, rows: int, cols: int) -> Tensor:
    """Factor (batch, rows, cols) on k-space: a phase that changes periodically from line to line."""
    amplitude, cycles, start, along_rows = (number[:, None, None] for number in numbers.unbind(1))
    down, across = (torch.arange(count, device=numbers.device) for count in (rows, cols))
    line = torch.where(along_rows > 0, down[:, None], across[None])
    angle = amplitude * (2 * math.pi * cycles * line + start).cos()
    return torch.polar(torch.ones_like(angle), angle)


def draw_scene(
    slices: Sequence[Example],
    seed: int,
    *,
    batch: int = 4,
    rows: int = 48,
    cols: int = 320,
    crop: int = 128,
    accel: float | None = None,
    rough: float = 0.5,
    many: float = 0.5,
    planar: float = 0.15,
    correlated: float = 0.2,
    partial: float = 0.1,
    apart: float = 0.1,
    ghosted: float = 0.03,
) -> Scene:
    """One batch that depends on the seed alone.

    Shares of batches: `planar` have a 2-D mask on a crop x crop image, a quarter of the others fewer columns (.4 to .7) and
    more rows; `many` have 4 to 32 coils, whose maps are the true ones (a quarter), ESPIRiT's, or those that the centre lines
    show at low resolution; `apart` of these with 1-D masks have a regular mask, and maps from lines beside it. Shares of
    cases: `rough` have the phase of real scans, `correlated` noise that coils share, `partial` Fourier, `ghosted` a ghost.
    With accel every mask is one-dimensional and has that acceleration. Shapes are few, so that a GPU can replay (`Replayed`).
    """
    generator = torch.Generator().manual_seed(seed)
    plane = chance(planar, generator) and accel is None
    if plane:
        rows, cols, batch = crop, crop, max(1, batch // 2)
    elif chance(0.25, generator):
        fewer = 4 * round(cols * (0.4, 0.55, 0.7)[one_of((0, 1, 2), generator)] / 4)
        rows, cols = min(2 * rows, 4 * round(rows * cols / fewer / 4)), fewer
    count = draw_count(generator) if chance(many, generator) else 1
    separate = count > 1 and not plane and accel is None and chance(apart, generator)
    drawn = []
    for _ in range(batch):
        band = augment(draw(slices, generator).image, rows, cols, generator)
        mask, lines = draw_mask(rows, cols, generator, accel, count > 1, plane=plane, apart=separate, partial=partial)
        numbers = draw_contrast(generator), draw_phase(generator, rough), draw_ghost(ghosted, generator)
        level = torch.tensor(log_uniform(0.0003, 0.03, generator))
        drawn.append((band, *numbers, mask, lines, level))
    magnitude, contrast, phase, ghost, mask, lines, level = (torch.stack(column) for column in zip(*drawn, strict=True))
    coils = compressing = mixing = None
    if count > 1:
        coils = torch.stack([draw_coils(count, generator) for _ in range(batch)])
        compressing = torch.stack([compression(*pair) for pair in zip(coils, magnitude, strict=True)])
        unlike = [chance(correlated, generator) for _ in range(batch)]
        mixing = torch.stack([draw_mixing(compressing.shape[1], one, generator) for one in unlike])
    sizes = [center_lines(one.expand(rows, cols).numpy()) for one in lines]
    calibration = min(CENTRE, *(size[0] for size in sizes)), min(CENTRE, *(size[1] for size in sizes))
    maps = draw_maps(min(calibration) >= MINIMUM_LINES, generator)
    weight = log_uniform(0.05, 0.5, generator) if maps == "low-resolution" else log_uniform(0.003, 0.09, generator)
    noise_seed = int(torch.randint(2**62, (), generator=generator))
    estimated = level * torch.tensor([log_uniform(0.7, 1.4, generator) for _ in range(batch)])
    array, noise = (coils, compressing, mixing), (level, estimated, noise_seed)
    return Scene(magnitude, contrast, phase, ghost, *array, mask, lines, *noise, maps, calibration, weight)


def draw_mask(
    rows: int,
    cols: int,
    generator: torch.Generator,
    accel: float | None,
    many: bool,
    *,
    plane: bool,
    apart: bool,
    partial: float,
) -> tuple[Tensor, Tensor]:
    """A mask, and the lines that calibrate the maps, both (1, cols) or (rows, cols)."""
    if accel is not None:
        mask = random_mask(cols, generator, accel)
        return mask, mask
    accel = draw_accel(many, generator)
    if apart:
        mask, lines = regular_mask(cols, accel), torch.from_numpy(full_centre(cols, CENTRE))[None]
        mask = mask | lines if chance(0.5, generator) else mask
    else:
        mask = lines = random_mask_2d(rows, cols, generator, accel) if plane else random_mask(cols, generator, accel)
    return (without_a_side(mask, generator) if chance(partial, generator) else mask), lines


def draw_maps(enough: bool, generator: torch.Generator) -> str:
    """How the maps of a batch are made: the true ones in a quarter, else by ESPIRiT where there are enough lines."""
    kind = uniform(0, 1, generator)
    return "true" if kind < 0.25 else "espirit" if kind < 0.7 and enough else "low-resolution"


def measure(scene: Scene) -> Case:
    """The case of a scene, on its device; scaled so that mu's 99th percentile is 1."""
    shape = scene.magnitude.shape[-2:]
    magnitude = change_contrast(scene.magnitude, scene.contrast)
    clean = torch.polar(magnitude, phases(scene.phase, magnitude, scene.seed + 1))
    true_maps = None
    if scene.coils is not None and scene.compression is not None:
        true_maps = virtual_maps(scene.coils, scene.compression, *shape)
    coil_images = expand(clean, true_maps)
    generator = torch.Generator(clean.device).manual_seed(scene.seed)
    noise = torch.randn(coil_images.shape, dtype=torch.complex64, device=clean.device, generator=generator)
    if scene.mixing is not None:
        noise = torch.einsum("bvw,bwyx->bvyx", scene.mixing, noise)
    whole = fft2c(coil_images) * ghosts(scene.ghost, *shape)[:, None]
    whole = whole + scene.level[:, None, None, None] * math.sqrt(2) * noise
    kspace = whole * scene.mask[:, None]
    coil_maps = true_maps
    if true_maps is not None and scene.maps != "true":
        found = scene.maps == "espirit"
        coil_maps = maps_of_band(whole, scene.calibration) if found else low_resolution_maps(whole, scene.calibrating)
    mu = combine(ifft2c(kspace), coil_maps)
    target = combine(expand(clean, true_maps), coil_maps)
    target = target * (clean.abs() / target.abs().clamp_min(1e-6)).clamp_max(10)
    scale = mu.abs().flatten(1).quantile(0.99, 1).clamp_min(1e-6)
    one, several = scale[:, None, None], scale[:, None, None, None]
    measurement = Cartesian(kspace / several, scene.mask, coil_maps, sigma=scene.estimated / scale, map_weight=scene.weight)
    return Case(target / one, mu / one, measurement, is_smooth(scene.phase) if scene.coils is None else None)


def simulate(slices: Sequence[Example], seed: int, **settings: Any) -> Case:
    """A scene of `draw_scene`, with its settings, measured here and now."""
    return measure(draw_scene(slices, seed, **settings))
