"""Phases of training cases: smooth as those of a homogeneous field, or as rough as those of real scans.

A phase is drawn as a vector of numbers on the CPU, and made of them, a batch at a time, on any device.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.draws import chance, log_uniform, one_of, uniform

REGIONS = 5
PARTS = (46, 2, 3, 3 * REGIONS, 2, 2)  # numbers of: smooth, several scales, tissue, regions, echo, air
FAR = 1e3


def draw_field(generator: torch.Generator) -> Tensor:
    """Numbers behind one of `smooth_fields`: ten coefficients of a cubic polynomial, and in 30 % a coarse grid of 6 x 6."""
    scales = torch.tensor([3.0] + [1.2] * 2 + [0.8] * 3 + [0.4] * 4)
    polynomial = uniform(0.3, 1.2, generator) * scales * torch.randn(10, generator=generator)
    strength = uniform(0.2, 0.8, generator) if chance(0.3, generator) else 0.0
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


def draw_phase(generator: torch.Generator, rough: float = 1.0) -> Tensor:
    """Numbers behind one of `phases`: a smooth field, and to a share `rough` of the draws some of the parts of a real one.

    These are a random field (75 %, and where there is nothing else), an offset of a tissue (50 %), regions, a shift of the
    echo, and the field that the border to the air makes (30 % each).
    """
    smooth, real = draw_field(generator), chance(rough, generator)
    has = [real and chance(share, generator) for share in (0.75, 0.5, 0.3, 0.3, 0.3)]
    scales = [log_uniform(0.05, 1.2, generator), uniform(0.8, 2.2, generator)]
    offset = math.pi if chance(0.2, generator) else log_uniform(0.1, math.pi, generator)
    tissue = [_signed(offset, generator), uniform(0.1, 0.8, generator), log_uniform(0.01, 0.1, generator)]
    count = one_of((2, 2, 3, REGIONS), generator)
    places = 2 * torch.rand(REGIONS, 2, generator=generator) - 1
    places[count:] = FAR
    regions = torch.cat([places, uniform(0.2, 2, generator) * torch.randn(REGIONS, 1, generator=generator)], 1)
    echo = [_signed(log_uniform(0.5, 6, generator), generator) for _ in range(2)]
    air = [log_uniform(0.15, 2.5, generator), uniform(0, math.pi, generator)]
    if not has[0] and not any(has[1:]):
        has[0] = real
    if not has[0]:
        scales[0] = 0.0
    if not has[1]:
        tissue[0] = 0.0
    parts = (regions.flatten() * has[2], torch.tensor(echo) * has[3], torch.tensor(air) * has[4])
    return torch.cat([smooth, torch.tensor(scales + tissue), *parts])


def is_smooth(numbers: Tensor) -> Tensor:
    """Which of `draw_phase`'s numbers, (batch, all of them), are a smooth field alone, (batch,) bool."""
    _, scales, tissue, regions, echo, air = numbers.split(PARTS, 1)
    strengths = (scales[:, :1], tissue[:, :1], regions[:, 2::3], echo, air[:, :1])
    return ~torch.cat(strengths, 1).any(1)


def _signed(size: float, generator: torch.Generator) -> float:
    return -size if chance(0.5, generator) else size


def phases(numbers: Tensor, magnitude: Tensor, seed: int) -> Tensor:
    """(batch, rows, cols) in radians of `draw_phase`'s numbers, for magnitudes of that shape; seed is that of random fields."""
    rows, cols = magnitude.shape[-2:]
    smooth, scales, tissue, regions, echo, air = numbers.split(PARTS, 1)
    y, x = _grid(rows, cols, numbers.device)
    shift = math.pi * (echo[:, 0, None, None] * y + echo[:, 1, None, None] * x)
    total = smooth_fields(smooth, rows, cols) + shift + _of_several_scales(scales, magnitude, seed)
    return total + _of_tissue(tissue, magnitude) + _of_regions(regions, y, x) + _of_air(air, magnitude)


def _frequencies(like: Tensor) -> tuple[Tensor, Tensor]:
    """Cycles per pixel along rows (rows, 1) and columns (1, cols), as `torch.fft` orders them."""
    rows, cols = (torch.fft.fftfreq(count, device=like.device) for count in like.shape[-2:])
    return rows[:, None], cols[None]


def _of_several_scales(numbers: Tensor, magnitude: Tensor, seed: int) -> Tensor:
    """White noise whose spectrum falls with the frequency to the power of a slope, of an amplitude in radians."""
    amplitude, slope = (number[:, None, None] for number in numbers.unbind(1))
    generator = torch.Generator(magnitude.device).manual_seed(seed)
    noise = torch.randn(magnitude.shape, device=magnitude.device, generator=generator)
    down, across = _frequencies(magnitude)
    falling = (down**2 + across**2 + 1e-5) ** (-slope / 2)
    field = torch.fft.ifft2(torch.fft.fft2(noise) * falling).real
    field = field - field.mean((1, 2), keepdim=True)
    return amplitude * field / field.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-12)


def _of_tissue(numbers: Tensor, magnitude: Tensor) -> Tensor:
    """An offset where the magnitude is above a soft threshold: fat beside water, or the sign of an inversion recovery."""
    offset, threshold, softness = (number[:, None, None] for number in numbers.unbind(1))
    return offset * ((magnitude - threshold) / softness).sigmoid()


def _of_regions(numbers: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Offsets that are constant over the places nearest to each of a few points."""
    top, left, offset = (number[..., None, None] for number in numbers.reshape(-1, REGIONS, 3).unbind(2))
    distance = (y - top).square() + (x - left).square()
    return ((-200 * distance).softmax(1) * offset).sum(1)


def _of_air(numbers: Tensor, magnitude: Tensor) -> Tensor:
    """The field of dipoles where there is tissue, steep at the border to the air; strength and direction of the main field."""
    strength, angle = (number[:, None, None] for number in numbers.unbind(1))
    body = functional.avg_pool2d((magnitude > 0.08).float()[:, None], 3, 1, 1)[:, 0]
    down, across = _frequencies(magnitude)
    along = (down * angle.cos() + across * angle.sin()).square() / (down**2 + across**2).clamp_min(1e-12)
    return strength * 2 * math.pi * torch.fft.ifft2(torch.fft.fft2(body) * (1 / 3 - along)).real
