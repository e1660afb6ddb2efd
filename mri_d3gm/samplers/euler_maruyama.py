"""Euler-Maruyama on the reverse SDE, the paper's sampler."""

from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers.solver import Denoise, Hook, Noise, estimate, identity, pairs, step


def euler_maruyama(
    path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook = identity
) -> Tensor:
    """dx = [f - g^2 score] dt + g dW backwards, the score from the x0 estimate; from a point the posterior; see `Solver`."""
    for later, earlier in pairs(times):
        x0 = estimate(denoise, on_x0, x, later)
        if earlier == 0:
            return x0
        if path.variance(later) == 0:
            x = step(path.posterior(earlier, later), x, x0, mu, noise)
            continue
        of_x, of_mu = (float(c) for c in path.drift(later))
        g2, dt = float(path.diffusion(later)), float(later - earlier)
        x = x - dt * (of_x * x + of_mu * mu - g2 * path.score(x, x0, mu, later)) + (g2 * dt) ** 0.5 * noise(x)
    return x
