"""Solvers on Gaussian data, where the denoiser is exact and the law can be followed by recursion."""

import itertools
import math

import pytest
import torch
from paths import each_member, last, options

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.grids import GRIDS, log_snr
from mri_d3gm.samplers.solver import Denoise, Solver

M, V, MU = 0.6, 0.09, 0.2
ORDERS = {"deterministic": 1, "posterior": 1, "euler-maruyama": 1, "multistep": 2, "multistep-sde": 2}


def gaussian_denoiser(path: Dynamics, var: float) -> Denoise:
    """E[x0 | x_t] for x0 ~ N(M, var)."""

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        A, B, s = (c(t[:1]) for c in (path.A, path.B, path.s))
        return M + A * var / (A**2 * var + s**2).clamp_min(1e-300) * (x - A * M - B * MU)

    return denoise


def final_law(
    solver: Solver, path: Dynamics, denoise: Denoise, times: torch.Tensor, mean: float, var: float
) -> tuple[float, float]:
    """Mean and variance at the last of `times` from N(mean, var) at the first, without any sampling.

    With a denoiser affine in x the result is affine in the start and in every draw, so one row of the batch gives the
    mean, the next the gain of the start, and each further one that of a single draw.
    """
    x = torch.full((len(times) + 1, 1), mean, dtype=torch.float64)
    x[1] += 1
    rows = itertools.count(2)

    def noise(like: torch.Tensor) -> torch.Tensor:
        draw = torch.zeros_like(like)
        draw[next(rows)] = 1
        return draw

    end = solver(path, denoise, x, torch.full_like(x, MU), times, noise=noise)[:, 0]
    gains = end[1:] - end[0]
    return float(end[0]), float(gains[0] ** 2 * var + (gains[1:] ** 2).sum())


def marginal(path: Dynamics, t: torch.Tensor, mean: float, var: float) -> tuple[float, float]:
    """Mean and variance of x_t for x0 ~ N(mean, var)."""
    A, B, variance = (float(c(t)) for c in (path.A, path.B, path.variance))
    return A * mean + B * MU, A**2 * var + variance


def time_of_noise(path: Dynamics, level: float) -> float:
    """The t at which s / A is `level`."""
    t = torch.logspace(-6, 0, 5000, dtype=torch.float64)
    return float(t[(path.s(t) / path.A(t) > level).to(torch.int).argmax()])


def test_every_solver_has_a_known_order() -> None:
    assert set(ORDERS) == set(SOLVERS)


@each_member
@pytest.mark.parametrize("name", SOLVERS)
def test_measured_order_of_convergence(path: Dynamics, name: str) -> None:
    """From T to .4, where the noise has come down to x0's variance; a little later the leading error of the multistep
    solvers changes sign, and no order can be read off."""
    errors, var = [], math.exp(-float(path.log_snr(torch.tensor(0.4, dtype=torch.float64))))
    for steps in (160, 640):
        times = log_snr(path, steps + 1, last(path), t_min=0.4)[:-1]
        law = final_law(SOLVERS[name], path, gaussian_denoiser(path, var), times, *marginal(path, times[0], M, var))
        exact = marginal(path, times[-1], M, var)
        errors.append(abs(law[0] - exact[0]) + abs(law[1] - exact[1]))
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(ORDERS[name], abs=0.1)


@each_member
@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "euler-maruyama"])
def test_exact_marginals_at_any_stride_when_x0_is_known(path: Dynamics, name: str) -> None:
    for stops in ([1.0, 0.05], [1.0, 0.6, 0.2, 0.05], [0.7, 0.65, 0.1]):
        times = torch.tensor(stops, dtype=torch.float64)
        start = marginal(path, times[0], M, 0)
        law = final_law(SOLVERS[name], path, lambda x, t: torch.full_like(x, M), times, *start)
        assert law == pytest.approx(marginal(path, times[-1], M, 0), rel=1e-9)


