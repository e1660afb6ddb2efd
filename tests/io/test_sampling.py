import numpy as np
import pytest

from mri_d3gm.io.sampling import (
    center_lines,
    central_block,
    mean_accel,
    misses_centre,
    partial_fourier,
    sampling_of,
    sampling_of_images,
)

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


@pytest.mark.parametrize("block", [(2, 38), (1, 38), (6, 34), (10, 30), (5, 37)])
def test_empty_edges_are_padding(block: tuple[int, int]) -> None:
    assert sampling_of(kspace_of(lines(block)), None) == (None, block)


@pytest.mark.parametrize(
    ("block", "encoded", "part"),
    [
        ((0, 35), None, 35 / 40),
        ((6, 40), None, 34 / 40),
        ((20, 40), None, 0.5),
        ((4, 28), (4, 36), 24 / 32),
        ((12, 38), (2, 38), 26 / 36),
    ],
)
@pytest.mark.parametrize("said", [False, True])
def test_more_empty_lines_on_one_side_of_the_centre_are_missing(
    block: tuple[int, int], encoded: tuple[int, int] | None, part: float, said: bool
) -> None:
    """Partial Fourier, whether the header says which columns were encoded or not."""
    mask, limits = sampling_of(kspace_of(lines(block)), block if said else None)
    np.testing.assert_array_equal(mask, lines(block)[None])  # type: ignore[arg-type]
    assert limits == encoded and partial_fourier(mask, limits) == pytest.approx(part)  # type: ignore[arg-type]


def test_a_partial_echo_is_missing_rows() -> None:
    mask, limits = sampling_of(kspace_of(lines((8, 32), size=32)[:, None]), None)
    np.testing.assert_array_equal(mask, lines((8, 32), size=32)[:, None])  # type: ignore[arg-type]
    assert limits is None and partial_fourier(mask) == 0.75  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [EQUISPACED, lines((0, 30)), lines((10, 40)), lines((2, 30)), lines((0, 15), (16, 40))])
@pytest.mark.parametrize("rows", [lines((8, 32), size=32), lines((0, 20), size=32), np.arange(32) % 2 == 0])
def test_missing_rows_are_missing_whatever_columns_are(rows: np.ndarray, columns: np.ndarray) -> None:
    mask, _ = sampling_of(kspace_of(rows[:, None] & columns), None)
    np.testing.assert_array_equal(mask, rows[:, None] & columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [EQUISPACED, lines((0, 30))])
@pytest.mark.parametrize("rows", [lines((4, 28), size=32), lines((2, 32), size=32)])
def test_padded_rows_are_not_missing_whatever_columns_are(rows: np.ndarray, columns: np.ndarray) -> None:
    mask, _ = sampling_of(kspace_of(rows[:, None] & columns), None)
    np.testing.assert_array_equal(mask, columns[None])  # type: ignore[arg-type]


@pytest.mark.parametrize("offset", range(8))
def test_undersampling_alone_is_not_partial_fourier(offset: int) -> None:
    every = np.arange(64) % 8 == offset
    assert partial_fourier(every[None]) is None
    assert partial_fourier((every & (np.arange(64) < 44))[None]) is not None


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
    assert sampling_of(kspace_of(lines((4, 28), size=32)[:, None]), None) == (None, None)


def test_points_in_both_directions() -> None:
    for measured in (np.random.default_rng(1).random(SHAPE[1:]) < 0.3, EQUISPACED & (np.arange(32) % 2 == 0)[:, None]):
        mask, _ = sampling_of(kspace_of(measured), None)
        np.testing.assert_array_equal(mask, measured)  # type: ignore[arg-type]


def test_a_few_quantised_zeros_are_not_undersampling() -> None:
    assert sampling_of(kspace_of(np.random.default_rng(1).random(SHAPE[1:]) < 0.97), None)[0] is None


def of_images(*patterns: np.ndarray) -> tuple[np.ndarray | None, object, object]:
    found = sampling_of_images(np.broadcast_to(pattern, SHAPE[1:]) for pattern in patterns)
    assert found is not None
    assert found.blank == {place for place, one in enumerate(patterns) if found.masks is not None and not one.any()}
    return found[:3]


FULL, EMPTY, ROUNDED = np.ones(40, bool), np.zeros(40, bool), np.random.default_rng(1).random(SHAPE[1:]) < 0.6


def test_images_of_one_pattern_share_a_mask() -> None:
    assert of_images(FULL, FULL) == (None, None, None)
    assert of_images(EMPTY, FULL, lines((4, 36))) == (None, None, None)
    assert of_images(lines((2, 38)), lines((4, 36))) == (None, (2, 38), None)
    mask, limits, masks = of_images(EQUISPACED, EMPTY, EQUISPACED)
    np.testing.assert_array_equal(mask, EQUISPACED[None])
    assert limits is None and masks is None


def test_images_of_several_patterns_have_masks_of_their_own() -> None:
    other = np.roll(EQUISPACED, 1)
    mask, limits, masks = of_images(EQUISPACED, EMPTY, other, FULL)
    assert mask.all() and limits is None
    for found, expected in zip(masks, (EQUISPACED, FULL, other, FULL), strict=True):
        np.testing.assert_array_equal(found, expected[None])
    mask, limits, masks = of_images(*((np.arange(40) % 4 == offset) & lines((4, 36)) for offset in range(4)))
    assert limits == (4, 36)
    np.testing.assert_array_equal(mask, lines((4, 36))[None])
    np.testing.assert_array_equal(masks[1], ((np.arange(40) % 4 == 1) & lines((4, 36)))[None])


