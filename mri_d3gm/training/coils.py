"""Coils of training cases: arrays of several geometries, compressed to a few virtual coils, and maps as a scan shows them."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.physics.coil_maps import (
    CROP,
    ITERATIONS,
    KERNEL,
    SQUARINGS,
    THRESHOLD,
    calibrating,
    leading,
    normalised,
    smooth_coil_maps,
    waves,
)
from mri_d3gm.physics.draws import chance, one_of, uniform
from mri_d3gm.physics.fft import fft2c, ifft2c

VIRTUAL = 8
COUNTS = (4, 4, 6, 8, 8, 12, 16, 20, 24, 32)


def draw_count(generator: torch.Generator) -> int:
    """How many coils an array has, 4 to 32."""
    return one_of(COUNTS, generator)


def draw_coils(coils: int, generator: torch.Generator) -> Tensor:
    """Numbers behind `smooth_coil_maps`, (coils, 6): place around the field of view, its height, falloff, phase and slope.

    A ring, a birdcage, planar arrays on one side or two, or a head array of two rings that overlap; turned by any angle, and
    as often as not the rows lie off its middle.
    """
    kind = one_of((0, 0, 1, 2, 3, 4), generator)
    height, off = uniform(0.15, 1, generator), uniform(-0.5, 0.5, generator) * chance(0.5, generator)
    order = torch.arange(coils)
    angle = uniform(0, 2 * math.pi, generator) + 2 * math.pi * order / coils
    falloff, phase, slope, place = torch.rand(4, coils, generator=generator)
    falloff, phase, slope = 0.6 + 0.6 * falloff, 2 * math.pi * phase, 2 * slope - 1
    top, left = _ring(uniform(1.0, 1.6, generator) * torch.ones(coils), angle)
    if kind == 1:
        falloff, phase, slope = 0.5 + 0 * falloff, angle, 0 * slope
    elif kind in (2, 3):
        along = (order + 0.5 * place) / coils * 2 - 1
        side = torch.where(order % kind == 0, -1.2, 1.2) if kind == 3 else torch.full((coils,), 1.2)
        top, left = _turned(side, 1.1 * along, one_of((0, 1, 1), generator) * math.pi / 2)
        falloff = falloff + 0.4
    elif kind == 4:
        top, left = _ring(1.05 + 0.25 * (order % 2) + 0.1 * place, angle * 2)
        falloff = falloff + 0.6
    return torch.stack([top + off, left, torch.full((coils,), height), falloff, phase, slope], 1)


def _ring(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    return radius * angle.sin(), radius * angle.cos()


def _turned(top: Tensor, left: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    return top * math.cos(angle) - left * math.sin(angle), top * math.sin(angle) + left * math.cos(angle)


def compression(numbers: Tensor, magnitude: Tensor) -> Tensor:
    """(virtual, coils) complex: principal parts of the coils' images of a magnitude (rows, cols), at most VIRTUAL."""
    small = functional.adaptive_avg_pool2d(magnitude[None], (12, 40))[0]
    images = (smooth_coil_maps(numbers[None], 12, 40)[0] * small).flatten(1)
    vectors = torch.linalg.eigh(images @ images.mH)[1]
    return vectors.mH.flip(0)[:VIRTUAL]


def draw_mixing(virtual: int, correlated: bool, generator: torch.Generator) -> Tensor:
    """(virtual, virtual) complex: from white noise to the coils', whose mean variance is one; white unless correlated."""
    mixing = torch.eye(virtual, dtype=torch.complex64)
    other = torch.randn(virtual, virtual, dtype=torch.complex64, generator=generator)
    mixing = mixing + uniform(0.1, 0.5, generator) * correlated * other
    return mixing * (virtual**0.5 / torch.linalg.matrix_norm(mixing))


