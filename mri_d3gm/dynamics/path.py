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
    """d function / dt at t, elementwise, by automatic differentiation; 0 where the function is constant."""
    with torch.enable_grad():
        time = t.detach().clone().requires_grad_()
        return torch.autograd.grad((function(time) + 0 * time).sum(), time)[0]


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

    def variance(self, t: Tensor) -> Tensor:
        """s^2; a member whose s has no derivative at 0 says it directly, so that the diffusion is finite there."""
        return self.s(t) ** 2

    def centred(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """c_t = x_t - B_t mu = A_t x0 + s_t eps, a standard diffusion; images of any shape at one time."""
        return x - float(self.B(t)) * mu

    def score(self, x: Tensor, x0: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """-(x_t - A_t x0 - B_t mu) / s_t^2; images of any shape at one time t > 0."""
        return -(self.centred(x, mu, t) - float(self.A(t)) * x0) / float(self.variance(t))

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
        return derivative(self.variance, t) - 2 * rate * self.variance(t)

    def transition(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """Law of x_later given x_earlier."""
        gain = self.A(later) / self.A(earlier)
        variance = self.variance(later) - gain**2 * self.variance(earlier)
        return Gaussian(gain, torch.zeros_like(gain), self.B(later) - gain * self.B(earlier), variance.clamp_min(0))

    def posterior(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """Law of x_earlier given x_later and x0."""
        gain = (self.variance(earlier) / self.A(earlier)) / (self.variance(later) / self.A(later))
        variance = self.variance(earlier) * self.transition(earlier, later).variance / self.variance(later)
        return self._towards(gain, earlier, later, variance)

    def deterministic(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """First-order deterministic step to x_earlier from x_later and the x0 estimate."""
        gain = self.s(earlier) / self.s(later)
        return self._towards(gain, earlier, later, torch.zeros_like(gain))

    def _towards(self, gain: Tensor, earlier: Tensor, later: Tensor, variance: Tensor) -> Gaussian:
        """A_s x0 + B_s mu + gain (x_t - A_t x0 - B_t mu)."""
        x0 = self.A(earlier) - gain * self.A(later)
        return Gaussian(gain, x0, self.B(earlier) - gain * self.B(later), variance)
