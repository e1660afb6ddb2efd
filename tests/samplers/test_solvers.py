"""Solvers on Gaussian data, where the denoiser is exact and the law can be followed by recursion."""

import itertools
import math

import pytest
import torch

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.path import Path
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.grids import GRIDS, log_snr
from mri_d3gm.samplers.sample import sample
from mri_d3gm.samplers.solver import Solver

M, V, MU = 0.6, 0.09, 0.2
T_MIN = 0.2


def gaussian_denoiser(path: Path):
    """E[x0 | x_t] for x0 ~ N(M, V)."""

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        A, B, s = (c(t)[:, None] for c in (path.A, path.B, path.s))
        return M + A * V / (A**2 * V + s**2) * (x - A * M - B * MU)

    return denoise


def identity(x0: torch.Tensor) -> torch.Tensor:
    return x0


def final_law_error(path: Path, solver: Solver, steps: int) -> float:
    """Error of the mean and deviation at T_MIN, started from the exact marginal at T, without any sampling.

    The solver is affine in x on Gaussian data, so two starting points give its mean and its gain.
    """
    times = log_snr(path, steps + 1, t_min=T_MIN)[:-1]
    A, B, s = (c(times[[0, -1]]) for c in (path.A, path.B, path.s))
    start = torch.tensor([[A[0] * M + B[0] * MU], [A[0] * M + B[0] * MU + 1]], dtype=torch.float64)
    mu = torch.full_like(start, MU)
    end = solver(path, gaussian_denoiser(path), start, mu, times, noise=torch.zeros_like, on_x0=identity)
    gain = float(end[1] - end[0])
    deviation = gain * math.sqrt(float(A[0] ** 2 * V + s[0] ** 2))
    return abs(float(end[0]) - float(A[1] * M + B[1] * MU)) + abs(deviation - math.sqrt(float(A[1] ** 2 * V + s[1] ** 2)))


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize(("name", "order"), [("deterministic", 1), ("multistep", 2)])
def test_measured_order_of_convergence(dynamics: str, name: str, order: int) -> None:
    path = make_path(dynamics)
    errors = [final_law_error(path, SOLVERS[name], steps) for steps in (160, 320, 640)]
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert slopes == pytest.approx([order] * 2, abs=0.1)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_recovers_a_gaussian_mixture(name: str) -> None:
    path = make_path("d3gm", lam=0.5)
    centres, width = torch.tensor([-0.7, 0.9], dtype=torch.float64), 0.1

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        A, B, s = (c(t)[:, None] for c in (path.A, path.B, path.s))
        seen = A**2 * width**2 + s**2
        offset = x - B * MU - A * centres
        weights = torch.softmax(-(offset**2) / (2 * seen), -1)
        means = centres + A * width**2 / seen * offset
        return (weights * means).sum(-1, keepdim=True)

    count = 4000
    mu = torch.full((count, 1), MU, dtype=torch.float64)
    x, evaluations = sample(path, denoise, mu, SOLVERS[name], 200, range(count), grid="log-snr")
    upper = x > 0
    assert evaluations == 200
    assert float(upper.double().mean()) == pytest.approx(0.5, abs=0.05)
    for part, centre in ((x[~upper], centres[0]), (x[upper], centres[1])):
        assert float(part.mean()) == pytest.approx(float(centre), abs=0.03)
        assert float(part.std()) == pytest.approx(width, abs=0.03)


@pytest.mark.parametrize("name", SOLVERS)
def test_last_step_is_the_consistent_estimate_and_never_nan(name: str) -> None:
    path = make_path("d3gm")
    mu = torch.zeros(2, 3, 3, dtype=torch.complex64)
    for steps in (1, 2, 5):
        x, count = sample(path, lambda x, t: 0 * x, mu, SOLVERS[name], steps, [0, 1], on_x0=lambda x0: x0 + 1)
        assert count == steps
        torch.testing.assert_close(x, torch.ones_like(x))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_sample_depends_on_its_seed_and_not_on_its_batch(name: str) -> None:
    path = make_path("d3gm")
    mu = torch.randn(1, 4, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))

    def draw(seeds: list[int]) -> torch.Tensor:
        batch = mu.expand(len(seeds), -1, -1)
        return sample(path, lambda x, t: 0.5 * x, batch, SOLVERS[name], 6, seeds)[0]

    torch.testing.assert_close(draw([3, 4, 5])[1], draw([4])[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(draw([3, 4]), draw([3, 4]))


@pytest.mark.parametrize("name", GRIDS)
def test_grids_decrease_from_t_to_zero(name: str) -> None:
    path = make_path("d3gm")
    for steps in (1, 2, 7):
        times = GRIDS[name](path, steps)
        assert len(times) == steps + 1
        assert float(times[0]) == pytest.approx(1) and float(times[-1]) == 0
        assert bool((times.diff() < 0).all())


def test_reverse_process_from_a_first_guess_starts_at_its_marginal() -> None:
    path, seen = make_path("d3gm"), []

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append((x, float(t[0])))
        return x

    mu, guess = torch.zeros(1, 64, 64), torch.ones(1, 64, 64)
    sample(path, denoise, mu, SOLVERS["posterior"], 3, [0], first_guess=guess, t0=0.4)
    x, t = seen[0]
    A, s = (float(c(torch.tensor(0.4, dtype=torch.float64))) for c in (path.A, path.s))
    assert t == pytest.approx(0.4)
    assert float(x.mean()) == pytest.approx(A, abs=4 * s / 64)
    assert float(x.std()) == pytest.approx(s, rel=0.1)
