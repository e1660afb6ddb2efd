"""First-order deterministic solver (DDIM in the path's centred coordinate)."""

from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers.solver import Denoise, Hook, Noise, estimate, identity, pairs, step


def deterministic(
    path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook = identity
) -> Tensor:
    """x_s = A_s x0 + B_s mu + (s_s / s_t)(x_t - A_t x0 - B_t mu); order 1; see `Solver`."""
    for later, earlier in pairs(times):
        x0 = estimate(denoise, on_x0, x, later)
        x = x0 if earlier == 0 else step(path.deterministic(earlier, later), x, x0, mu, noise)
    return x
