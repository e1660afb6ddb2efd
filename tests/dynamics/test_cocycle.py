"""Which paths have the cocycle property, in which clock, and which preserve their start law."""

import pytest
import torch
from paths import PATHS, each_path

from mri_d3gm.dynamics import make_path
from mri_d3gm.dynamics.cocycle import cocycle_deviation, invariance_deviation, last_time, own_clock, time_at
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.schedules import SCHEDULES

CONSTRAINED = {name: path for name, path in PATHS.items() if name.startswith(("d3gm", "ou"))}
KEPT, BROKEN = 1e-9, 0.1


def constant(values: torch.Tensor) -> bool:
    return bool((values - values[0]).abs().max() <= 1e-6 * values.abs().max())


def rates(path: Dynamics) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the drift and of the noise, over time."""
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    return -path.drift(t)[0], path.diffusion(t)


@each_path
def test_the_cocycle_holds_in_t_where_the_equation_does_not_change_with_time(path: Dynamics) -> None:
    autonomous = all(constant(rate) for rate in rates(path))
    deviation = cocycle_deviation(path, lambda t: t)
    assert deviation < KEPT if autonomous else deviation > BROKEN


@each_path
def test_the_cocycle_holds_in_the_paths_clock_where_noise_goes_with_the_drift(path: Dynamics) -> None:
    drift, noise = rates(path)
    autonomous = constant(noise / drift) if bool((drift > 0).all()) else True
    deviation = cocycle_deviation(path, own_clock(path)[1])
    assert deviation < KEPT if autonomous else deviation > BROKEN


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_stationary_constraint_keeps_the_cocycle_in_u_and_no_clock_restores_it_without(schedule: str) -> None:
    paths = {name: make_path(name, schedule=schedule) for name in ("d3gm", "ou", "decoupled")}
    in_u = {name: cocycle_deviation(path, path.Theta) < KEPT for name, path in paths.items()}
    in_t = {name: cocycle_deviation(path, lambda t: t) < KEPT for name, path in paths.items()}
    even = schedule == "constant"
    assert in_u == {"d3gm": True, "ou": True, "decoupled": even}
    assert in_t == dict.fromkeys(paths, even)


@each_path
def test_the_clock_of_a_path_with_a_schedule_is_its_theta(path: Dynamics) -> None:
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    name, clock = own_clock(path)
    assert bool((clock(t).diff() > 0).all())
    if hasattr(path, "Theta") and path.start()[1] > 0:
        assert name == "-log A"
        torch.testing.assert_close(clock(t), path.Theta(t))


@each_path
def test_times_are_found_by_their_clock(path: Dynamics) -> None:
    t, clock = torch.linspace(0.1, 0.9, 5, dtype=torch.float64), own_clock(path)[1]
    torch.testing.assert_close(time_at(clock, clock(t), last_time(path)), t, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("path", CONSTRAINED.values(), ids=CONSTRAINED)
def test_the_constraint_preserves_the_start_law(path: Dynamics) -> None:
    assert invariance_deviation(path) < 1e-12


def test_other_start_laws_are_moved() -> None:
    assert invariance_deviation(make_path("decoupled")) > BROKEN
    assert invariance_deviation(make_path("sgm-ve")) > BROKEN
    assert 0 < invariance_deviation(make_path("sgm-vp")) < 1e-3
    assert invariance_deviation(make_path("i2sb")) == float("inf")
