"""Training cases for restoration: crops of photographs with synthetic rain or haze."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.training.simulate import Case, draw, uniform
from mri_d3gm.training.sources import Slice
from mri_d3gm.weather.haze import add_haze
from mri_d3gm.weather.rain import add_rain

TASKS = ("derain", "dehaze")


def crop_picture(image: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A random crop (channels, size, size), in half of the draws from a smaller picture; flipped in half of the draws."""
    if uniform(0, 1, generator) < 0.5:
        zoom = math.exp(uniform(math.log(max(0.4, size / min(image.shape[1:]))), 0, generator))
        shape = [max(size, round(n * zoom)) for n in image.shape[1:]]
        image = functional.interpolate(image[None], shape, mode="bicubic", antialias=True)[0].clamp(0, 1)
    missing = [max(0, size - n) for n in image.shape[1:]]
    image = functional.pad(image[None], (0, missing[1], 0, missing[0]), mode="replicate")[0]
    top, left = (int(uniform(0, n - size + 1, generator)) for n in image.shape[1:])
    image = image[:, top : top + size, left : left + size]
    return image.flip(2) if uniform(0, 1, generator) < 0.5 else image


def simulate_restoration(
    slices: Sequence[Slice], seed: int, *, task: str, batch: int = 4, crop: int = 128, heavy: float = 0.6
) -> Case:
    """One batch of colour crops (batch, 3, crop, crop) in [0, 1] that depends on the seed alone; mu is the degraded one.

    derain: a part `heavy` of the pictures in the manner of Rain100H, the rest of Rain100L. dehaze: scattering model.
    A tenth of the pictures is left as it is, so that clean ones are not changed. Brightness and colours vary. Pictures that
    come with a degraded counterpart are only cropped.
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
        image = crop_picture(picture.image, crop, generator)
        image = image ** math.exp(uniform(-0.3, 0.3, generator))
        if uniform(0, 1, generator) < 0.5:
            image = image[torch.randperm(3, generator=generator)]
        clean.append(image)
        if uniform(0, 1, generator) < 0.1:
            degraded.append(image)
        elif task == "derain":
            degraded.append(add_rain(image, generator, uniform(0, 1, generator) < heavy))
        else:
            degraded.append(add_haze(image, generator)[0])
    return Case(torch.stack(clean), torch.stack(degraded))
