"""Temporal Distribution Discrepancy: how far the law of x_T given (x0, mu) is from the start law.

x0, mu: (batch, ...) images, real or complex; answers (batch,) float64. A complex pixel counts as two dimensions.
"""

import math

import torch
from torch import Tensor

from mri_d3gm.dynamics.d3gm import D3GM
from mri_d3gm.dynamics.path import Path
from mri_d3gm.errors import InputError


def _square(image: Tensor) -> Tensor:
    return image.abs().double().square().flatten(1).sum(1)


def _dimensions(image: Tensor) -> int:
    return image[0].numel() * (2 if image.is_complex() else 1)


def _shift(path: Path, x0: Tensor, mu: Tensor) -> Tensor:
    """Squared distance between the two means."""
    return _square(float(path.A(path.end)) * x0 + (float(path.B(path.end)) - path.start()[0]) * mu)


def wasserstein(path: Path, x0: Tensor, mu: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance, |A x0 + (B - m) mu|^2 + d (s - sigma)^2 for the start law N(m mu, sigma^2 I)."""
    return _shift(path, x0, mu) + _dimensions(x0) * (float(path.s(path.end)) - path.start()[1]) ** 2


def kullback_leibler(path: Path, x0: Tensor, mu: Tensor) -> Tensor:
    """KL of the law of x_T from the start law, 1/2 [|A x0 + (B - m) mu|^2 / sigma^2 + d (q - 1 - log q)], q = (s / sigma)^2.

    Where the path starts at a point, which it meets exactly, 0.
    """
    sigma = path.start()[1]
    if sigma == 0:
        return torch.zeros(len(x0), dtype=torch.float64)
    excess = float(path.variance(path.end)) / sigma**2 - 1
    return (_shift(path, x0, mu) / sigma**2 + _dimensions(x0) * (excess - math.log1p(excess))) / 2


def proposition_2(path: D3GM, x0: Tensor, mu: Tensor, *, sigma_max: float, C: float, delta: float) -> tuple[Tensor, Tensor]:
    """Proposition 2 of D3GM as the main text prints it, then as the appendix does.

    |(|x0 - mu|^2 - v) e^{-2 Theta_T} + v - R| with v = sigma_T^2 / (2 theta_T), and |(|x0 - mu|^2 - lambda^2) e^{-2 Theta_T}
    + 2 lambda^2 - R|; R = sigma_max^2 (C sigma_max^2 + d + 2 sqrt(-d log delta) - 2 log delta), SDEdit's bound, holds with
    probability 1 - delta where |score|^2 <= C. sigma_T is that of tau 1. InputError where delta is not in (0, 1).
    """
    if not 0 < delta < 1:
        raise InputError(f"delta {delta}: must lie between 0 and 1")
    d, log = _dimensions(x0), math.log(delta)
    R = sigma_max**2 * (C * sigma_max**2 + d + 2 * math.sqrt(-d * log) - 2 * log)
    theta, sigma2 = -float(path.drift(path.end)[0]), float(path.diffusion(path.end)) / path.tau**2
    distance, decay = _square(x0 - mu), float(path.A(path.end)) ** 2
    v, stationary = sigma2 / (2 * theta), path.lam**2
    return ((distance - v) * decay + v - R).abs(), ((distance - stationary) * decay + 2 * stationary - R).abs()
