"""How much of k-space an image fills, and the same image with fewer or more voxels: what a scanner's interpolation added."""

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.physics.fft import fft2c
from mri_d3gm.physics.truncation import Truncation

EMPTY = 3.0  # drop of log power that is an edge: between all that were interpolated (3.2 at least) and all others (2.8 at most)


def _resampled_axis(lines: Tensor, size: int) -> Tensor:
    """Lines (..., n) in the order of `torch.fft` to (..., size): the centre, or all of them with zeros around."""
    n = lines.shape[-1]
    if size == n:
        return lines
    kept = min(n, size)
    half = (kept - 1) // 2
    made = lines.new_zeros(*lines.shape[:-1], size)
    made[..., : half + 1] = lines[..., : half + 1]
    if half:
        made[..., -half:] = lines[..., -half:]
    if kept % 2 == 0:  # the Nyquist line is one on the smaller side and two on the larger
        nyquist = lines[..., kept // 2] / 2 if size > n else lines[..., kept // 2] + lines[..., -(kept // 2)]
        made[..., kept // 2] = nyquist
        made[..., -(kept // 2)] = nyquist
    return made


def resampled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (..., rows, cols) on (..., *size) voxels of the same field of view by truncation of its k-space or zero-filling
    it, complex64: voxel 0 stays where it is, intensities stay.
    """
    lines = torch.fft.fft2(image.to(torch.complex64))
    lines = _resampled_axis(lines, size[1])
    lines = _resampled_axis(lines.transpose(-2, -1), size[0]).transpose(-2, -1)
    return torch.fft.ifft2(lines) * (size[0] * size[1] / (image.shape[-2] * image.shape[-1]))


def within(images: Tensor, known: tuple[int, int], grid: tuple[int, int]) -> Truncation:
    """The measurement that the central `known` lines of real images (batch, rows, cols) are on a larger or smaller grid."""
    mean = resampled(resampled(images, known), grid)
    inside = [(torch.arange(n) - n // 2).abs() * 2 < few for n, few in zip(grid, known, strict=True)]
    mask = (inside[0][:, None] & inside[1][None]).to(images.device)
    return Truncation(fft2c(mean)[:, None], mask.expand(len(images), -1, -1))


def occupied(images: np.ndarray) -> tuple[int, int]:
    """The matrix that images (slices, rows, cols) of one volume were measured with, as the edge of their k-space shows it:
    their own where there is none, else odd.
    """
    peak = np.abs(images).max() or 1
    power = np.sum([np.abs(np.fft.fft2(image / peak)) ** 2 for image in images], 0, dtype=np.float64)
    rows, cols = (filled(power.sum(1 - axis)) for axis in (0, 1))
    return rows, cols


def filled(power: np.ndarray) -> int:
    """How many central lines of `power` (lines,), in the order of `numpy.fft`, are not empty: 2 n + 1, or all.

    An edge is a drop of the median of neighbouring lines by EMPTY that nothing beyond it rises above; its place is where the
    power is last nearer to what is inside than to what is outside. A blur rolls off without an edge.
    """
    half = (len(power) - 1) // 2
    if half < 16 or not power.any():
        return len(power)
    line = np.log((power[1 : half + 1] + power[: -half - 1 : -1]) / 2 + 1e-14 * power.max())
    width = max(3, round(0.08 * half))
    places = range(max(4, round(0.3 * half)), half - max(3, round(0.06 * half)))
    levels = [(np.median(line[place - width : place]), line[place + 1 :]) for place in places if place >= width]
    drops = [inside - max(np.median(out[:width]), np.percentile(out, 90)) for inside, out in levels]
    best = int(np.argmax(drops))
    if drops[best] < EMPTY:
        return len(power)
    inside, out = levels[best]
    full = np.flatnonzero(line > (inside + np.median(out[:width])) / 2)
    return 2 * int(full[-1]) + 1  # the last full line, number full[-1] + 1, may be a Nyquist line, and is left out
