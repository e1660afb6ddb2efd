"""GOUB, the bridge of the OU process to mu: D3GM with tau 1, conditioned to end at mu itself (Yue et al., ICML 2024)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.dynamics.ou import OU


@dataclass(frozen=True)
class GOUB(OU):
    """A = sinh(Theta_T - Theta_t) / sinh(Theta_T), B = 1 - A, s^2 = 2 lambda^2 sinh(Theta_t) A; starts at the point mu."""

    def A(self, t: Tensor) -> Tensor:
        return torch.sinh(self.Theta(self.end) - self.Theta(t)) / math.sinh(float(self.Theta(self.end)))

    def B(self, t: Tensor) -> Tensor:
        return 1 - self.A(t)

    def variance(self, t: Tensor) -> Tensor:
        return self.relative_variance(t) * self.A(t)

    def relative_variance(self, t: Tensor) -> Tensor:
        return 2 * self.lam**2 * torch.sinh(self.Theta(t))

    def start(self) -> tuple[float, float]:
        return 1.0, 0.0


DYNAMICS["goub"] = GOUB
