"""The measurement y = M F S x, its adjoint, and how coils are combined.

Shapes throughout: image (batch, rows, cols), kspace (batch, coils, rows, cols), both complex; mask bool,
broadcastable to (batch, rows, cols); coil_maps (batch, coils, rows, cols) with S^H S = 1 on the support,
or None for one coil of uniform sensitivity. Of several sets of maps, (batch, sets, coils, rows, cols), there is an image
each, (batch, sets, rows, cols), and their coil images add up.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mri_d3gm.physics.fft import fft2c, ifft2c


def expand(image: Tensor, coil_maps: Tensor | None) -> Tensor:
    """S: one image to coil images (batch, coils, rows, cols)."""
    if coil_maps is None:
        return image.unsqueeze(-3)
    coil_images = coil_maps * image.unsqueeze(-3)
    return coil_images.sum(-4) if coil_maps.ndim == 5 else coil_images


def combine(coil_images: Tensor, coil_maps: Tensor | None) -> Tensor:
    """S^H: coil images to one image (batch, rows, cols)."""
    if coil_maps is None:
        return coil_images.squeeze(-3)
    return (coil_maps.conj() * (coil_images.unsqueeze(-4) if coil_maps.ndim == 5 else coil_images)).sum(-3)


def forward(image: Tensor, mask: Tensor, coil_maps: Tensor | None = None) -> Tensor:
    """M F S x: image to measured k-space, zero where nothing was measured."""
    return fft2c(expand(image, coil_maps)) * mask.unsqueeze(-3)


def adjoint(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None = None) -> Tensor:
    """S^H F^H M y: measured k-space to the zero-filled, coil-combined image."""
    return combine(ifft2c(kspace * mask.unsqueeze(-3)), coil_maps)


def gram(mask: Tensor, coil_maps: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """S^H F^H M F S as a function of the image, transformed along the masked axes alone.

    Between S and S^H stands a circular convolution, so that shifting the mask replaces centring the image.
    """
    axes = [axis for axis in (-2, -1) if mask.shape[axis] > 1]
    shifted = torch.fft.ifftshift(mask, dim=axes).unsqueeze(-3)

    def apply(image: Tensor) -> Tensor:
        kspace = torch.fft.fftn(expand(image, coil_maps), dim=axes, norm="ortho") * shifted
        return combine(torch.fft.ifftn(kspace, dim=axes, norm="ortho"), coil_maps)

    return apply


def rss(coil_images: Tensor) -> Tensor:
    """Root of the sum of squares over coils, (batch, rows, cols) real."""
    return torch.linalg.vector_norm(coil_images, dim=-3)
