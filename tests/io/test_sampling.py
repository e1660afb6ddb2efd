import numpy as np
import pytest

from mri_d3gm.io.sampling import sampling_of

SHAPE = (2, 32, 40)


def kspace_of(measured: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=SHAPE) + 1j * random.normal(size=SHAPE)) * measured


def lines(*ranges: tuple[int, int], size: int = 40) -> np.ndarray:
    measured = np.zeros(size, bool)
    for start, stop in ranges:
        measured[start:stop] = True
    return measured


EQUISPACED = (np.arange(40) % 4 == 1) | lines((18, 22))


def test_full() -> None:
    assert sampling_of(kspace_of(np.ones(40)), None) == (None, None)


@pytest.mark.parametrize("block", [(2, 38), (0, 35), (6, 40), (10, 30)])
def test_empty_edges_are_padding(block: tuple[int, int]) -> None:
    assert sampling_of(kspace_of(lines(block)), None) == (None, block)


@pytest.mark.parametrize("measured", [EQUISPACED, lines((16, 24)), lines((0, 19)), lines((0, 15), (16, 40))])
def test_missing_columns_are_undersampling(measured: np.ndarray) -> None:
    mask, limits = sampling_of(kspace_of(measured), None)
    assert mask is not None and limits is None
    np.testing.assert_array_equal(mask, measured[None])


def test_undersampling_keeps_the_header_limits() -> None:
    mask, limits = sampling_of(kspace_of(EQUISPACED & lines((4, 36))), (4, 36))
    assert mask is not None and limits == (4, 36)


def test_limits_that_contradict_the_data_are_dropped() -> None:
    assert sampling_of(kspace_of(np.ones(40)), (4, 36)) == (None, None)


def test_missing_rows() -> None:
    measured = np.arange(32) % 2 == 0
    mask, _ = sampling_of(kspace_of(measured[:, None]), None)
    np.testing.assert_array_equal(mask, measured[:, None])  # type: ignore[arg-type]
    assert sampling_of(kspace_of(lines((8, 32), size=32)[:, None]), None) == (None, None)


def test_points_in_both_directions() -> None:
    for measured in (np.random.default_rng(1).random(SHAPE[1:]) < 0.3, EQUISPACED & (np.arange(32) % 2 == 0)[:, None]):
        mask, _ = sampling_of(kspace_of(measured), None)
        np.testing.assert_array_equal(mask, measured)  # type: ignore[arg-type]


def test_a_few_quantised_zeros_are_not_undersampling() -> None:
    assert sampling_of(kspace_of(np.random.default_rng(1).random(SHAPE[1:]) < 0.97), None)[0] is None
