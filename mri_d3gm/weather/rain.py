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


def _uniform(bounds: Range, generator: torch.Generator, count: int | None = None) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(() if count is None else (count,), generator=generator)


def _log_uniform(bounds: Range, generator: torch.Generator, count: int | None = None) -> Tensor:
    return _uniform((math.log(bounds[0]), math.log(bounds[1])), generator, count).exp()


def _value(bounds: Range, generator: torch.Generator) -> float:
    return float(_uniform(bounds, generator))


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
    scale: float = 1.0,
) -> Tensor:
    """One layer of streaks, (rows, cols) in [0, 1], the brightest streak wins where they cross.

    density: streaks per 1000 pixels. length, width (pixels) and brightness: least and greatest. angle: mean direction in
    degrees from vertical, positive leans to the right downwards, below 75; spread: its standard deviation. soft: streaks
    fade at sides and ends and are beaded along, otherwise they are sharp bars. scale: how much larger, and fewer, they are.
    """
    density, (short, long), (narrow, wide) = density / scale**2, length, width
    length, width = (short * scale, long * scale), (narrow * scale, wide * scale)
    layer = torch.zeros(rows, cols)
    high = math.ceil(length[1])
    slopes = [math.tan(math.radians(max(-75.0, min(75.0, angle + turn)))) for turn in (-2 * spread, 2 * spread)]
    before, after = math.ceil(high * max(0, slopes[1])) + 4, math.ceil(high * max(0, -slopes[0])) + 4
    count = round(density * (rows + high) * (cols + before + after) / 1000)
    if count == 0:
        return layer
    turn = (angle + spread * torch.randn(count, generator=generator).clamp(-2, 2)).clamp(-75, 75)
    streaks = _Streaks(
        top=_uniform((-high, rows), generator, count),
        left=_uniform((-before, cols + after), generator, count),
        length=_log_uniform(length, generator, count),
        width=_uniform(width, generator, count),
        slope=torch.tan(torch.deg2rad(turn)),
        brightness=_log_uniform(brightness, generator, count),
        phase=_uniform((0, 2 * math.pi), generator, count),
    )
    for start in range(0, count, CHUNK):
        _paint(layer, _Streaks(*(field[start : start + CHUNK] for field in streaks)), soft)
    return layer.clamp(0, 1)


def _light(rows: int, cols: int, generator: torch.Generator, scale: float) -> Tensor:
    ranges = (0.8, 4.0), (-25, 25), (1, 3), (0.4, 0.9)
    density, angle, spread, bright = (_value(bounds, generator) for bounds in ranges)
    layer = partial(rain_layer, rows, cols, generator, angle=angle, spread=spread, scale=scale)
    return layer(density=density, length=(10, 95), width=(1.0, 2.6), brightness=(0.03, bright), soft=True)


def _heavy(rows: int, cols: int, generator: torch.Generator, scale: float) -> Tensor:
    """Three layers of bars of which the brightest wins, and wider soft streaks added to them."""
    angle, bright = _value((-12, 12), generator), float(_log_uniform((0.4, 0.95), generator))
    spread = _value((7, 14), generator) if _value((0, 1), generator) < 0.12 else _value((1, 3.5), generator)
    layer = partial(rain_layer, rows, cols, generator, angle=angle, spread=spread, scale=scale)
    bars = torch.zeros(rows, cols)
    for _ in range(3):
        density = _value((1.0, 6.0), generator)
        bar = layer(density=density, length=(35, 150), width=(0.6, 2.6), brightness=(0.1 * bright, bright))
        bars = torch.maximum(bars, bar)
    density = _value((0.5, 5), generator)
    return bars + layer(density=density, length=(20, 110), width=(1.5, 5), brightness=(0.03, 0.8 * bright), soft=True)


def _mist(rows: int, cols: int, strongest: float, generator: torch.Generator) -> Tensor:
    """Smooth share of white, (rows, cols), 0 to strongest."""
    coarse = torch.rand(1, 1, 4, 4, generator=generator) * _value((0, strongest), generator)
    return functional.interpolate(coarse, (rows, cols), mode="bilinear", align_corners=True)[0, 0]


def add_rain(image: Tensor, generator: torch.Generator, heavy: bool, scale: float = 1.0) -> Tensor:
    """Rainy picture (channels, rows, cols) in [0, 1] from a clean one; equal generator states give equal rain.

    heavy: in the manner of Rain100H, else of Rain100L; three pictures in ten get mist besides. scale: size of the streaks.
    """
    rows, cols = image.shape[-2:]
    if _value((0, 1), generator) < 0.3:
        mist = _mist(rows, cols, 0.3 if heavy else 0.15, generator)
        image = image * (1 - mist) + 0.85 * mist
    streaks = (_heavy if heavy else _light)(rows, cols, generator, scale)
    return (image + streaks).clamp(0, 1)
