"""Ancestral sampling by the exact posterior of the path; keeps its marginals at any stride."""

from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers.solver import Denoise, Hook, Noise, estimate, identity, pairs, step


def posterior(
    path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook = identity
) -> Tensor:
    """x_s drawn from its law given x_t and the x0 estimate; see `Solver`."""
    for later, earlier in pairs(times):
        x0 = estimate(denoise, on_x0, x, later)
        x = x0 if earlier == 0 else step(path.posterior(earlier, later), x, x0, mu, noise)
    return x
