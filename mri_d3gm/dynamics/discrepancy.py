"""Temporal Distribution Discrepancy: how far the law of x_T given (x0, mu), or of x_t, t > 0, is from the start law.

x0, mu: (batch, ...) images, real or complex; answers (batch,) float64. A complex pixel counts as two dimensions.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mri_d3gm.dynamics.d3gm import D3GM
from mri_d3gm.dynamics.path import Dynamics, forward_run
from mri_d3gm.errors import InputError


def _square(image: Tensor) -> Tensor:
    return image.abs().double().square().flatten(1).sum(1)


def _dimensions(image: Tensor) -> int:
    return image[0].numel() * (2 if image.is_complex() else 1)


def _shift(path: Dynamics, x0: Tensor, mu: Tensor, t: Tensor) -> Tensor:
    """Squared distance between the two means."""
    return _square(float(path.A(t)) * x0 + (float(path.B(t)) - path.start()[0]) * mu)


def wasserstein(path: Dynamics, x0: Tensor, mu: Tensor, t: Tensor | None = None) -> Tensor:
    """Squared 2-Wasserstein distance, |A x0 + (B - m) mu|^2 + d (s - sigma)^2 for the start law N(m mu, sigma^2 I)."""
    t = path.end if t is None else t
    return _shift(path, x0, mu, t) + _dimensions(x0) * (float(path.s(t)) - path.start()[1]) ** 2


def kullback_leibler(path: Dynamics, x0: Tensor, mu: Tensor, t: Tensor | None = None) -> Tensor:
    """KL of the law of x_t from the start law, 1/2 [|A x0 + (B - m) mu|^2 / sigma^2 + d (q - 1 - log q)], q = (s / sigma)^2.

    Where the path starts at a point, which it meets exactly, 0; infinite before.
    """
    t, sigma = path.end if t is None else t, path.start()[1]
    if sigma == 0:
        return torch.full((len(x0),), 0.0 if float(path.variance(t)) == 0 else math.inf, dtype=torch.float64)
    excess = float(path.variance(t)) / sigma**2 - 1
    return (_shift(path, x0, mu, t) / sigma**2 + _dimensions(x0) * (excess - math.log1p(excess))) / 2


class Drawn(NamedTuple):
    """Terms of the discrepancies at t for each draw, (draws,) float64; their means estimate W2^2 and KL."""

    t: float
    wasserstein: Tensor
    kullback_leibler: Tensor


def drawn_discrepancies(
    path: Dynamics, x0: Tensor, mu: Tensor, times: Tensor, noise: Callable[[Tensor], Tensor]
) -> list[Drawn]:
    """Both discrepancies along one forward run of a batch of draws: cost of the optimal map to the start law, log ratio of
    densities.

    x0, mu: (draws, ...) images, complex128 or float64; noise as in `forward_run`. KL is NaN where the path starts at a point.
    """
    (mean, sigma), d, found = path.start(), _dimensions(x0), []
    for t, x in zip(times, forward_run(path, x0, mu, times, noise), strict=True):
        s = float(path.s(t))
        eps = (path.centred(x, mu, t) - float(path.A(t)) * x0) / (s or 1.0)
        cost, ratio = _square(x - mean * mu - sigma * eps), torch.full((len(x0),), math.nan, dtype=torch.float64)
        if sigma > 0:
            ratio = (_square(x - mean * mu) / sigma**2 - _square(eps)) / 2 + d * math.log(sigma / s)
        found.append(Drawn(float(t), cost, ratio))
    return found


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
