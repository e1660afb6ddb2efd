"""Degradation of an unknown scanner: an anisotropic blur kernel, then subsampling (in the manner of KernelGAN's tests)."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def random_kernel(factor: int, generator: torch.Generator) -> Tensor:
    """Gaussian of random widths and direction, disturbed voxel by voxel, sum 1; (4 factor + 3, 4 factor + 3).

    Variances are uniform from 0.175 factor to min(2.5 factor, 10) voxels^2, the disturbance +-25 % (Bell-Kligler et al.,
    NeurIPS 2019).
    """
    size = 4 * factor + 3
    low, high = 0.175 * factor, min(2.5 * factor, 10.0)
    first, second, turn = torch.rand(3, generator=generator).tolist()
    variances = low + (high - low) * first, low + (high - low) * second
    y, x = torch.meshgrid(*(2 * [torch.arange(size) - size // 2]), indexing="ij")
    cosine, sine = math.cos(math.pi * turn), math.sin(math.pi * turn)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    kernel = torch.exp(-(along**2 / variances[0] + across**2 / variances[1]) / 2)
    kernel = kernel * (1 + 0.5 * (torch.rand(size, size, generator=generator) - 0.5))
    return kernel / kernel.sum()


def blur_subsample(image: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """Real image (..., rows, cols) filtered with its border repeated, then every factor-th voxel from the first."""
    half = kernel.shape[-1] // 2
    flat = image.reshape(-1, 1, *image.shape[-2:])
    blurred = functional.conv2d(functional.pad(flat, 4 * [half], mode="replicate"), kernel[None, None], stride=factor)
    return blurred.reshape(*image.shape[:-2], *blurred.shape[-2:])
