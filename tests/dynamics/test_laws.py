"""Every member of the registry, under every schedule, is held to what the family of Gaussian paths derives."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from paths import PATHS, each_path, last

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.schedules import SCHEDULES
from mri_d3gm.errors import InputError


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@each_path
def test_starts_at_the_clean_image_and_ends_near_the_start_law(path: Dynamics) -> None:
    zero, end = times(0.0), times(path.T)
    assert float(path.A(zero)) == pytest.approx(1)
    assert float(path.B(zero)) == pytest.approx(0)
    assert float(path.s(zero)) == pytest.approx(0)
    mean, deviation = path.start()
    assert float(path.A(end)) <= 0.03 * max(1, deviation)
    assert float(path.B(end)) == pytest.approx(mean, abs=0.01)
    assert float(path.s(end)) == pytest.approx(deviation, rel=1e-3)


@each_path
def test_drift_and_diffusion_agree_with_finite_differences_of_the_marginals(path: Dynamics) -> None:
    t, h = times(0.15, 0.4, 0.7, 0.95), 1e-5
    of_x, of_mu = path.drift(t)
    mean_change = (path.A(t + h) - path.A(t - h)) / (2 * h)
    mu_change = (path.B(t + h) - path.B(t - h)) / (2 * h)
    variance_change = (path.s(t + h) ** 2 - path.s(t - h) ** 2) / (2 * h)
    torch.testing.assert_close(of_x * path.A(t), mean_change, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(of_x * path.B(t) + of_mu, mu_change, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(2 * of_x * path.s(t) ** 2 + path.diffusion(t), variance_change, rtol=1e-4, atol=1e-9)


def evenly(path: Dynamics, steps: int) -> torch.Tensor:
    """Times from 0 on, evenly spread in t and -log A together: where A falls fast in proportion, so do the moments."""
    fine = torch.linspace(0, last(path, 0.05), 20001, dtype=torch.float64)
    fallen = -path.A(fine).log()
    clock = fine / fine[-1] + (fallen / fallen[-1] if fallen[-1] > 0 else 0)
    wanted = np.linspace(0, float(clock[-1]), steps + 1)
    return torch.from_numpy(np.interp(wanted, clock.numpy(), fine.numpy()))


@dataclass(frozen=True)
class Rectified(Dynamics):
    """A = 1 - 0.995 t, B = 1 - A, s = 0.2 t, which is no member: most of A's fall in proportion lies near T."""

    def A(self, t: torch.Tensor) -> torch.Tensor:
        return 1 - 0.995 * t

    def B(self, t: torch.Tensor) -> torch.Tensor:
        return 0.995 * t

    def variance(self, t: torch.Tensor) -> torch.Tensor:
        return 0.04 * t**2

    def start(self) -> tuple[float, float]:
        return 1.0, 0.2


@pytest.mark.parametrize("path", [*PATHS.values(), Rectified()], ids=[*PATHS, "rectified"])
def test_simulated_sde_has_the_marginals(path: Dynamics) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, mu, count, steps = 0.8, 0.3, 20000, 400
    x = torch.full((count,), x0, dtype=torch.float64)
    for step, (now, after) in enumerate(itertools.pairwise(evenly(path, steps)), start=1):
        middle = (now + after) / 2
        of_x, of_mu = path.drift(middle)
        noise = torch.randn(count, dtype=torch.float64, generator=generator)
        x = x + (after - now) * (of_x * x + of_mu * mu) + (path.diffusion(middle) * (after - now)).sqrt() * noise
        if step % 100 == 0:
            expected, deviation = path.A(after) * x0 + path.B(after) * mu, float(path.s(after))
            assert abs(float(x.mean() - expected)) < 4 * deviation / count**0.5 + 1e-3
            assert float(x.std()) == pytest.approx(deviation, rel=0.03)


@each_path
def test_transitions_compose_to_the_marginal(path: Dynamics) -> None:
    s, t = times(0.3), times(0.8)
    law = path.transition(s, t)
    torch.testing.assert_close(law.x * path.A(s), path.A(t))
    torch.testing.assert_close(law.x * path.B(s) + law.mu, path.B(t))
    torch.testing.assert_close(law.x**2 * path.s(s) ** 2 + law.variance, path.s(t) ** 2)


@each_path
def test_posterior_is_bayes_rule_on_gaussians(path: Dynamics) -> None:
    s, t, x0, mu, xt = times(0.3), times(0.8), 0.7, 0.2, 0.4
    prior_mean, prior_variance = path.A(s) * x0 + path.B(s) * mu, path.s(s) ** 2
    law = path.transition(s, t)
    precision = 1 / prior_variance + law.x**2 / law.variance
    mean = (prior_mean / prior_variance + law.x * (xt - law.mu * mu) / law.variance) / precision
    posterior = path.posterior(s, t)
    torch.testing.assert_close(posterior.x * xt + posterior.x0 * x0 + posterior.mu * mu, mean)
    torch.testing.assert_close(posterior.variance, 1 / precision)


