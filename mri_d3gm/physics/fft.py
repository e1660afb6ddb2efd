"""Centred orthonormal Fourier transforms on native complex tensors (fastMRI's convention)."""

import torch
from torch import Tensor


def _centred(transform, x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return torch.fft.fftshift(transform(torch.fft.ifftshift(x, dim=dims), dim=dims, norm="ortho"), dim=dims)


def fft2c(x: Tensor) -> Tensor:
    """Image to k-space over the last two axes; (..., rows, cols) complex, any size."""
    return _centred(torch.fft.fft2, x, (-2, -1))


def ifft2c(k: Tensor) -> Tensor:
    """K-space to image over the last two axes; inverse and adjoint of `fft2c`."""
    return _centred(torch.fft.ifft2, k, (-2, -1))


def fft1c(x: Tensor, dim: int) -> Tensor:
    """Image to k-space along one axis."""
    return _centred(torch.fft.fftn, x, (dim,))


def ifft1c(k: Tensor, dim: int) -> Tensor:
    """K-space to image along one axis; inverse and adjoint of `fft1c`."""
    return _centred(torch.fft.ifftn, k, (dim,))


MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


def mirror(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Image, k-space, mask or maps turned about the centre along `axes` of the last two; the transforms commute with it."""
    turned = x.flip(axes)
    even = [axis for axis in axes if x.shape[axis] % 2 == 0]
    return turned.roll([1] * len(even), even) if even else turned
