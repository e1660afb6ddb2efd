"""I2SB, the bridge between x0 and mu: dx = (beta / sbar^2) (mu - x) dt + sqrt(beta) dW, which ends at mu."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics, require_positive


@dataclass(frozen=True)
class I2SB(Dynamics):
    """A = sbar^2 / S, B = s'^2 / S, s^2 = sbar^2 s'^2 / S (Liu et al., ICML 2023); starts at the point mu.

    s'^2 and sbar^2 are the integrals of beta from 0 to t and from t to T, S their sum. sqrt(beta) rises linearly from 0 to
    T / 2, aimed at sqrt(beta_max) at T, and falls back in mirror image. beta_min, beta_max: positive, InputError where they
    are not; the defaults are I2SB's 0.1 and 0.3 for images in [-1, 1], a quarter as large on images normalised to 1.
    """

    beta_min: float = 0.025
    beta_max: float = 0.075

    def __post_init__(self) -> None:
        require_positive(beta_min=self.beta_min, beta_max=self.beta_max)

    def accumulated(self, t: Tensor) -> Tensor:
        """Integral of beta from 0 to t, s'^2."""
        return torch.where(t < self.T / 2, self._rising(t), self._whole - self._rising(self.T - t))

    def A(self, t: Tensor) -> Tensor:
        return self.accumulated(self.T - t) / self._whole

    def B(self, t: Tensor) -> Tensor:
        return self.accumulated(t) / self._whole

    def variance(self, t: Tensor) -> Tensor:
        return self.accumulated(t) * self.A(t)

    def relative_variance(self, t: Tensor) -> Tensor:
        return self.accumulated(t)

    def start(self) -> tuple[float, float]:
        return 1.0, 0.0

    def _rising(self, t: Tensor) -> Tensor:
        low, slope = self.beta_min**0.5, self.beta_max**0.5 - self.beta_min**0.5
        return low**2 * t + low * slope * t**2 + slope**2 * t**3 / 3

    @cached_property
    def _whole(self) -> float:
        return float(2 * self._rising(self.end / 2))
