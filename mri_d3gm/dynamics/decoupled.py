"""The coefficient-decoupled SDE: dx = theta (mu - x) dt + tau sigma dW with sigma free of theta, here constant."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.dynamics.d3gm import D3GM


@cache
def quadrature(device: torch.device) -> tuple[Tensor, ...]:
    """Nodes and weights on [-1/2, 1/2], (64,); made once, so that a step which is recorded as a CUDA graph copies nothing."""
    with torch.inference_mode(False):
        return tuple(torch.from_numpy(values).to(device) / 2 for values in np.polynomial.legendre.leggauss(64))


@dataclass(frozen=True)
class Decoupled(D3GM):
    """D3GM without the stationary constraint: A = e^{-Theta}, B = 1 - A, s^2 = integral_0^t g^2 (A_t / A_z)^2 dz.

    g^2 = 2 tau^2 lambda^2 Theta_T / T: as much noise as in D3GM, spread evenly in time; with the constant schedule this is
    D3GM. The integral is a Gauss-Legendre sum of 64 terms. Parameters as D3GM's, tau 1 by default.
    """

    tau: float = 1.0

    def variance(self, t: Tensor) -> Tensor:
        g2 = -2 * (self.tau * self.lam) ** 2 * math.log(self.a_T) / self.T
        nodes, weights = quadrature(t.device)
        decay = torch.exp(2 * (self.Theta(t[..., None] * (nodes + 0.5)) - self.Theta(t)[..., None]))
        return g2 * t * (decay @ weights)

    def start(self) -> tuple[float, float]:
        return 1.0, float(self.s(self.end))
