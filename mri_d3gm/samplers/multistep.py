"""Second-order multistep solvers, DPM-Solver++ 2M (Lu et al., 2022) in c_t = x_t - B_t mu, a diffusion with (A, s).

Each is a first-order solver's step with the x0 estimate extrapolated to the middle of the step.
"""

from collections.abc import Callable

from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics, Gaussian
from mri_d3gm.samplers.solver import Denoise, Hook, Noise, estimate, identity, pairs, step

Law = Callable[[Tensor, Tensor], Gaussian]


def _multistep(
    path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook, law: Law
) -> Tensor:
    previous, last_h = None, 0.0
    for later, earlier in pairs(times):
        x0 = estimate(denoise, on_x0, x, later)
        if earlier == 0:
            return x0
        h = float(path.log_snr(earlier) - path.log_snr(later)) / 2
        extrapolated = x0 if previous is None else x0 + (x0 - previous) * h / (2 * last_h)
        x = step(law(earlier, later), x, extrapolated, mu, noise)
        previous, last_h = x0, h
    return x


def multistep(
    path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook = identity
) -> Tensor:
    """Deterministic, order 2; see `Solver`."""
    return _multistep(path, denoise, x, mu, times, noise=noise, on_x0=on_x0, law=path.deterministic)


def multistep_sde(
    path: Dynamics, denoise: Denoise, x: Tensor, mu: Tensor, times: Tensor, *, noise: Noise, on_x0: Hook = identity
) -> Tensor:
    """Stochastic (SDE-DPM-Solver++ 2M); see `Solver`."""
    return _multistep(path, denoise, x, mu, times, noise=noise, on_x0=on_x0, law=path.posterior)
