"""SGM, variance exploding: dx = sqrt(d sigma^2 / dt) dW with sigma geometric in t; mu enters through the network alone."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics, require_positive
from mri_d3gm.errors import InputError


@dataclass(frozen=True)
class SGMVE(Dynamics):
    """A = 1, B = 0, s^2 = sigma_t^2 - sigma_min^2, sigma_t = sigma_min (sigma_max / sigma_min)^t (Song et al., ICLR 2021).

    sigma_min, sigma_max: positive, the second larger; InputError where they are not. sigma_max 50 is Song et al.'s for
    small images in [0, 1], about the largest distance between two of them, so that the start law hides which one it was.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        require_positive(sigma_min=self.sigma_min, sigma_max=self.sigma_max)
        if self.sigma_max <= self.sigma_min:
            raise InputError(f"sigma_max {self.sigma_max}: must be larger than sigma_min {self.sigma_min}")

    def A(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def B(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def variance(self, t: Tensor) -> Tensor:
        return self.sigma_min**2 * torch.expm1(2 * math.log(self.sigma_max / self.sigma_min) * t)

    def log_odds(self, t: Tensor) -> Tensor:
        """The log-SNR, as A stays 1."""
        return self.log_snr(t)

    def start(self) -> tuple[float, float]:
        return 0.0, float(self.s(self.end))
