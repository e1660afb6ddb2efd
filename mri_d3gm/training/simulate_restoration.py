"""Training cases for restoration: crops of photographs with synthetic rain or haze."""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.draws import chance, log_uniform, uniform
from mri_d3gm.physics.unknown import Unknown
from mri_d3gm.training.anatomy import draw
from mri_d3gm.training.clear_scenes import dusk, printed
from mri_d3gm.training.simulate import Case
from mri_d3gm.training.sources import Example
from mri_d3gm.weather.haze import add_haze
from mri_d3gm.weather.rain import add_rain

PRINTED = {"derain": 0.12, "dehaze": 0.05}  # share of the pictures


def crop_picture(image: Tensor, size: int, generator: torch.Generator, least_zoom: float = 0.4) -> Tensor:
    """A random crop (channels, size, size), in half of the draws from a smaller picture; flipped in half of the draws."""
    if chance(0.5, generator):
        zoom = log_uniform(min(1, max(least_zoom, size / min(image.shape[1:]))), 1, generator)
        shape = [max(size, round(n * zoom)) for n in image.shape[1:]]
        image = functional.interpolate(image[None], shape, mode="bicubic", antialias=True)[0].clamp(0, 1)
    missing = [max(0, size - n) for n in image.shape[1:]]
    image = functional.pad(image[None], (0, missing[1], 0, missing[0]), mode="replicate")[0]
    top, left = (int(uniform(0, n - size + 1, generator)) for n in image.shape[1:])
    image = image[:, top : top + size, left : left + size]
    return image.flip(2) if chance(0.5, generator) else image


def mosaic(slices: Sequence[Example], size: int, generator: torch.Generator) -> Tensor:
    """Four pictures in one of (3, size, size), two of them on their side: fine structure and straight bright edges."""
    quarters = [crop_picture(draw(slices, generator).image[:3], size // 2, generator, 0.15) for _ in range(4)]
    return torch.cat([torch.cat([quarters[0], quarters[1].mT], 2), torch.cat([quarters[2].mT, quarters[3]], 2)], 1)


def lattice(image: Tensor, generator: torch.Generator) -> Tensor:
    """The picture (3, size, size) brighter in a lattice of upright panes and darker between them, as house fronts are."""
    size = image.shape[-1]
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    lean, filled = uniform(-0.2, 0.2, generator), uniform(0.3, 0.8, generator)
    across, down = (log_uniform(5, 60, generator) for _ in range(2))
    panes = (((x + lean * y) / across).frac().abs() < filled) & ((y / down).frac() < filled)
    return torch.where(panes, 1 - uniform(0.1, 0.9, generator) * (1 - image), uniform(0.2, 1, generator) * image)


def with_blacks(image: Tensor) -> Tensor:
    """The picture (3, rows, cols) without the haze that it may hold already: its darkest hundredth in any channel is black."""
    veil = image.amin(0).flatten().quantile(0.01).clamp_max(0.9)
    return ((image - veil) / (1 - veil)).clamp_min(0)


def framed(pair: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (pictures, 3, rows, cols) of one scene in the same frame of one shade, mostly black, on some of their sides; in
    half of the draws with a bar of that shade inside.
    """
    shade = 0.0 if chance(0.7, generator) else uniform(0, 1, generator)
    for turn in range(4):
        if chance(0.6, generator):
            turned = pair.rot90(turn, (-2, -1)).clone()
            turned[..., : round(log_uniform(1, 0.2 * turned.shape[-2], generator)), :] = shade
            pair = turned.rot90(-turn, (-2, -1))
    if chance(0.5, generator):
        sizes = [round(log_uniform(4, 0.6 * n, generator)) for n in pair.shape[-2:]]
        top, left = (int(uniform(0, n - size, generator)) for n, size in zip(pair.shape[-2:], sizes, strict=True))
        pair = pair.clone()
        pair[..., top : top + sizes[0], left : left + sizes[1]] = shade
    return pair


def as_a_camera(image: Tensor, generator: torch.Generator) -> Tensor:
    """A picture (3, rows, cols) in [0, 1] with noise in three draws of ten, and compressed as JPEG in others."""
    kind = uniform(0, 1, generator)
    if kind < 0.3:
        return (image + uniform(0, 0.01, generator) * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    if kind > 0.7:
        coded = BytesIO()
        levels = (255 * image.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(coded, "JPEG", quality=int(uniform(70, 95, generator)))
        return torch.from_numpy(np.array(Image.open(coded))).permute(2, 0, 1).float() / 255
    return image


def draw_scene(
    slices: Sequence[Example], picture: Tensor, crop: int, *, task: str, generator: torch.Generator
) -> tuple[Tensor, bool]:
    """A clean picture (3, crop, crop) in [0, 1] from a picture (3, rows, cols), and whether it has to stay as it is."""
    crowded = task == "derain" and chance(0.3, generator)
    image = mosaic(slices, crop, generator) if crowded else crop_picture(picture, crop, generator)
    if task == "derain" and chance(0.15, generator):
        image = lattice(image, generator)
    if chance(PRINTED[task], generator):
        return printed(image, generator), chance(0.5, generator)
    if task == "derain":
        return image, chance(0.1, generator)
    if chance(0.08, generator):
        return dusk(image, generator), True
    if chance(0.4, generator):
        return image, True
    return with_blacks(image) if chance(0.8, generator) else image, chance(0.1, generator)


def simulate_restoration(
    slices: Sequence[Example],
    seed: int,
    *,
    task: str,
    batch: int = 4,
    crop: int = 128,
    heavy: float = 0.6,
    misty: float = 0.3,
) -> Case:
    """One batch of colour crops (batch, 3, crop, crop) in [0, 1] that depends on the seed alone; mu is the degraded one.

    derain: a part `heavy` of the pictures in the manner of Rain100H, the rest of Rain100L, a part `misty` of them with mist;
    many are mosaics, printed, or get a lattice, so that fine structure is not taken for streaks. dehaze: scattering model, then
    noise or compression in some; more of the pictures are dark, some are printed or show dusk.
    A tenth of the pictures is left as it is, of those for dehaze nearly a half, so that clean ones are not changed. Brightness
    and colours vary, and a tenth has a frame or a bar. Pictures that come with a degraded counterpart are only cropped.
    """
    generator = torch.Generator().manual_seed(seed)
    clean, degraded = [], []
    for _ in range(batch):
        picture = draw(slices, generator)
        if picture.degraded is not None:
            both = crop_picture(torch.cat([picture.image, picture.degraded]), crop, generator)
            clean.append(both[:3])
            degraded.append(both[3:])
            continue
        image, clear = draw_scene(slices, picture.image[:3], crop, task=task, generator=generator)
        image = image ** math.exp(uniform(-0.3, 0.3 if task == "derain" else 0.8, generator))
        if chance(0.5, generator):
            image = image[torch.randperm(3, generator=generator)]
        clean.append(image)
        if task == "derain":
            degraded.append(image if clear else add_rain(image, generator, chance(heavy, generator), misty=misty))
        else:
            degraded.append(as_a_camera(image if clear else add_haze(image, generator)[0].clamp(0, 1), generator))
        if chance(0.1, generator):
            clean[-1], degraded[-1] = framed(torch.stack([clean[-1], degraded[-1]]), generator)
    mu = torch.stack(degraded)
    return Case(torch.stack(clean), mu, Unknown(mu))
