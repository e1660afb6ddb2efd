"""Degradations of a magnitude slice that super-resolution undoes, by name; what is drawn follows from a seed."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.physics.blur import blur_subsample, random_kernel
from mri_d3gm.physics.resolution import truncate


def rician(image: Tensor, level: float, seed: int) -> Tensor:
    """Rician noise of `level` times the image's 99th percentile on a magnitude (rows, cols)."""
    sigma = level * float(np.percentile(image.abs().numpy(), 99))
    real, imaginary = torch.randn(2, *image.shape, generator=torch.Generator().manual_seed(seed)) * sigma
    return torch.hypot(image + real, imaginary)


def blurred(image: Tensor, factor: int, seed: int) -> Tensor:
    """A random anisotropic blur kernel, then every factor-th voxel of (rows, cols)."""
    return blur_subsample(image, random_kernel(factor, torch.Generator().manual_seed(seed)), factor)


DEGRADATIONS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "truncation": lambda image, factor, seed: truncate(image, factor).abs(),
    "kernel": blurred,
}


def degraded(image: Tensor, kind: str, factor: int, *, noise: float = 0.0, seed: int = 0) -> Tensor:
    """A magnitude (rows, cols) made `factor` times smaller by one of DEGRADATIONS, with noise."""
    small = DEGRADATIONS[kind](image, factor, seed)
    return rician(small, noise, seed) if noise > 0 else small
