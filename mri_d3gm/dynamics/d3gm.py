"""D3GM, measure-preserving dynamics: dx = theta (mu - x) dt + tau sigma dW with sigma^2 = 2 lambda^2 theta."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics, require_positive
from mri_d3gm.dynamics.schedules import SCHEDULES
from mri_d3gm.errors import InputError


@dataclass(frozen=True)
class D3GM(Dynamics):
    """A = e^{-Theta}, B = 1 - A, s^2 = tau^2 lambda^2 (1 - A^2) (Zhang et al., NeurIPS 2024).

    lam: stationary standard deviation at tau 1, on images whose normalising percentile is 1; schedule: a name of
    SCHEDULES; a_T: A at T, in (0, 1); theta, k: shapes of the cosine and of the logarithmic schedule. InputError
    where a value is impossible.
    """

    tau: float = 2.0
    lam: float = 10 / 255
    schedule: str = "cosine"
    a_T: float = 0.005
    theta: float = math.pi
    k: float = 10.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule {self.schedule}: unknown; one of {', '.join(SCHEDULES)}")
        if not 0 < self.a_T < 1:
            raise InputError(f"a_T {self.a_T}: must lie between 0 and 1")
        require_positive(tau=self.tau, lam=self.lam, theta=self.theta, k=self.k)

    def Theta(self, t: Tensor) -> Tensor:
        """Integral of theta_t from 0 to t, scaled so that A_T = a_T."""
        return -math.log(self.a_T) * self._clock(t) / self._whole

    def _clock(self, t: Tensor) -> Tensor:
        return SCHEDULES[self.schedule](t, theta=self.theta, k=self.k)

    @cached_property
    def _whole(self) -> float:
        return float(self._clock(self.end))

    def A(self, t: Tensor) -> Tensor:
        return torch.exp(-self.Theta(t))

    def B(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.Theta(t))

    def variance(self, t: Tensor) -> Tensor:
        return (self.tau * self.lam) ** 2 * -torch.expm1(-2 * self.Theta(t))

    def start(self) -> tuple[float, float]:
        return 1.0, self.tau * self.lam
