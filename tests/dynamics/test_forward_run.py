"""The forward process drawn step by step: its marginals, and discrepancies measured along it."""

import math

import pytest
import torch
from paths import each_path

from mri_d3gm.dynamics import make_path
from mri_d3gm.dynamics.discrepancy import drawn_discrepancies, kullback_leibler, wasserstein
from mri_d3gm.dynamics.path import Dynamics, forward_run

TIMES = torch.tensor([0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
COUNT, D = 4000, 6


def noise(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return lambda like: torch.randn(like.shape, dtype=torch.float64, generator=generator)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    x0, mu = torch.randn(2, 1, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x0.expand(COUNT, D), mu.expand(COUNT, D)


@each_path
def test_a_run_has_the_marginals(path: Dynamics) -> None:
    x0, mu = images()
    for t, x in zip(TIMES, forward_run(path, x0, mu, TIMES, noise()), strict=True):
        expected, s = path.A(t) * x0[0] + path.B(t) * mu[0], float(path.s(t))
        assert float((x.mean(0) - expected).abs().max()) <= 5 * s / math.sqrt(COUNT) + 1e-12
        assert float(x.var(0).mean()) == pytest.approx(s**2, rel=0.05, abs=1e-20)


@each_path
def test_discrepancies_along_a_run_agree_with_their_closed_forms(path: Dynamics) -> None:
    x0, mu = images()
    for drawn in drawn_discrepancies(path, x0, mu, TIMES, noise()):
        t = torch.tensor(drawn.t, dtype=torch.float64)
        for values, function in ((drawn.wasserstein, wasserstein), (drawn.kullback_leibler, kullback_leibler)):
            expected = float(function(path, x0[:1], mu[:1], t))
            if function is kullback_leibler and path.start()[1] == 0:
                assert bool(values.isnan().all()) and expected == (0 if drawn.t == 1 else math.inf)
                continue
            error = float(values.std()) / math.sqrt(COUNT)
            assert abs(float(values.mean()) - expected) <= 4 * error + 1e-9 * abs(expected) + 1e-12


@each_path
def test_without_a_time_the_discrepancy_is_that_at_the_end(path: Dynamics) -> None:
    x0, mu = (image[:1] for image in images())
    for function in (wasserstein, kullback_leibler):
        assert torch.equal(function(path, x0, mu), function(path, x0, mu, path.end))


def test_the_law_comes_nearer_to_the_start_law_as_time_goes() -> None:
    x0, mu = (image[:1] for image in images())
    for function in (wasserstein, kullback_leibler):
        values = [float(function(make_path("d3gm"), x0, mu, t)) for t in TIMES]
        assert values == sorted(values, reverse=True)
