"""One family of Gaussian paths, x_t = A_t x0 + B_t mu + s_t eps, and all that follows from A, B and s.

Times are float64 tensors of any shape; every function returns float64 of that shape. eps has unit variance, for
complex images in the real and in the imaginary part.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """A conditional law: mean = x * (given state) + x0 * (clean image) + mu * (prior mean), and its variance."""

    x: Tensor
    x0: Tensor
    mu: Tensor
    variance: Tensor


def derivative(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """d function / dt at t, elementwise, by automatic differentiation."""
    with torch.enable_grad():
        time = t.detach().clone().requires_grad_()
        return torch.autograd.grad(function(time).sum(), time)[0]


class Path(ABC):
    """A dynamics: the three coefficients and the start law; a member is a frozen dataclass with these four."""

    T: ClassVar[float] = 1.0

    @abstractmethod
    def A(self, t: Tensor) -> Tensor:
        """Coefficient of the clean image, A_0 = 1."""

    @abstractmethod
    def B(self, t: Tensor) -> Tensor:
        """Coefficient of the prior mean, B_0 = 0."""

    @abstractmethod
    def s(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise, s_0 = 0."""

    @abstractmethod
    def start(self) -> tuple[float, float]:
        """The start law N(m mu, d^2 I) as (m, d)."""

    def log_snr(self, t: Tensor) -> Tensor:
        """log(A^2 / s^2)."""
        return 2 * (self.A(t) / self.s(t)).log()

    def drift(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of x and of mu in the drift f = (A'/A) x + (B' - (A'/A) B) mu."""
        rate = derivative(self.A, t) / self.A(t)
        return rate, derivative(self.B, t) - rate * self.B(t)

    def diffusion(self, t: Tensor) -> Tensor:
        """g^2 = (s^2)' - 2 (A'/A) s^2."""
        rate = derivative(self.A, t) / self.A(t)
        return derivative(lambda time: self.s(time) ** 2, t) - 2 * rate * self.s(t) ** 2

    def transition(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """Law of x_later given x_earlier."""
        gain = self.A(later) / self.A(earlier)
        variance = self.s(later) ** 2 - gain**2 * self.s(earlier) ** 2
        return Gaussian(gain, torch.zeros_like(gain), self.B(later) - gain * self.B(earlier), variance.clamp_min(0))

    def posterior(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """Law of x_earlier given x_later and x0."""
        gain = (self.s(earlier) ** 2 / self.A(earlier)) / (self.s(later) ** 2 / self.A(later))
        variance = self.s(earlier) ** 2 * self.transition(earlier, later).variance / self.s(later) ** 2
        return self._towards(gain, earlier, later, variance)

    def deterministic(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """First-order deterministic step to x_earlier from x_later and the x0 estimate."""
        gain = self.s(earlier) / self.s(later)
        return self._towards(gain, earlier, later, torch.zeros_like(gain))

    def _towards(self, gain: Tensor, earlier: Tensor, later: Tensor, variance: Tensor) -> Gaussian:
        """A_s x0 + B_s mu + gain (x_t - A_t x0 - B_t mu)."""
        x0 = self.A(earlier) - gain * self.A(later)
        return Gaussian(gain, x0, self.B(earlier) - gain * self.B(later), variance)
