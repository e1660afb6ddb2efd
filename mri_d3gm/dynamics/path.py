"""One family of Gaussian paths, x_t = A_t x0 + B_t mu + s_t eps, and all that follows from A, B and s.

Times are float64 tensors of any shape; every function returns float64 of that shape. eps has unit variance, for
complex images in the real and in the imaginary part.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from numbers import Real
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from mri_d3gm.errors import InputError


class Gaussian(NamedTuple):
    """A conditional law: mean = x * (given state) + x0 * (clean image) + mu * (prior mean), and its variance."""

    x: Tensor
    x0: Tensor
    mu: Tensor
    variance: Tensor


def derivative(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """d function / dt at t, elementwise, by automatic differentiation; 0 where the function is constant."""
    with torch.inference_mode(False), torch.enable_grad():
        time = t.detach().clone().requires_grad_()
        return torch.autograd.grad((function(time) + 0 * time).sum(), time)[0]


def require_positive(**parameters: float) -> None:
    """InputError that names the first parameter that is not positive and finite."""
    for name, value in parameters.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < math.inf:
            raise InputError(f"{name} {value!r}: must be positive and finite")


class Dynamics(ABC):
    """A dynamics: A, B, s^2 and the start law; a member is a frozen dataclass with these four.

    At T, A is positive, and at most 0.03 times the larger of 1 and s. Or a path starts at a point, A = s = 0 at T: it has no
    drift, diffusion or score there, and a step from there is a draw. last_noise: s / A at the end of a grid, at most
    (`samplers.grids.end_of_grid`).
    """

    T: ClassVar[float] = 1.0
    last_noise: ClassVar[float] = 0.055

    @cached_property
    def end(self) -> Tensor:
        """T as a time."""
        return torch.tensor(self.T, dtype=torch.float64)

    def last(self, count: int) -> Tensor:
        """T as the times of a batch, (count,)."""
        return self.end.repeat(count)

    @abstractmethod
    def A(self, t: Tensor) -> Tensor:
        """Coefficient of the clean image, A_0 = 1."""

    @abstractmethod
    def B(self, t: Tensor) -> Tensor:
        """Coefficient of the prior mean, B_0 = 0."""

    @abstractmethod
    def variance(self, t: Tensor) -> Tensor:
        """Variance of the noise, s^2, s_0 = 0."""

    @abstractmethod
    def start(self) -> tuple[float, float]:
        """The start law N(m mu, d^2 I) as (m, d)."""

    def s(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise."""
        return self.variance(t).sqrt()

    def relative_variance(self, t: Tensor) -> Tensor:
        """s^2 / A; a member that starts at a point says it directly, so that it is finite there."""
        return self.variance(t) / self.A(t)

    def centred(self, x: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """c_t = x_t - B_t mu = A_t x0 + s_t eps, a standard diffusion; images of any shape at one time."""
        return x - float(self.B(t)) * mu

    def noise_free(self, mu: Tensor) -> Tensor:
        """(A_T + B_T) mu, the state at T of x0 = mu without noise: what a single evaluation without noise is given."""
        return float(self.A(self.end) + self.B(self.end)) * mu

    def score(self, x: Tensor, x0: Tensor, mu: Tensor, t: Tensor) -> Tensor:
        """-(x_t - A_t x0 - B_t mu) / s_t^2; images of any shape at one time t > 0."""
        return -(self.centred(x, mu, t) - float(self.A(t)) * x0) / float(self.variance(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """log(A^2 / s^2)."""
        return (self.A(t) / self.relative_variance(t)).log()

    def log_odds(self, t: Tensor) -> Tensor:
        """log(A / (1 - A)), the clock of the default grid; a member whose A stays 1 chooses another."""
        return torch.logit(self.A(t))

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
        gain = self.relative_variance(earlier) / self.relative_variance(later)
        unexplained = (1 - gain * self.A(later) / self.A(earlier)).clamp_min(0)
        return self._towards(gain, earlier, later, self.variance(earlier) * unexplained)

    def deterministic(self, earlier: Tensor, later: Tensor) -> Gaussian:
        """First-order deterministic step to x_earlier from x_later and the x0 estimate; from a point a draw."""
        point = self.variance(later) == 0
        gain = torch.where(point, 0.0, self.s(earlier) / self.s(later))
        return self._towards(gain, earlier, later, torch.where(point, self.variance(earlier), 0.0))

    def _towards(self, gain: Tensor, earlier: Tensor, later: Tensor, variance: Tensor) -> Gaussian:
        """A_s x0 + B_s mu + gain (x_t - A_t x0 - B_t mu)."""
        x0 = self.A(earlier) - gain * self.A(later)
        return Gaussian(gain, x0, self.B(earlier) - gain * self.B(later), variance)


def forward_run(path: Dynamics, x0: Tensor, mu: Tensor, times: Tensor, noise: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """States x_t of the forward process at increasing times, each drawn from the transition out of the one before.

    x0, mu: images of any shape; noise(like) draws standard normals.
    """
    x, now = x0, torch.zeros_like(path.end)
    for t in times:
        law = path.transition(now, t)
        x, now = float(law.x) * x + float(law.mu) * mu + float(law.variance) ** 0.5 * noise(x), t
        yield x
