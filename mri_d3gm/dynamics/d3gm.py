"""D3GM: mean-reverting, measure-preserving dynamics, dx = theta (mu - x) dt + tau sigma dW, sigma^2 = 2 lambda^2 theta."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Path
from mri_d3gm.dynamics.schedules import SCHEDULES


@dataclass(frozen=True)
class D3GM(Path):
    """A = e^{-Theta}, B = 1 - A, s^2 = tau^2 lambda^2 (1 - A^2) (Zhang et al., NeurIPS 2024).

    lam: stationary standard deviation at tau 1, on images whose normalising percentile is 1; a_T: A at T.
    """

    tau: float = 2.0
    lam: float = 10 / 255
    schedule: str = "cosine"
    a_T: float = 0.005

    def Theta(self, t: Tensor) -> Tensor:
        """Integral of theta, scaled so that A_T = a_T."""
        schedule = SCHEDULES[self.schedule]
        return -math.log(self.a_T) * schedule(t) / schedule(torch.ones((), dtype=torch.float64))

    def A(self, t: Tensor) -> Tensor:
        return torch.exp(-self.Theta(t))

    def B(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.Theta(t))

    def s(self, t: Tensor) -> Tensor:
        return self.tau * self.lam * (-torch.expm1(-2 * self.Theta(t))).sqrt()

    def start(self) -> tuple[float, float]:
        return 1.0, self.tau * self.lam
