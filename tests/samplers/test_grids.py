"""Time grids over every member of the registry."""

import itertools

import pytest
import torch
from paths import each_path, last

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.samplers.grids import GRIDS, log_odds, log_snr


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
    assert float(snr[-1]) == pytest.approx(0.05) and float(odds[-1]) == pytest.approx(0.1)
