"""Haze by the atmospheric scattering model I = J t + A (1 - t), t = exp(-beta d), and He's dark channel prior against it."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.draws import chance, uniform
from mri_d3gm.weather.guided_filter import guided_filter

LUMA = (0.299, 0.587, 0.114)
PATCH, REMOVED, LEAST = 15, 0.95, 0.1  # of the dark channel prior: pixels, share of the haze, and transmission
RADIUS, EPS = 60, 1e-4  # of its guided filter


def grey(image: Tensor) -> Tensor:
    """Luma (rows, cols) of (3, rows, cols), BT.601."""
    return torch.einsum("c,c...->...", image.new_tensor(LUMA), image)


def ramp_depth(rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """Depth (rows, cols) that grows upwards to a horizon, above which it is far, and a little to one side; 0 to 1."""
    horizon, side = uniform(-0.3, 0.5, generator), uniform(-0.3, 0.3, generator)
    curve = uniform(0.7, 2.0, generator)
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(-0.5, 0.5, cols), indexing="ij")
    near = ((y - horizon + side * x) / (1 - horizon)).clamp(0, 1)
    return (1 - near) ** curve


def smooth_depth(rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """Depth (rows, cols) of random fields of three scales; 0 to 1."""
    field = torch.zeros(1, 1, rows, cols)
    for cells, height in ((2, 1.0), (4, 0.5), (8, 0.25)):
        grid = torch.randn(1, 1, cells + 1, cells + 1, generator=generator) * height
        field += functional.interpolate(grid, (rows, cols), mode="bicubic", align_corners=True)
    return _to_unit(field[0, 0])


def guessed_depth(image: Tensor, generator: torch.Generator) -> Tensor:
    """Depth (rows, cols) guessed from (3, rows, cols): brighter, less saturated and higher up is farther; 0 to 1.

    A guided filter keeps the edges of things. After the attenuation prior of Zhu, Mai, Shao (TIP 2015) and a ramp.
    """
    rows, cols = image.shape[-2:]
    value = image.amax(0)
    saturation = (value - image.amin(0)) / value.clamp_min(1e-3)
    height = 1 - torch.linspace(0, 1, rows)[:, None].expand(rows, cols)
    weights = [uniform(*bounds, generator) for bounds in ((0.3, 1.0), (-0.6, -0.2), (0.5, 1.5))]
    guess = weights[0] * value + weights[1] * saturation + weights[2] * height
    farthest_near = least_within(guess[None], 7)[0]
    return _to_unit(guided_filter(grey(image), farthest_near, max(4, min(rows, cols) // 12), 1e-3))


def room_depth(rows: int, cols: int, generator: torch.Generator) -> Tensor:
    """Distance (rows, cols) from a camera inside a box to its walls, floor and ceiling; 0 to 1."""
    reach = math.tan(math.radians(uniform(25, 40, generator)))
    y, x = torch.meshgrid(torch.linspace(-reach, reach, rows) * rows / cols, torch.linspace(-reach, reach, cols), indexing="ij")
    yaw, pitch = math.radians(uniform(-50, 50, generator)), math.radians(uniform(-20, 10, generator))
    y, z = y * math.cos(pitch) - math.sin(pitch), math.cos(pitch) + y * math.sin(pitch)
    x, z = x * math.cos(yaw) + z * math.sin(yaw), z * math.cos(yaw) - x * math.sin(yaw)
    bounds = (0.8, 4), (0.8, 4), (1.0, 1.8), (0.8, 2.0), (2, 8), (0.5, 4)
    walls = [uniform(low, high, generator) for low, high in bounds]
    far = [axis.clamp_min(1e-3) / wall for axis, wall in zip((x, -x, y, -y, z, -z), walls, strict=True)]
    return _to_unit((x.square() + y.square() + z.square()).sqrt() / torch.stack(far).amax(0))


def with_pieces(depth: Tensor, image: Tensor, generator: torch.Generator) -> Tensor:
    """Depth (rows, cols) whose parts, bounded mostly by edges of the picture (3, rows, cols), stand nearer or farther."""
    rows, cols = depth.shape
    field = smooth_depth(rows, cols, generator) + uniform(0.3, 1.5, generator) * grey(image)
    labels = (_to_unit(field) * (uniform(3, 12, generator) - 1e-3)).long()
    factors = torch.exp(-0.3 + 0.4 * torch.randn(12, generator=generator).clamp(-2, 2))
    return guided_filter(grey(image), depth * factors[labels], max(2, min(rows, cols) // 40), 1e-3).clamp_min(0)


def _to_unit(depth: Tensor) -> Tensor:
    return (depth - depth.amin()) / (depth.amax() - depth.amin()).clamp_min(1e-6)


def _beta(depth: Tensor, mean_transmission: float) -> float:
    """The beta for which exp(-beta depth) has that mean, by bisection in its logarithm."""
    low, high = -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        if float((-math.exp(middle) * depth).exp().mean()) > mean_transmission:
            low = middle
        else:
            high = middle
    return math.exp(low)


def draw_depth(image: Tensor, generator: torch.Generator) -> Tensor:
    """Depth (rows, cols) for a picture (3, rows, cols): a room, a ramp, smooth fields or guessed from the picture, in half of
    the draws in pieces; the nearest is not at 0.
    """
    rows, cols = image.shape[-2:]
    kind = uniform(0, 1, generator)
    if kind < 0.35:
        depth = room_depth(rows, cols, generator)
    elif kind < 0.55:
        depth = ramp_depth(rows, cols, generator)
    elif kind < 0.7:
        depth = smooth_depth(rows, cols, generator)
    else:
        depth = guessed_depth(image, generator)
    depth = with_pieces(depth, image, generator) if chance(0.5, generator) else depth
    return depth + uniform(0.05, 0.8, generator)


def add_haze(image: Tensor, generator: torch.Generator, depth: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Hazy picture and its transmission (rows, cols) from a clean one (3, rows, cols) in [0, 1].

    depth: (rows, cols), at least 0, any unit; drawn if None. Mean transmission 0.3 to 1, below 0.9 in four of five
    draws, airlight 0.7 to 1, more often bright, with slight colour, no channel below 0.6. Equal generator states, equal haze.
    """
    depth = draw_depth(image, generator) if depth is None else depth
    depth = depth / depth.mean().clamp_min(1e-12)
    bounds = (0.3, 0.9) if chance(0.8, generator) else (0.9, 1.0)
    beta = _beta(depth, uniform(*bounds, generator))
    transmission = (-beta * depth).exp()
    tint = 0.05 * uniform(0, 1, generator) ** 2 * torch.randn(3, generator=generator).clamp(-2, 2)
    airlight = (0.7 + 0.3 * uniform(0, 1, generator) ** 0.5 + tint - tint.mean()).clamp(0.6, 1)[:, None, None]
    return image * transmission + airlight * (1 - transmission), transmission


