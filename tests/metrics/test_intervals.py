"""Bootstrap intervals and calibration of standard deviation maps."""

import numpy as np
import pytest

from mri_d3gm.metrics.bootstrap import bootstrap_interval
from mri_d3gm.metrics.calibration import DOUBTED, KNOWN, STACKED, UNASSUMED, calibrated_std, calibration, detail_std


def test_bootstrap_agrees_with_the_normal_interval_of_a_large_sample():
    values = np.random.default_rng(0).normal(30, 2, 400)
    low, high = bootstrap_interval(list(values))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = [low <= 0 <= high for low, high in (bootstrap_interval(list(rng.normal(size=30))) for _ in range(400))]
    assert 0.9 < np.mean(hits) < 0.97


def test_bootstrap_is_seeded_and_moves_with_its_values():
    values = [28.0, 31.0, 30.0, 35.0]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    low, high = bootstrap_interval([10 * value + 5 for value in values])
    assert (low, high) == pytest.approx(tuple(10 * end + 5 for end in bootstrap_interval(values)))


def test_bootstrap_is_a_point_for_one_value():
    assert bootstrap_interval([31.5]) == (31.5, 31.5)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([])


@pytest.fixture
def gaussian() -> tuple[np.ndarray, np.ndarray]:
    """Errors that follow their std map exactly."""
    rng = np.random.default_rng(0)
    std = np.exp(rng.normal(0, 0.7, (3, 100, 100)))
    return std * rng.normal(size=std.shape), std


def test_a_true_std_is_calibrated(gaussian):
    found = calibration(*gaussian)
    assert found["coverage_1std"] == pytest.approx(0.6827, abs=0.01)
    assert found["coverage_2std"] == pytest.approx(0.9545, abs=0.005)
    assert found["expected_calibration_error"] < 0.02
    assert found["rank_correlation"] > 0.4


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_std_too_small_or_too_large_is_told(gaussian, factor):
    error, std = gaussian
    plain, found = calibration(error, std), calibration(error, factor * std)
    assert (found["coverage_1std"] > plain["coverage_1std"]) == (factor > 1)
    # the bins' RMS differ by |1 - factor|; averaging RMS by bins stays below the RMS of all
    assert 0.6 * abs(1 - factor) < found["expected_calibration_error"] < 1.02 * abs(1 - factor)
    assert found["rank_correlation"] == plain["rank_correlation"]


def test_units_and_signs_do_not_matter(gaussian):
    error, std = gaussian
    assert calibration(-1e-9 * error, 1e-9 * std) == pytest.approx(calibration(error, std), rel=1e-9)


def test_a_shuffled_std_foretells_nothing(gaussian):
    error, std = gaussian
    shuffled = np.random.default_rng(1).permutation(std.ravel()).reshape(std.shape)
    found = calibration(error, shuffled)
    assert abs(found["rank_correlation"]) < 0.02
    assert found["expected_calibration_error"] > 0.3


def test_an_error_as_large_as_the_std_everywhere_is_covered():
    std = np.random.default_rng(0).random((2, 8, 8)) + 0.1
    found = calibration(std, std, bins=1000)
    assert found == pytest.approx(
        {"coverage_1std": 1.0, "coverage_2std": 1.0, "rank_correlation": 1.0, "expected_calibration_error": 0.0}
    )


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="shape"):
        calibration(np.ones((2, 3)), np.ones((1, 3)))


def test_the_expected_std_adds_squares_and_grows_with_what_the_scan_contradicts() -> None:
    std, error = np.full((4, 4), 3.0), np.full((4, 4), 2.0)
    np.testing.assert_allclose(calibrated_std(std, None, 8.0, 0.3), 10.0)
    np.testing.assert_allclose(calibrated_std(0 * std, error, 1.0, 0.0), 2.6)
    sizes = [calibrated_std(std, error, 0.0, seen)[0, 0] for seen in (0.0, 0.5, None, 1.0, 9.0)]
    assert sizes == sorted(sizes) and sizes[-1] < 2 * sizes[-2]


def test_the_std_of_a_super_resolved_image_is_of_its_units_and_grows_with_spread_and_detail() -> None:
    rng = np.random.default_rng(0)
    image, std = rng.random((24, 20)), rng.random((24, 20))
    for factors in (KNOWN, UNASSUMED, DOUBTED, STACKED):
        found = detail_std(std, image, 1.0, 2, 1, factors)
        for size in (1e3, 1e30, 1e-30):
            scaled = detail_std(size * std, size * image, size, 2, 1, factors)
            np.testing.assert_allclose(scaled / size, found, rtol=1e-4)
        assert (detail_std(2 * std, image, 1.0, 2, 1, factors) > found).all() and (found > factors[2]).all()
    flat = detail_std(0 * std, np.ones((24, 20)), 1.0, 4, 2, (1.0, 1.0, 0.5))
    np.testing.assert_allclose(flat, 0.5)
    np.testing.assert_allclose(detail_std(np.full((24, 20), 3.0), image, 1.0, 4, 2, (1.0, 0.0, 4.0)), 5.0, rtol=1e-6)
