"""Weather on photographs by name."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mri_d3gm.weather.haze import add_haze
from mri_d3gm.weather.rain import add_rain

WEATHER: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "rain-heavy": lambda image, generator: add_rain(image, generator, True),
    "rain-light": lambda image, generator: add_rain(image, generator, False),
    "haze": lambda image, generator: add_haze(image, generator)[0],
}


def degraded(image: Tensor, kind: str, seed: int) -> Tensor:
    """A picture (3, rows, cols) under one of WEATHER, all of it drawn from the seed."""
    return WEATHER[kind](image, torch.Generator().manual_seed(seed))
