"""Synthetic rain: straight streaks in layers, colourless, added to the picture and clipped, with mist in some.

Sizes are pixels of pictures about 480 x 320, as in Rain100L and Rain100H (Yang et al., CVPR 2017); `scale` makes them
larger. The numbers were set by the statistics of ten pairs, whose pixels are used nowhere.
"""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.draws import chance, log_uniform, uniform

Range = tuple[float, float]

CHUNK = 2048


class _Streaks(NamedTuple):
    """Of each streak its top (rows, cols), length and width in pixels, columns per row, brightness, phase of its beads."""

    top: Tensor
    left: Tensor
    length: Tensor
    width: Tensor
    slope: Tensor
    brightness: Tensor
    phase: Tensor


def _each(bounds: Range, generator: torch.Generator, count: int) -> Tensor:
    """(count,) numbers between the bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand((count,), generator=generator)


def _each_log(bounds: Range, generator: torch.Generator, count: int) -> Tensor:
    """(count,) numbers whose logarithms are uniform."""
    return _each((math.log(bounds[0]), math.log(bounds[1])), generator, count).exp()


def _paint(layer: Tensor, streaks: _Streaks, soft: bool) -> None:
    """Raise layer (rows, cols) to the streaks where they are brighter, in place."""
    rows, cols = layer.shape
    reach = math.ceil(float(streaks.width.max()) * (1 if soft else 0.5) + 0.5)
    step = torch.arange(math.ceil(float(streaks.length.max())))[None, :, None]
    across = torch.arange(-reach, reach + 1)[None, None]
    top, left, length, width, slope, brightness, phase = (field[:, None, None] for field in streaks)
    centre = left + slope * step
    row, col = (top.floor() + step).long(), (centre.floor() + across).long()
    distance = (col + 0.5 - centre) / width
    along = (step + 0.5) / length
    if soft:
        shape = torch.exp(-2.77 * distance**2) * torch.sin(math.pi * along.clamp(0, 1)).clamp_min(0).sqrt()
        shape = shape * (0.75 + 0.25 * torch.sin(phase + step * 0.35))
    else:
        shape = (width * (0.5 - distance.abs()) + 0.5).clamp(0, 1) * torch.ones_like(along)
    row, col, value = torch.broadcast_tensors(row, col, brightness * shape)
    seen = (along <= 1) & (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    layer.view(-1).scatter_reduce_(0, (row * cols + col)[seen], value[seen], "amax")


def rain_layer(
    rows: int,
    cols: int,
    generator: torch.Generator,
    *,
    density: float,
    length: Range,
    width: Range,
    angle: float,
    spread: float = 2.0,
    brightness: Range = (0.1, 0.5),
    soft: bool = False,
    fade: Range = (0.0, 0.0),
    scale: float = 1.0,
) -> Tensor:
    """One layer of streaks, (rows, cols) in [0, 1], the brightest streak wins where they cross.

    density: streaks per 1000 pixels. length, width (pixels) and brightness: least and greatest. angle: mean direction in
    degrees from vertical, positive leans to the right downwards, below 75; spread: its standard deviation. soft: streaks
    fade at sides and ends and are beaded along, otherwise they are sharp bars. fade: shares of the greatest length that tops
    keep off where the first could enter above, and off the lower border. scale: how much larger, and fewer, they are.
    """
    density, (short, long), (narrow, wide) = density / scale**2, length, width
    length, width = (short * scale, long * scale), (narrow * scale, wide * scale)
    layer = torch.zeros(rows, cols)
    high = math.ceil(length[1])
    slopes = [math.tan(math.radians(max(-75.0, min(75.0, angle + turn)))) for turn in (-2 * spread, 2 * spread)]
    before, after = math.ceil(high * max(0, slopes[1])) + 4, math.ceil(high * max(0, -slopes[0])) + 4
    top, bottom = (fade[0] - 1) * high, rows - fade[1] * high
    count = round(density * max(0.0, bottom - top) * (cols + before + after) / 1000)
    if count == 0:
        return layer
    turn = (angle + spread * torch.randn(count, generator=generator).clamp(-2, 2)).clamp(-75, 75)
    streaks = _Streaks(
        top=_each((top, bottom), generator, count),
        left=_each((-before, cols + after), generator, count),
        length=_each_log(length, generator, count),
        width=_each(width, generator, count),
        slope=torch.tan(torch.deg2rad(turn)),
        brightness=_each_log(brightness, generator, count),
        phase=_each((0, 2 * math.pi), generator, count),
    )
    for start in range(0, count, CHUNK):
        _paint(layer, _Streaks(*(field[start : start + CHUNK] for field in streaks)), soft)
    return layer.clamp(0, 1)


def _light(rows: int, cols: int, generator: torch.Generator, scale: float) -> Tensor:
    ranges = (0.8, 4.0), (-25, 25), (1, 3), (0.4, 0.9)
    density, angle, spread, bright = (uniform(low, high, generator) for low, high in ranges)
    layer = partial(rain_layer, rows, cols, generator, angle=angle, spread=spread, scale=scale)
    return layer(density=density, length=(10, 95), width=(1.0, 2.6), brightness=(0.03, bright), soft=True)


def _heavy(rows: int, cols: int, generator: torch.Generator, scale: float) -> Tensor:
    """Three layers of bars, and wider soft streaks added to them; in most pictures fewer towards a border.

    Where bars cross the brightest wins, or in half of the pictures the third layer is added. In a fifth the layers cross.
    """
    value, likely = partial(uniform, generator=generator), partial(log_uniform, generator=generator)
    angle, bright, crossing = value(-9, 9), likely(0.3, 0.95), chance(0.2, generator)
    spread = value(6, 13) if chance(0.12, generator) else value(0.3, 3)
    above, below = value(-0.4, 0.4), value(-0.5, 0.5)
    longest, widest, least, summed = value(90, 220), value(1.8, 3), value(0.05, 0.25) * bright, chance(0.5, generator)
    layer = partial(rain_layer, rows, cols, generator, spread=spread, fade=(max(0.0, above), max(0.0, below)), scale=scale)
    bar = partial(layer, length=(35, longest), width=(1.2, widest), brightness=(least, bright))
    streaks = torch.zeros(rows, cols)
    for number in range(3):
        turn = value(-22, 22) if crossing and number else value(-2, 2)
        bars = bar(angle=angle + turn, density=likely(1.5, 8))
        streaks = streaks + bars if summed and number == 2 else torch.maximum(streaks, bars)
    wide = partial(layer, length=(20, 140), width=(1.5, 6), brightness=(0.03, 0.8 * bright), soft=True)
    return streaks + wide(angle=angle, density=likely(0.3, 5))


def _mist(rows: int, cols: int, strongest: float, generator: torch.Generator) -> Tensor:
    """Smooth share of white, (rows, cols), 0 to strongest."""
    coarse = torch.rand(1, 1, 4, 4, generator=generator) * uniform(0, strongest, generator)
    return functional.interpolate(coarse, (rows, cols), mode="bilinear", align_corners=True)[0, 0]


def add_rain(image: Tensor, generator: torch.Generator, heavy: bool, scale: float = 1.0, misty: float = 0.3) -> Tensor:
    """Rainy picture (channels, rows, cols) in [0, 1] from a clean one; equal generator states give equal rain.

    heavy: in the manner of Rain100H, else of Rain100L. scale: size of the streaks. misty: share of pictures that get mist.
    """
    rows, cols = image.shape[-2:]
    if chance(misty, generator):
        mist = _mist(rows, cols, 0.3 if heavy else 0.15, generator)
        image = image * (1 - mist) + 0.85 * mist
    streaks = (_heavy if heavy else _light)(rows, cols, generator, scale)
    return (image + streaks).clamp(0, 1)
