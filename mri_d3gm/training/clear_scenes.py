"""Clear scenes that look degraded: printed pages, whose strokes look like rain, and dusk, whose glow looks like haze."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.draws import chance, log_uniform, uniform

LETTERS = "eeeettaaooiinnsshrrddllcumwfgypbvkjxqz"


def _words(count: int, generator: torch.Generator) -> str:
    """That many characters in words of 1 to 10; some are capitals or numbers."""
    picks = torch.randint(len(LETTERS), (count,), generator=generator).tolist()
    gaps = torch.rand(count, generator=generator).tolist()
    written = [" " if gap < 0.18 else LETTERS[pick] for pick, gap in zip(picks, gaps, strict=True)]
    return "".join(
        str(place % 10) if gap > 0.97 else c.upper() if gap > 0.92 else c
        for place, (c, gap) in enumerate(zip(written, gaps, strict=True))
    )


def printed(image: Tensor, generator: torch.Generator) -> Tensor:
    """The picture (3, rows, cols) in [0, 1] with lines of text of 6 to 30 pixels, or a page, or part of one, instead of it.

    Ink is of one colour, darker than the page or brighter.
    """
    rows, cols = image.shape[-2:]
    dark = chance(0.65, generator)
    page, ink = (uniform(*bounds, generator) for bounds in ((0.6, 1.0), (0.0, 0.4)))
    page, ink = (page, ink) if dark else (ink, page)
    tint = 1 - uniform(0, 0.3, generator) * torch.rand(3, generator=generator)
    kept = 1.0 if chance(0.3, generator) else uniform(0, 0.3, generator)
    ground = torch.lerp(page * tint[:, None, None].expand_as(image), image, kept)
    height = log_uniform(6, 30, generator)
    font = ImageFont.load_default(round(height))
    canvas = Image.new("L", (cols, rows))
    pen = ImageDraw.Draw(canvas)
    spacing = height * uniform(1.1, 2.2, generator)
    left = uniform(0, 0.3, generator) * cols if chance(0.5, generator) else -height
    for line in range(math.ceil(rows / spacing) + 1):
        if chance(0.85, generator):
            pen.text((left, (line - 0.5) * spacing), _words(round(2.5 * cols / height) + 2, generator), fill=255, font=font)
    strokes = torch.from_numpy(np.array(canvas)).float()[None] / 255
    if chance(0.3, generator):
        strokes[..., : round(uniform(0.2, 0.7, generator) * rows), :] = 0
    colour = ink * (1 - uniform(0, 0.5, generator) * torch.rand(3, generator=generator))
    return torch.lerp(ground, colour[:, None, None].expand_as(image), strokes)


def trails(rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """Brightness (rows, cols) of stars that turned about a pole while the shutter was open, or stood still; 0 to 1."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
    if chance(0.4, generator):
        points = torch.rand(1, 1, rows, cols, generator=generator)
        bright = (points > 1 - log_uniform(3e-4, 5e-3, generator)).float() * torch.rand(points.shape, generator=generator)
        return functional.max_pool2d(bright, 3, 1, 1)[0, 0] if chance(0.5, generator) else bright[0, 0]
    y, x = y - uniform(-0.3, 1.3, generator) * rows, x - uniform(-0.3, 1.3, generator) * cols
    circle = (y.square() + x.square()).sqrt().long()
    count = int(circle.amax()) + 1
    begin, bright = torch.rand(2, count, generator=generator)
    shown = bright > uniform(0.3, 0.9, generator)
    turned = (torch.atan2(y, x) / (2 * math.pi) + begin[circle]).remainder(1)
    return torch.where(shown[circle] & (turned < uniform(0.05, 0.5, generator)), bright[circle], 0.0)


def dusk(image: Tensor, generator: torch.Generator) -> Tensor:
    """A sky (3, rows, cols) in [0, 1] that is brighter towards the horizon, in some draws with stars, behind the dark land that
    the picture (3, rows, cols) is.
    """
    rows, cols = image.shape[-2:]
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, cols), indexing="ij")
    horizon = uniform(0.3, 1.2, generator)
    low = uniform(0.3, 1.0, generator) * (1 - uniform(0, 0.8, generator) * torch.rand(3, generator=generator))
    high = low * uniform(0.05, 0.8, generator) * (0.5 + torch.rand(3, generator=generator)).clamp_max(1.2)
    share = (y / max(horizon, 0.1)).clamp(0, 1) ** uniform(0.6, 4, generator)
    sky = torch.lerp(high[:, None, None], low[:, None, None], share)
    if chance(0.5, generator):
        middle, reach = uniform(-0.1, 1.1, generator), uniform(0.05, 0.5, generator)
        glow = (-((x - middle).square() + (y - horizon).square()) / reach**2).exp()
        warm = 1 - torch.rand(3, generator=generator)[:, None, None] * torch.tensor([0.2, 0.5, 1.0])[:, None, None]
        sky = sky + uniform(0.2, 0.8, generator) * glow * warm
    if chance(0.4, generator):
        sky = sky + uniform(0.3, 1.0, generator) * trails(rows, cols, generator)
    cells = int(uniform(3, 12, generator))
    ridge = functional.interpolate(torch.randn(1, 1, cells, generator=generator), cols, mode="linear", align_corners=True)[0, 0]
    uneven = uniform(0, 0.5, generator) * (image.mean(0) - 0.5)
    land = y + uneven > horizon + uniform(0.02, 0.15, generator) * ridge
    return torch.where(land, uniform(0, 0.5, generator) * image, sky.clamp(0, 1))
