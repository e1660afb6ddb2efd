"""HaarPSI: symmetric, between 0 and 1, and values of an independent implementation."""

import numpy as np
import pytest

from mri_d3gm.metrics.haarpsi import haarpsi_slice

Y, X = np.mgrid[:64, :80]
WAVES = 0.5 + 0.5 * np.sin(X / 5) * np.cos(Y / 7)
OTHER = 0.5 + 0.5 * np.sin(X / 5) * np.cos(Y / 6)


@pytest.mark.parametrize(("reference", "expected"), [(OTHER, 0.4149090768), (np.full_like(WAVES, 0.5), 0.0166020149)])
def test_known_values(reference, expected):
    """Made once by piq 0.8.0, data_range=1."""
    assert haarpsi_slice(reference, WAVES, 1.0) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("shape", [(64, 80), (63, 80), (64, 79), (17, 33)])
def test_symmetric_and_bounded(shape):
    first, second = np.random.default_rng(0).random((2, *shape))
    forth, back = haarpsi_slice(first, second, 1.0), haarpsi_slice(second, first, 1.0)
    assert forth == back
    assert 0 < forth < 1
    assert haarpsi_slice(first, first, 1.0) == pytest.approx(1, abs=1e-12)


def test_transposing_both_changes_nothing():
    assert haarpsi_slice(WAVES.T, OTHER.T, 1.0) == pytest.approx(haarpsi_slice(WAVES, OTHER, 1.0), rel=1e-12)


def test_empty_slices_are_equal():
    assert haarpsi_slice(np.zeros((16, 16)), np.zeros((16, 16)), 1.0) == 1