def least_within(image: Tensor, patch: int) -> Tensor:
    """Least value within patch x patch pixels (odd), of image's shape ([batch,] channels, rows, cols)."""
    along = functional.max_pool2d(-image, (1, patch), 1, (0, patch // 2))
    return -functional.max_pool2d(along, (patch, 1), 1, (patch // 2, 0))


def dark_channel(image: Tensor, patch: int) -> Tensor:
    """Least value of any channel within patch x patch pixels (odd), (rows, cols) of (3, rows, cols)."""
    return least_within(image.amin(0, keepdim=True), patch)[0]


def dark_channel_prior(image: Tensor) -> Tensor:
    """Dehazed picture (3, rows, cols) in [0, 1] (He, Sun, Tang, CVPR 2009), its transmission refined by a guided filter.

    Airlight: mean of the brightest thousandth of the dark channel.
    """
    dark = dark_channel(image, PATCH).flatten()
    hazy = dark.topk(max(1, dark.numel() // 1000)).indices
    airlight = image.flatten(1)[:, hazy].mean(1).clamp_min(1e-3)[:, None, None]
    transmission = 1 - REMOVED * dark_channel(image / airlight, PATCH)
    transmission = guided_filter(grey(image), transmission, RADIUS, EPS).clamp(LEAST, 1)
    return ((image - airlight) / transmission + airlight).clamp(0, 1)
