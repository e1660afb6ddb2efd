"""Time grids over every member of the registry."""

import itertools

import pytest
import torch
from paths import each_path, last

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.schedules import SCHEDULES
from mri_d3gm.samplers.grids import GRIDS, end_of_grid, log_odds, log_snr


@each_path
@pytest.mark.parametrize("name", GRIDS)
def test_grids_decrease_from_the_start_to_zero(path: Dynamics, name: str) -> None:
    for steps, start in itertools.product((1, 2, 7), (None, 0.4, 0.05, 0.01)):
        times = GRIDS[name](path, steps, start)
        assert times.dtype == torch.float64 and len(times) == steps + 1
        assert float(times[0]) == pytest.approx(start or path.T) and float(times[-1]) == 0
        assert bool((times.diff() < 0).all())


@each_path
def test_steps_are_equal_in_the_named_clock(path: Dynamics) -> None:
    snr, odds = log_snr(path, 20)[:-1], log_odds(path, 20)[:-1]
    assert float(snr[0]) == float(odds[0]) == path.T
    snr[0] = odds[0] = last(path)
    for clock in (path.log_snr(snr), path.log_odds(odds)):
        widths = clock.diff()
        torch.testing.assert_close(widths, widths.mean().expand_as(widths), rtol=1e-4, atol=0)
    assert (float(snr[-1]), float(odds[-1])) == pytest.approx((end_of_grid(path, 0.05), end_of_grid(path, 0.1)))


@each_path
@pytest.mark.parametrize("usual", [0.05, 0.1])
def test_a_grid_ends_early_enough_that_little_noise_is_left(path: Dynamics, usual: float) -> None:
    """At `usual` itself, so that grids are what they were, but for paths whose noise rises fast at first."""
    end = torch.tensor(end_of_grid(path, usual), dtype=torch.float64)
    left = float(path.s(end) / path.A(end))
    assert float(end) == usual or left == pytest.approx(path.last_noise, rel=1e-3)
    assert left < 0.0551


def test_a_path_that_is_quiet_enough_is_not_searched(monkeypatch) -> None:
    def searched(*_: object) -> None:
        raise AssertionError("11 ms for nothing")

    class Own(type(make_path("d3gm"))):  # type: ignore[misc]
        __hash__ = None  # type: ignore[assignment]

    monkeypatch.setattr("mri_d3gm.samplers.grids.time_at", searched)
    assert all(end_of_grid(make_path(name), 0.1) == 0.1 for name in DYNAMICS if name != "sgm-vp")
    assert end_of_grid(Own(), 0.1) == 0.1
    monkeypatch.undo()
    assert len(log_odds(Own(), 5)) == 6


@pytest.mark.parametrize("steps", [20, 1000])
def test_steps_are_equal_however_steep_the_clock_is(steps: int, monkeypatch) -> None:
    """As where a schedule jumps, and where a path starts at a point."""

    def jumping(t, *, theta: float, k: float):
        return torch.sigmoid(1e4 * (t - 0.5)) - torch.sigmoid(torch.tensor(-5e3, dtype=torch.float64)) + 0.1 * t

    monkeypatch.setitem(SCHEDULES, "jumping", jumping)
    for path in (make_path("d3gm", schedule="jumping"), make_path("d3gm", schedule="cosine", theta=500.0), make_path("i2sb")):
        times = log_snr(path, steps)[:-1]
        times[0] = last(path)
        widths = path.log_snr(times).diff()
        torch.testing.assert_close(widths, widths.mean().expand_as(widths), rtol=1e-6, atol=0)


def test_grids_of_most_members_end_where_they_did() -> None:
    ends = {name: (end_of_grid(make_path(name), 0.05), end_of_grid(make_path(name), 0.1)) for name in DYNAMICS}
    assert [name for name, end in ends.items() if end != (0.05, 0.1)] == ["sgm-vp"]
    wide = make_path("d3gm", tau=1e6, lam=50.0)
    assert end_of_grid(wide, 0.1) == 0.0001 and bool((log_odds(wide, 1000).diff() < 0).all())
