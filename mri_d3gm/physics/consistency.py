"""Data consistency: an image estimate is brought into agreement with the measured k-space."""

import torch
from torch import Tensor

from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.operators import adjoint, gram


def projection(image: Tensor, kspace: Tensor, mask: Tensor) -> Tensor:
    """Nearest image that agrees exactly with one coil's k-space; shapes as in `operators`."""
    measured = kspace.squeeze(-3)
    return ifft2c(torch.where(mask, measured, fft2c(image)))


def proximal(
    image: Tensor, kspace: Tensor, mask: Tensor, coil_maps: Tensor | None, weight: float | Tensor, iterations: int = 4
) -> Tensor:
    """argmin_x |M F S x - y|^2 + weight |x - image|^2 by conjugate gradients from `image`.

    weight is the variance of the noise over that of the estimate, a scalar or (batch, 1, 1), with another 1 where there are
    sets of maps; one coil has a closed form.
    """
    if coil_maps is None:
        predicted, measured = fft2c(image), kspace.squeeze(-3)
        return ifft2c(torch.where(mask, (measured + weight * predicted) / (1 + weight), predicted))

    measure = gram(mask, coil_maps)

    def normal(x: Tensor) -> Tensor:
        return measure(x) + weight * x

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a.conj() * b).real.sum(tuple(range(1, a.ndim)), keepdim=True)

    x = image
    residual = adjoint(kspace, mask, coil_maps) - measure(x)
    direction, energy = residual, dot(residual, residual)
    for _ in range(iterations):
        image_of = normal(direction)
        step = energy / dot(direction, image_of).clamp_min(torch.finfo(energy.dtype).tiny)
        x = x + step * direction
        residual = residual - step * image_of
        new = dot(residual, residual)
        direction, energy = residual + (new / energy.clamp_min(torch.finfo(energy.dtype).tiny)) * direction, new
    return x