@each_path
def test_strided_posterior_keeps_the_exact_marginals(path: Dynamics) -> None:
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
def test_deterministic_step_is_the_formula(path: Dynamics) -> None:
    s, t, x0, mu, xt = times(0.3), times(0.8), 0.7, 0.2, 0.4
    law = path.deterministic(s, t)
    expected = path.A(s) * x0 + path.B(s) * mu + path.s(s) / path.s(t) * (xt - path.A(t) * x0 - path.B(t) * mu)
    torch.testing.assert_close(law.x * xt + law.x0 * x0 + law.mu * mu, expected)
    assert float(law.variance) == 0


@each_path
def test_score_is_the_gradient_of_the_log_density(path: Dynamics) -> None:
    t, x0, mu = times(0.4), times(0.7, 0.1), times(0.2, -0.3)
    x = times(0.5, 0.0).requires_grad_()
    law = torch.distributions.Normal(path.A(t) * x0 + path.B(t) * mu, path.s(t))
    (gradient,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    torch.testing.assert_close(path.score(x.detach(), x0, mu, t[0]), gradient)


@each_path
def test_centred_coordinate_has_no_prior_mean(path: Dynamics) -> None:
    t, x0, mu, eps = times(0.4), times(0.7), times(0.2), times(-1.3)
    x = path.A(t) * x0 + path.B(t) * mu + path.s(t) * eps
    torch.testing.assert_close(path.centred(x, mu, t), path.A(t) * x0 + path.s(t) * eps)


@each_path
def test_coefficients_are_finite_from_zero_on(path: Dynamics) -> None:
    t = torch.cat([times(0.0), last(path, 1e-6) * torch.logspace(-12, 0, 500, dtype=torch.float64)])
    of_x, of_mu = path.drift(t)
    for value in (path.A(t), path.B(t), path.s(t), path.variance(t), of_x, of_mu, path.diffusion(t)):
        assert value.dtype == torch.float64 and value.shape == t.shape and bool(value.isfinite().all())
    assert bool((path.diffusion(t) >= -1e-12).all())
    torch.testing.assert_close(path.variance(t), path.s(t) ** 2, rtol=1e-9, atol=0)


@each_path
def test_what_has_a_limit_at_the_start_is_finite_there_and_agrees_with_it(path: Dynamics) -> None:
    s, end = times(0.4), times(path.T)
    for law in (path.posterior, path.transition):
        for value, near in zip(law(s, end), law(s, end - 1e-9), strict=True):
            torch.testing.assert_close(value, near, rtol=1e-4, atol=1e-6)
    assert bool(torch.stack(path.deterministic(s, end)).isfinite().all())
    assert not bool(torch.stack([path.log_snr(end), path.log_odds(end), path.relative_variance(end)]).isnan().any())


def test_first_step_from_a_point_is_the_marginal_of_the_estimate() -> None:
    path, s, end = make_path("i2sb"), times(0.4), times(1.0)
    for law in (path.posterior(s, end), path.deterministic(s, end)):
        torch.testing.assert_close(law.x + law.mu, path.B(s))
        torch.testing.assert_close(law.x0, path.A(s))
        torch.testing.assert_close(law.variance, path.variance(s))


def test_a_path_that_forgets_the_image_and_ends_in_noise_is_refused(monkeypatch) -> None:
    class Straight(type(make_path("sgm-ve"))):
        def A(self, t: torch.Tensor) -> torch.Tensor:
            return 1 - t

    monkeypatch.setitem(DYNAMICS, "straight", Straight)
    with pytest.raises(InputError, match="straight: A is not positive at T and s is"):
        make_path("straight")


@pytest.mark.parametrize("dynamics", ["d3gm", "ou"])
def test_every_schedule_is_the_same_path_on_another_clock(dynamics: str) -> None:
    fine = torch.linspace(0.01, 1, 200, dtype=torch.float64)
    for schedule in SCHEDULES:
        path = make_path(dynamics, schedule=schedule)
        A, s = path.A(fine), path.s(fine)
        torch.testing.assert_close(s, path.start()[1] * (1 - A**2).sqrt(), rtol=1e-6, atol=0)
        assert bool((A.diff() < 0).all())
        assert float(A[-1]) == pytest.approx(0.005)


def test_schedules_are_those_of_the_paper() -> None:
    t, theta, k = times(0.15, 0.4, 0.7, 0.95), 2.5, 6.0
    rates = {
        "constant": torch.ones_like(t),
        "linear": t,
        "quadratic": t**2,
        "cosine": 1 - torch.cos(theta * t),
        "logarithmic": torch.sigmoid(k * t),
    }
    assert set(rates) == set(SCHEDULES)
    for name, schedule in SCHEDULES.items():
        after, before = (schedule(t + h, theta=theta, k=k) for h in (1e-5, -1e-5))
        torch.testing.assert_close((after - before) / 2e-5, rates[name], rtol=1e-6, atol=1e-8)
        assert float(schedule(times(0.0), theta=theta, k=k)) == 0


def test_shapes_of_schedules_are_options_with_the_papers_defaults() -> None:
    t = times(0.3)
    torch.testing.assert_close(make_path("d3gm", theta=math.pi, k=10.0).A(t), make_path("d3gm").A(t), rtol=0, atol=0)
    for schedule, option in (("cosine", "theta"), ("logarithmic", "k")):
        plain, bent = make_path("d3gm", schedule=schedule), make_path("d3gm", schedule=schedule, **{option: 2.0})
        assert float((bent.A(t) - plain.A(t)).abs()) > 1e-3
        assert float(bent.A(times(1.0))) == pytest.approx(0.005)
    assert float(make_path("ou", a_T=0.1).A(times(1.0))) == pytest.approx(0.1)


def test_d3gm_is_ou_with_wider_noise() -> None:
    t = times(0.5)
    torch.testing.assert_close(make_path("d3gm", tau=3.0).s(t), 3 * make_path("ou").s(t))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_decoupled_noise_is_free_of_theta_and_stationary_under_the_constant_schedule_alone(schedule: str) -> None:
    t = torch.linspace(0, 1, 20, dtype=torch.float64)
    ou, path = make_path("ou", schedule=schedule), make_path("decoupled", schedule=schedule)
    expected = 2 * ou.start()[1] ** 2 * -math.log(0.005)
    torch.testing.assert_close(path.diffusion(t), torch.full_like(t, expected), rtol=1e-9, atol=0)
    same = torch.allclose(path.variance(t), ou.variance(t), rtol=1e-9, atol=0)
    assert same == (schedule == "constant")


def test_i2sb_has_its_symmetric_noise_and_reduces_to_the_brownian_bridge() -> None:
    t = times(0.1, 0.3, 0.45)
    path = make_path("i2sb", beta_min=0.1, beta_max=0.3)
    beta = (0.1**0.5 + (0.3**0.5 - 0.1**0.5) * t) ** 2
    for time in (t, 1 - t):
        torch.testing.assert_close(path.diffusion(time), beta)
        of_x, of_mu = path.drift(time)
        torch.testing.assert_close(-of_x, of_mu)
    bridge = make_path("i2sb", beta_min=0.2, beta_max=0.2)
    torch.testing.assert_close(bridge.A(t), 1 - t)
    torch.testing.assert_close(bridge.variance(t), 0.2 * t * (1 - t))


def test_score_based_models_are_those_of_song() -> None:
    t = times(0.2, 0.7)
    vp, ve = make_path("sgm-vp"), make_path("sgm-ve")
    torch.testing.assert_close(vp.diffusion(t), 0.1 + 19.9 * t)
    torch.testing.assert_close(vp.A(t) ** 2 + vp.variance(t), torch.ones_like(t))
    torch.testing.assert_close(ve.variance(t) + 0.01**2, (0.01 * 5000**t) ** 2)
    assert make_path("sgm-vp").start()[0] == make_path("sgm-ve").start()[0] == 0


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("brownian", {}, "unknown"),
        ("d3gm", {"tau2": 1.0}, "tau2"),
        ("d3gm", {"schedule": "stepwise"}, "stepwise"),
        ("d3gm", {"a_T": 0.0}, "a_T"),
        ("d3gm", {"a_T": 1.0}, "a_T"),
        ("d3gm", {"tau": -1.0}, "tau"),
        ("d3gm", {"lam": math.nan}, "lam"),
        ("d3gm", {"theta": 0.0}, "theta"),
        ("ou", {"tau": 2.0}, "tau"),
        ("decoupled", {"lam": 0.0}, "lam"),
        ("i2sb", {"beta_max": 0.0}, "beta_max"),
        ("sgm-vp", {"beta_min": -0.1}, "beta_min"),
        ("sgm-ve", {"sigma_max": math.inf}, "sigma_max"),
        ("sgm-ve", {"sigma_max": 0.01}, "sigma_max"),
    ],
)
def test_impossible_paths_are_refused(name: str, parameters: dict[str, float | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_path(name, **parameters)