def test_images_with_more_lines_on_one_side_of_the_centre_have_masks_of_their_own() -> None:
    mask, limits, masks = of_images(FULL, lines((0, 30)), lines((10, 40)))
    assert mask.all() and limits is None
    for found, expected in zip(masks, (FULL, lines((0, 30)), lines((10, 40))), strict=True):
        np.testing.assert_array_equal(found, expected[None])


def test_a_partial_echo_of_some_images_is_theirs() -> None:
    echo = lines((8, 32), size=32)[:, None] & EQUISPACED
    mask, _, masks = of_images(FULL, echo)
    assert mask.all() and masks[0].all() and np.array_equal(masks[1], echo)


def test_scattered_zeros_of_a_weak_image_next_to_full_ones_are_rounded_samples() -> None:
    assert of_images(FULL, ROUNDED) == (None, None, None)
    mask, _, masks = of_images(ROUNDED, ~ROUNDED)
    assert mask.all() and np.array_equal(masks[0], ROUNDED)


def test_no_image_with_a_sample_has_no_sampling() -> None:
    assert sampling_of_images([np.zeros(SHAPE[1:], bool)]) is None and sampling_of_images([]) is None


@pytest.mark.parametrize("size", [40, 41])
@pytest.mark.parametrize("run", [(18, 22), (18, 34), (4, 22), (0, 41)])
def test_the_centre_lies_where_its_lines_are(run: tuple[int, int], size: int) -> None:
    run = run[0], min(run[1], size)
    measured = lines(run, (0, 1), (size - 1, size), size=size)[None]
    assert central_block(measured) == ((0, 1), run)
    assert central_block(measured.T) == (run, (0, 1))


@pytest.mark.parametrize("shape", [(48, 20), (20, 48), (33, 33)])
def test_the_centre_of_an_ellipse_is_a_rectangle_of_samples(shape: tuple[int, int]) -> None:
    down, across = (np.linspace(-1, 1, n) for n in shape)
    mask = down[:, None] ** 2 + across**2 <= 1
    (top, bottom), (left, right) = central_block(mask)
    assert mask[top:bottom, left:right].all()
    assert (bottom - top) * (right - left) > 0.6 * mask.sum()
    assert center_lines(mask) == (bottom - top, right - left)


@pytest.mark.parametrize("limits", [None, (4, 36)])
def test_acceleration_is_samples_over_those_measured_of_all_images(limits: tuple[int, int] | None) -> None:
    random = np.random.default_rng(0)
    masks = [random.random((1, 40)) < share for share in (1.0, 0.5, 0.1)]
    inside = [mask[:, slice(*(limits or (None,)))] for mask in masks]
    wanted = sum(one.size for one in inside) / sum(int(one.sum()) for one in inside)
    assert mean_accel(masks, limits) == pytest.approx(wanted)
    rows = [np.broadcast_to(mask, (8, 40)) for mask in masks]
    assert mean_accel([rows[0], masks[1], rows[2]], limits) == pytest.approx(wanted)


@pytest.mark.parametrize("gap", [1, 2, 3, 4])
def test_the_centre_is_there_where_a_line_is_as_near_as_lines_are(gap: int) -> None:
    for offset in range(gap):
        mask = np.arange(40) % gap == offset
        for one in (mask[None], mask[:, None], mask & mask[:, None]):
            assert not misses_centre(one)
            assert misses_centre(one & (np.arange(40) < 20 - gap)) or one.shape[1] == 1
            assert misses_centre(one & (np.arange(40) > 20 + gap)[:, None]) or one.shape[0] == 1
    assert misses_centre(np.zeros((1, 40), bool)) and not misses_centre(np.ones((1, 1), bool))


SIZES = [(64, 48), (33, 40), (24, 96)]


def radius(shape: tuple[int, int]) -> np.ndarray:
    """Distance from the centre, 1 at the edge of each axis."""
    down, across = ((np.arange(size) - size // 2) / (size // 2) for size in shape)
    return np.hypot(down[:, None], across)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("accel", [1, 2, 4])
def test_a_hole_around_the_centre_of_a_plane_is_missed(shape: tuple[int, int], accel: int) -> None:
    """All rows and all columns hold samples."""
    random, distance = np.random.default_rng(0), radius(shape)
    for hole in (0.4, 0.6):
        mask = (distance < 1) & (distance > hole) & (random.random(shape) < 1 / accel)
        assert misses_centre(mask) and not misses_centre(mask | (distance < 0.1))


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("seed", range(5))
def test_a_plane_sampled_evenly_has_a_centre(shape: tuple[int, int], seed: int) -> None:
    random, (down, across) = np.random.default_rng(seed), np.indices(shape)
    for step in (1, 2, 3):
        assert not misses_centre((down % step == seed % step) & (across % step == 0))
        assert not misses_centre((down + across * step) % (step * step) == seed % (step * step))
        assert not misses_centre(random.random(shape) < 1 / step**2)
        assert not misses_centre((radius(shape) < 1) & (across % step == seed % step))
    assert not misses_centre((radius(shape) < 1) & (down > shape[0] // 2 - 3))
