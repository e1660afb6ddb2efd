"""The discrepancy at T in closed form, against draws and against the formulas of D3GM."""

import math

import pytest
import torch
from paths import MEMBERS, each_path

from mri_d3gm.dynamics import make_path
from mri_d3gm.dynamics.discrepancy import kullback_leibler, proposition_2, wasserstein
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.schedules import SCHEDULES
from mri_d3gm.errors import InputError

GENERATOR = torch.Generator().manual_seed(0)
X0, MU = (torch.randn(3, 2, 2, dtype=torch.complex128, generator=GENERATOR) for _ in range(2))
D = 8
SPREAD = {name: path for name, path in MEMBERS.items() if path.start()[1] > 0}
each_spread = pytest.mark.parametrize("path", SPREAD.values(), ids=SPREAD)


def forward_draws(path: Dynamics, count: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws of x_T given (x0, mu), and the standard normals they were made from, real: (count, 3, D)."""
    eps = torch.randn(count, 3, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x0, mu = (torch.view_as_real(image).reshape(3, D) for image in (X0, MU))
    return path.A(path.end) * x0 + path.B(path.end) * mu + path.s(path.end) * eps, eps


def assert_mean(values: torch.Tensor, expected: torch.Tensor) -> None:
    """Within 4 standard errors, over the first axis; rounding for a constant."""
    error = values.std(0) / len(values) ** 0.5
    assert bool(((values.mean(0) - expected).abs() <= 4 * error + 1e-12 * expected.abs()).all())


@each_path
def test_wasserstein_is_the_cost_of_the_optimal_map(path: Dynamics) -> None:
    x, eps = forward_draws(path)
    mean, deviation = path.start()
    image = mean * torch.view_as_real(MU).reshape(3, D) + deviation * eps
    assert_mean((x - image).square().sum(-1), wasserstein(path, X0, MU))


@each_spread
def test_kullback_leibler_is_the_mean_log_ratio(path: Dynamics) -> None:
    x, eps = forward_draws(path)
    mean, deviation = path.start()
    start = torch.distributions.Normal(mean * torch.view_as_real(MU).reshape(3, D), deviation)
    log_density = torch.distributions.Normal(0.0, 1.0).log_prob(eps) - path.s(path.end).log()
    assert_mean((log_density - start.log_prob(x)).sum(-1), kullback_leibler(path, X0, MU))


def test_a_path_that_starts_at_a_point_meets_it() -> None:
    for discrepancy in (wasserstein, kullback_leibler):
        assert torch.equal(discrepancy(make_path("i2sb"), X0, MU), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("tau", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_d3gm_has_its_special_formulas(schedule: str, tau: float) -> None:
    path, a, deviation = make_path("d3gm", tau=tau, schedule=schedule, a_T=0.1), 0.1, tau * 10 / 255
    distance = (X0 - MU).abs().square().sum((1, 2))
    w2 = a**2 * distance + D * deviation**2 * (1 - math.sqrt(1 - a**2)) ** 2
    kl = (a**2 * distance / deviation**2 - D * a**2 - D * math.log(1 - a**2)) / 2
    torch.testing.assert_close(wasserstein(path, X0, MU), w2)
    torch.testing.assert_close(kullback_leibler(path, X0, MU), kl)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_proposition_2_in_both_printed_forms(schedule: str) -> None:
    path, lam2, decay = make_path("d3gm", schedule=schedule, a_T=0.1), (10 / 255) ** 2, 0.01
    R = 0.3**2 * (2 * 0.3**2 + D + 2 * math.sqrt(-D * math.log(0.05)) - 2 * math.log(0.05))
    distance = (X0 - MU).abs().square().sum((1, 2))
    main, appendix = proposition_2(path, X0, MU, sigma_max=0.3, C=2.0, delta=0.05)
    torch.testing.assert_close(main, ((distance - lam2) * decay + lam2 - R).abs())
    torch.testing.assert_close(appendix, ((distance - lam2) * decay + 2 * lam2 - R).abs())


def test_real_images_have_half_the_dimensions() -> None:
    path, zero = make_path("d3gm"), torch.zeros(1, 4)
    for discrepancy in (wasserstein, kullback_leibler):
        torch.testing.assert_close(discrepancy(path, zero + 0j, zero + 0j), 2 * discrepancy(path, zero, zero))


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan])
def test_impossible_delta_is_refused(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        proposition_2(make_path("ou"), X0, MU, sigma_max=1.0, C=1.0, delta=delta)
