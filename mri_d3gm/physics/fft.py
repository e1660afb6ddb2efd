"""Centred orthonormal Fourier transforms on native complex tensors (fastMRI's convention)."""

from typing import NamedTuple

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


class View(NamedTuple):
    """A way of looking at images: mirrored along `axes`, then with rows for columns if `turned`."""

    axes: tuple[int, ...] = ()
    turned: bool = False

    def of(self, x: Tensor) -> Tensor:
        """Images (..., rows, cols) as they are seen."""
        x = mirror(x, self.axes)
        return x.transpose(-2, -1) if self.turned else x

    def undone(self, x: Tensor) -> Tensor:
        """Images as they were before `of`."""
        return mirror(x.transpose(-2, -1) if self.turned else x, self.axes)


SYMMETRIES = (  # quarter turns first: their errors are the least alike
    View(),
    View((-1,), True),
    View((-2, -1)),
    View((-2,), True),
    View((-1,)),
    View((), True),
    View((-2,)),
    View((-2, -1), True),
)