@each_member
@pytest.mark.parametrize("name", SOLVERS)
def test_last_jump_to_zero_is_first_order_in_the_noise_left(path: Dynamics, name: str) -> None:
    errors, left = [], []
    for level in (0.02, 0.01):
        times = torch.tensor([time_of_noise(path, level), 0.0], dtype=torch.float64)
        mean, variance = final_law(SOLVERS[name], path, gaussian_denoiser(path, V), times, *marginal(path, times[0], M, V))
        assert mean == pytest.approx(M)
        errors.append(V - variance)
        left.append(math.exp(-float(path.log_snr(times[0]))))
    assert math.log(errors[0] / errors[1]) / math.log(left[0] / left[1]) == pytest.approx(1, abs=0.1)


@each_member
@pytest.mark.parametrize("grid", GRIDS)
def test_the_variance_of_draws_tends_to_the_truth_as_steps_grow(path: Dynamics, grid: str) -> None:
    """On the grids that ship, down to the noise that the last jump takes with it."""
    mean, deviation = path.start()
    errors = []
    for steps in (10, 300):
        times = GRIDS[grid](path, steps)
        law = final_law(SOLVERS["posterior"], path, gaussian_denoiser(path, V), times, mean * MU, deviation**2)
        errors.append(abs(law[1] - V) / V)
    assert errors[1] < min(errors[0], path.last_noise**2 / V + 0.08)


@each_member
def test_deterministic_solver_takes_the_step_of_the_formula(path: Dynamics) -> None:
    times = torch.tensor([0.8, 0.3], dtype=torch.float64)
    x, x0, mu = (torch.tensor([[value]], dtype=torch.float64) for value in (0.4, 0.7, 0.2))
    (A_t, A_s), (B_t, B_s), (s_t, s_s) = path.A(times), path.B(times), path.s(times)
    result = SOLVERS["deterministic"](path, lambda x, t: x0, x, mu, times, noise=torch.zeros_like)
    torch.testing.assert_close(result, A_s * x0 + B_s * mu + s_s / s_t * (x - A_t * x0 - B_t * mu))


def assert_recovers_mixture(path: Dynamics, name: str) -> None:
    """Draws of a mixture of two narrow Gaussians, with the exact denoiser, down to noise a fifth of their width."""
    centres, width, count = torch.tensor([-0.7, 0.9], dtype=torch.float64), 0.1, 10_000

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        A, B, s = (c(t[:1]) for c in (path.A, path.B, path.s))
        seen = (A**2 * width**2 + s**2).clamp_min(1e-30)
        offset = x - B * MU - A * centres
        weights = torch.softmax(-(offset**2) / (2 * seen), -1)
        return (weights * (centres + A * width**2 / seen * offset)).sum(-1, keepdim=True)

    generator = torch.Generator().manual_seed(0)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, dtype=like.dtype, generator=generator)

    mu = torch.full((count, 1), MU, dtype=torch.float64)
    mean, deviation = path.start()
    times = log_snr(path, 300, t_min=time_of_noise(path, width / 5))
    x = SOLVERS[name](path, denoise, mean * mu + deviation * noise(mu), mu, times, noise=noise)
    upper = x > 0
    assert float(upper.double().mean()) == pytest.approx(0.5, abs=0.03)
    for part, centre in ((x[~upper], centres[0]), (x[upper], centres[1])):
        assert float(part.mean()) == pytest.approx(float(centre), abs=0.02)
        assert float(part.std()) == pytest.approx(width, abs=0.02)


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_recovers_a_gaussian_mixture(name: str, dynamics: str) -> None:
    assert_recovers_mixture(make_path(dynamics, **{option: 0.5 for option in {"lam"} & options(dynamics)}), name)


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_runs_in_inference_mode(name: str, dynamics: str) -> None:
    ends = []
    for mode in (torch.inference_mode(), torch.no_grad()):
        with mode:
            path, x = make_path(dynamics), torch.full((2, 1), 0.3, dtype=torch.float64)
            times = log_snr(path, 4)
            ends.append(SOLVERS[name](path, lambda x, t: 0.5 * x, x, x, times, noise=torch.ones_like))
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_refuse_a_grid_that_does_not_decrease(name: str) -> None:
    x = torch.zeros(1, 2)
    for grid in ([0.2, 0.8], [0.5, 0.5, 0.0], [1.0]):
        times = torch.tensor(grid, dtype=torch.float64)
        with pytest.raises(ValueError, match="decreasing"):
            SOLVERS[name](make_path("d3gm"), lambda x, t: x, x, x, times, noise=torch.zeros_like)
