"""SGM, variance preserving: dx = -beta/2 x dt + sqrt(beta) dW with beta linear in t; mu enters through the network alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics, require_positive


@dataclass(frozen=True)
class SGMVP(Dynamics):
    """A = exp(-1/2 integral of beta), B = 0, s^2 = 1 - A^2 (Song et al., ICLR 2021).

    beta_min, beta_max: beta at 0 and at T, both positive; InputError where they are not.
    """

    last_noise: ClassVar[float] = 0.01  # D3GM's at 0.1; here s / A is 0.34 there

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        require_positive(beta_min=self.beta_min, beta_max=self.beta_max)

    def integral(self, t: Tensor) -> Tensor:
        """Integral of beta from 0 to t."""
        return self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2

    def A(self, t: Tensor) -> Tensor:
        return torch.exp(-self.integral(t) / 2)

    def B(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def variance(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.integral(t))

    def start(self) -> tuple[float, float]:
        return 0.0, float(self.s(self.end))
