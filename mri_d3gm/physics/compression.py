"""Many coils as a few virtual ones: the parts of their k-space that hold most of the energy."""

from typing import NamedTuple

import torch
from torch import Tensor

from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.operators import rss

VIRTUAL = 16


class Compressed(NamedTuple):
    """K-space (virtual, rows, cols); matrix (virtual, coils) with orthonormal rows, from coils to virtual ones; rest: energy of
    the image of what they leave, (rows, cols) real.
    """

    kspace: Tensor
    matrix: Tensor
    rest: Tensor


def compressed(kspace: Tensor) -> Compressed | None:
    """K-space (coils, rows, cols), zero where not measured, as VIRTUAL virtual coils; None where there are no more than that.

    The principal components over all samples (Huang et al., Magn Reson Imaging 2008). White noise stays white.
    """
    if len(kspace) <= VIRTUAL:
        return None
    samples = kspace.flatten(1)
    matrix = torch.linalg.eigh(samples @ samples.mH)[1][:, -VIRTUAL:].flip(1).mH
    virtual = torch.einsum("vc,cyx->vyx", matrix, kspace)
    rest = rss(ifft2c(kspace)).square() - rss(ifft2c(virtual)).square()
    return Compressed(virtual, matrix, rest.clamp_min(0))