def virtual_maps(numbers: Tensor, compressing: Tensor, rows: int, cols: int) -> Tensor:
    """Maps of the compressed coils, (batch, virtual, rows, cols), S^H S = 1; computed at a quarter of the resolution."""
    coarse = torch.einsum("bvc,bcyx->bvyx", compressing, smooth_coil_maps(numbers, rows // 4, cols // 4))
    parts = torch.view_as_real(coarse).movedim(-1, 1).flatten(1, 2)
    fine = functional.interpolate(parts, (rows, cols), mode="bicubic", align_corners=True)
    return normalised(torch.complex(*fine.unflatten(1, (2, -1)).unbind(1)))


def maps_of_band(kspace: Tensor, calibration: tuple[int, int]) -> Tensor:
    """ESPIRiT's maps of bands of rows (batch, coils, rows, cols), as if nothing lay beyond them.

    By themselves bands go on at their first row after their last one, where maps that are smooth cannot follow.
    """
    margin = kspace.shape[2] // 2
    return espirit_maps(fft2c(functional.pad(ifft2c(kspace), (0, 0, margin, margin))), calibration, margin=margin)


def espirit_maps(kspace: Tensor, calibration: tuple[int, int], *, margin: int = 0) -> Tensor:
    """`physics.coil_maps.espirit` of a batch (batch, coils, rows, cols), so that a GPU waits for nothing.

    margin rows are left out at both ends. The projection on the strong part of the calibration matrix is (G + tau)^-1 G,
    sharpened, instead of its eigenvectors.
    """
    batch, coils, rows, cols = kspace.shape
    centre = calibrating(kspace, calibration)
    kh, kw = (min(KERNEL, max(3, extent // 2)) for extent in calibration)
    patches = centre.unfold(2, kh, 1).unfold(3, kw, 1).permute(0, 2, 3, 1, 4, 5).reshape(batch, -1, coils * kh * kw)
    correlation = _correlation(_strong_part(patches.mH @ patches).reshape(batch, coils, kh, kw, coils, kh, kw))
    down, across = waves(rows, kh, kspace)[margin : rows - margin], waves(cols, kw, kspace)
    rows = len(down)
    operator = torch.einsum("yp,bpqvw,xq->byxvw", down, correlation, across).reshape(batch, -1, coils, coils)
    for _ in range(SQUARINGS):
        operator = operator @ operator
    maps, size = leading(operator, ITERATIONS)
    maps = maps.mT.reshape(batch, coils, rows, cols)
    reference = leading(torch.einsum("bvyx,bwyx->bvw", centre, centre.conj())[:, None], 30)[0][:, 0]
    phase = torch.einsum("bc,bcyx->byx", reference.conj(), maps)
    kept = (size ** (0.5**SQUARINGS) > CROP).reshape(batch, rows, cols)
    return maps * (kept * torch.polar(torch.ones_like(phase.real), -phase.angle()))[:, None]


def _strong_part(matrix: Tensor) -> Tensor:
    """Projection on eigenvectors of (batch, n, n) whose singular values are above THRESHOLD times the greatest."""
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    least = THRESHOLD**2 * leading(matrix[:, None], 10)[1][..., None]
    part = one - least * torch.linalg.inv_ex(matrix + least * one)[0]
    for _ in range(3):
        square = part @ part
        part = 3 * square - 2 * square @ part
    return part


def _correlation(part: Tensor) -> Tensor:
    """(batch, lags down, lags across, coils, coils): sums of (batch, coils, kh, kw, coils, kh, kw) at equal lags."""
    kh, kw = part.shape[2:4]
    down, across = (_lags(size, part) for size in (kh, kw))
    return torch.einsum("bviswjt,pij,qst->bpqwv", part, down, across) / (kh * kw)


def _lags(size: int, like: Tensor) -> Tensor:
    """(2 size - 1, size, size): one where the first place less the second is the lag."""
    place = torch.arange(size, device=like.device)
    lag = torch.arange(1 - size, size, device=like.device)
    return (place[None, :, None] - place[None, None] == lag[:, None, None]).to(like.dtype)
