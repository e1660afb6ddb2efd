"""Every member of the registry, under every schedule, is held to what section 2.1 of the mathematics derives."""

import itertools

import pytest
import torch

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.path import Path
from mri_d3gm.dynamics.schedules import SCHEDULES

PATHS = [make_path(name, schedule=schedule) for name, schedule in itertools.product(DYNAMICS, SCHEDULES)]
IDS = [f"{name}-{schedule}" for name, schedule in itertools.product(DYNAMICS, SCHEDULES)]
each_path = pytest.mark.parametrize("path", PATHS, ids=IDS)


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@each_path
def test_starts_at_the_clean_image_and_ends_near_the_start_law(path: Path) -> None:
    zero, end = times(0.0), times(path.T)
    assert float(path.A(zero)) == pytest.approx(1)
    assert float(path.B(zero)) == pytest.approx(0)
    assert float(path.s(zero)) == pytest.approx(0)
    mean, deviation = path.start()
    assert float(path.A(end)) == pytest.approx(0.005, rel=1e-6)
    assert float(path.B(end)) == pytest.approx(mean, abs=0.01)
    assert float(path.s(end)) == pytest.approx(deviation, rel=1e-3)


@each_path
def test_drift_and_diffusion_agree_with_finite_differences_of_the_marginals(path: Path) -> None:
    t, h = times(0.15, 0.4, 0.7, 0.95), 1e-5
    of_x, of_mu = path.drift(t)
    mean_change = (path.A(t + h) - path.A(t - h)) / (2 * h)
    mu_change = (path.B(t + h) - path.B(t - h)) / (2 * h)
    variance_change = (path.s(t + h) ** 2 - path.s(t - h) ** 2) / (2 * h)
    torch.testing.assert_close(of_x * path.A(t), mean_change, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(of_x * path.B(t) + of_mu, mu_change, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(2 * of_x * path.s(t) ** 2 + path.diffusion(t), variance_change, rtol=1e-4, atol=1e-9)


@each_path
def test_simulated_sde_has_the_marginals(path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, mu, count, steps = 0.8, 0.3, 20000, 400
    x = torch.full((count,), x0, dtype=torch.float64)
    grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    for now, after in itertools.pairwise(grid):
        middle = (now + after) / 2
        of_x, of_mu = path.drift(middle)
        noise = torch.randn(count, dtype=torch.float64, generator=generator)
        x = x + (after - now) * (of_x * x + of_mu * mu) + (path.diffusion(middle) * (after - now)).sqrt() * noise
    end = grid[-1]
    expected = path.A(end) * x0 + path.B(end) * mu
    assert abs(float(x.mean() - expected)) < 4 * float(path.s(end)) / count**0.5 + 2e-3
    assert float(x.std()) == pytest.approx(float(path.s(end)), rel=0.04)


@each_path
def test_transitions_compose_to_the_marginal(path: Path) -> None:
    s, t = times(0.3), times(0.8)
    law = path.transition(s, t)
    torch.testing.assert_close(law.x * path.A(s), path.A(t))
    torch.testing.assert_close(law.x * path.B(s) + law.mu, path.B(t))
    torch.testing.assert_close(law.x**2 * path.s(s) ** 2 + law.variance, path.s(t) ** 2)


@each_path
def test_posterior_is_bayes_rule_on_gaussians(path: Path) -> None:
    s, t, x0, mu, xt = times(0.3), times(0.8), 0.7, 0.2, 0.4
    prior_mean, prior_variance = path.A(s) * x0 + path.B(s) * mu, path.s(s) ** 2
    law = path.transition(s, t)
    precision = 1 / prior_variance + law.x**2 / law.variance
    mean = (prior_mean / prior_variance + law.x * (xt - law.mu * mu) / law.variance) / precision
    posterior = path.posterior(s, t)
    torch.testing.assert_close(posterior.x * xt + posterior.x0 * x0 + posterior.mu * mu, mean)
    torch.testing.assert_close(posterior.variance, 1 / precision)


@each_path
def test_strided_posterior_keeps_the_exact_marginals(path: Path) -> None:
    x0, mu = 0.7, 0.2
    later = times(path.T)
    mean, variance = path.A(later) * x0 + path.B(later) * mu, path.s(later) ** 2
    for earlier in (times(0.6), times(0.2), times(0.05)):
        law = path.posterior(earlier, later)
        mean, variance = law.x * mean + law.x0 * x0 + law.mu * mu, law.x**2 * variance + law.variance
        torch.testing.assert_close(mean, path.A(earlier) * x0 + path.B(earlier) * mu)
        torch.testing.assert_close(variance, path.s(earlier) ** 2)
        later = earlier


@each_path
def test_deterministic_step_is_the_formula(path: Path) -> None:
    s, t, x0, mu, xt = times(0.3), times(0.8), 0.7, 0.2, 0.4
    law = path.deterministic(s, t)
    expected = path.A(s) * x0 + path.B(s) * mu + path.s(s) / path.s(t) * (xt - path.A(t) * x0 - path.B(t) * mu)
    torch.testing.assert_close(law.x * xt + law.x0 * x0 + law.mu * mu, expected)
    assert float(law.variance) == 0


def test_d3gm_is_ou_with_wider_noise_and_both_refuse_unknown_parameters() -> None:
    t = times(0.5)
    torch.testing.assert_close(make_path("d3gm", tau=3.0).s(t), 3 * make_path("ou").s(t))
    with pytest.raises(Exception, match="unknown"):
        make_path("brownian")
    with pytest.raises(Exception, match="tau2"):
        make_path("d3gm", tau2=1)
