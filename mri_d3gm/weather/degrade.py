"""Weather on photographs by name."""

import torch
from torch import Tensor

from mri_d3gm.weather.haze import add_haze
from mri_d3gm.weather.rain import add_rain


def degraded(image: Tensor, kind: str, seed: int) -> Tensor:
    """A picture (3, rows, cols) with rain-heavy, rain-light or haze, all of it drawn from the seed."""
    generator = torch.Generator().manual_seed(seed)
    return add_haze(image, generator)[0] if kind == "haze" else add_rain(image, generator, kind == "rain-heavy")
