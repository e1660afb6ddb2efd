"""Truncation of k-space and its inverse on the Fourier grid: high-resolution voxel factor x i lies on voxel i.

Images (..., rows, cols) complex or real, k-space centred and orthonormal as in `fft`; intensities stay.
"""

import math

import torch
from torch import Tensor

from mri_d3gm.physics.fft import fft2c, ifft2c


def _alignment(low: int, factor: int, device: torch.device) -> Tensor:
    """Phase on the low-resolution lines that puts voxel 0 on voxel 0: centred transforms shift odd sizes."""
    lag = (factor * low) // 2 - factor * (low // 2)
    line = torch.arange(low, device=device) - low // 2
    return torch.polar(torch.ones(low, device=device), -2 * math.pi * line * lag / (factor * low))


def _last(tensor: Tensor, axis: int) -> Tensor:
    return tensor.transpose(axis, -1)


def _embed_axis(kspace: Tensor, factor: int, axis: int) -> Tensor:
    low = kspace.shape[axis]
    lines = _last(kspace, axis) * _alignment(low, factor, kspace.device).conj() * math.sqrt(factor)
    start = (factor * low) // 2 - low // 2
    full = torch.nn.functional.pad(lines, (start, factor * low - low - start))
    if low % 2 == 0:
        full[..., start] /= 2
        full[..., start + low] = full[..., start]
    return _last(full, axis)


def _truncate_axis(kspace: Tensor, factor: int, axis: int) -> Tensor:
    full = _last(kspace, axis)
    low = full.shape[-1] // factor
    start = full.shape[-1] // 2 - low // 2
    lines = full[..., start : start + low].clone()
    if low % 2 == 0:
        lines[..., 0] += full[..., start + low]
    return _last(lines * _alignment(low, factor, kspace.device) / math.sqrt(factor), axis)


def embed(image: Tensor, factor: int) -> Tensor:
    """K-space (..., factor rows, factor cols) of an image, zero outside what its voxels determine.

    The Nyquist line of an even size is split in two, so that a real image stays real.
    """
    kspace = fft2c(image.to(torch.complex64))
    return _embed_axis(_embed_axis(kspace, factor, -2), factor, -1)


def truncate(image: Tensor, factor: int) -> Tensor:
    """The complex image (..., rows / factor, cols / factor) whose k-space is the centre of this one's; undone by `embed`.

    Lines +n/2 and -n/2 of an even size n are one and added, as sampling does. ValueError where factor does not divide.
    """
    if image.shape[-1] % factor or image.shape[-2] % factor:
        raise ValueError(f"{tuple(image.shape)} is not divisible by {factor}")
    kspace = fft2c(image.to(torch.complex64))
    return ifft2c(_truncate_axis(_truncate_axis(kspace, factor, -2), factor, -1))


def centre_mask(low: tuple[int, int], factor: int) -> Tensor:
    """(factor rows, factor cols) bool: lines that an image of size `low` determines alone (without Nyquist lines)."""
    inside = [(torch.arange(factor * n) - (factor * n) // 2).abs() * 2 < n for n in low]
    return inside[0][:, None] & inside[1][None]
