"""Preconditioning in residual coordinates, r = x0 - mu with standard deviation sigma_r (after Karras et al., 2022)."""

from typing import NamedTuple

from torch import Tensor

from mri_d3gm.dynamics.path import Path


class Precondition(NamedTuple):
    """Input scale, skip and output scale of the denoiser, and the time it is told."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor
    log_snr: Tensor


def precondition(path: Path, t: Tensor, sigma_r: float) -> Precondition:
    """Scales for x_t - (A + B) mu = A r + s eps at t, each of t's shape, float64; log-SNR clipped to [-20, 20]."""
    A, s = path.A(t), path.s(t)
    c_in = (A**2 * sigma_r**2 + s**2).rsqrt()
    return Precondition(c_in, A * sigma_r**2 * c_in**2, sigma_r * s * c_in, path.log_snr(t).clamp(-20, 20))
