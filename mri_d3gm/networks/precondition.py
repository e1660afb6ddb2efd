"""Preconditioning in residual coordinates, r = x0 - mu with standard deviation sigma_r (after Karras et al., 2022)."""

from typing import NamedTuple

from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics


class Precondition(NamedTuple):
    """Input scale, skip and output scale of the denoiser, and the time it is told."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor
    log_snr: Tensor


def precondition(path: Dynamics, t: Tensor, sigma_r: float) -> Precondition:
    """Scales for x_t - (A + B) mu = A r + s eps at t, each of t's shape, float64; log-SNR clipped to [-20, 20].

    All but c_in, bounded by 1e8, have a limit where a path starts at a point; there c_in meets 0.
    """
    A, relative = path.A(t), path.relative_variance(t)
    seen = A * sigma_r**2 + relative
    c_in = (A * seen).clamp_min(1e-16).rsqrt()
    return Precondition(c_in, sigma_r**2 / seen, sigma_r * (relative / seen).sqrt(), path.log_snr(t).clamp(-20, 20))
