"""Lesions have the contrast and size that they should, and lie where they should."""

import numpy as np
import pytest

from mri_d3gm.metrics.lesions import apart, contrast_map, detected, mean_map, place, reach, room, soft_disc, spread

SHAPE, CENTRE = (64, 56), (30, 25)
RADII = (1.0, 2.0, 3.5, 6.0)


@pytest.mark.parametrize("radius", RADII)
def test_the_contrast_of_a_disc_on_flat_tissue_is_its_own(radius: float) -> None:
    disc = soft_disc(SHAPE, CENTRE, radius)
    assert disc.min() >= 0 and disc[CENTRE] == 1 and disc.sum() == pytest.approx(np.pi * radius**2, rel=0.1)
    found = contrast_map(2 * (1 - 0.3 * disc), radius)
    assert found[CENTRE] == pytest.approx(-0.6) and mean_map(1 - 0.3 * disc, radius)[CENTRE] == pytest.approx(0.7)
    far = np.hypot(*(np.indices(SHAPE) - np.reshape(CENTRE, (2, 1, 1)))) > reach(radius) + radius + 1
    far[: int(reach(radius)) + 2] = far[-int(reach(radius)) - 2 :] = False
    far[:, : int(reach(radius)) + 2] = far[:, -int(reach(radius)) - 2 :] = False
    assert far.any() and np.abs(found[far]).max() < 1e-12


@pytest.mark.parametrize("radius", RADII)
def test_the_contrast_map_is_linear_and_blind_to_level_and_slope(radius: float) -> None:
    first, second = np.random.default_rng(0).random((2, *SHAPE))
    sums = contrast_map(first - 2 * second, radius)
    np.testing.assert_allclose(sums, contrast_map(first, radius) - 2 * contrast_map(second, radius), atol=1e-12)
    rows, cols = np.indices(SHAPE)
    assert contrast_map(3 + 0.1 * rows - 0.2 * cols, radius)[CENTRE] == pytest.approx(0, abs=1e-12)


def test_rooms_keep_away_from_the_edge_of_the_body_and_from_dark_places() -> None:
    rows, cols = np.indices((96, 96))
    body = np.hypot(rows - 48, cols - 48) < 40
    image = np.where(body, 1.0, 0.0) - 0.9 * soft_disc((96, 96), (40, 40), 6)
    for radius in RADII:
        where = room(image, body, radius)
        assert where[60, 60] and not where[40, 40]
        assert np.hypot(*(np.argwhere(where) - 48).T).max() < 40 - reach(radius)
    assert not room(image, np.zeros_like(body), 2.0).any()


def test_placed_lesions_are_repeatable_and_do_not_touch_and_a_full_room_takes_no_more() -> None:
    rooms = {radius: np.ones((80, 80), bool) for radius in RADII}
    wanted = [*RADII, *RADII]
    centres = place(wanted, rooms, np.random.default_rng(3))
    assert centres == place(wanted, rooms, np.random.default_rng(3)) != place(wanted, rooms, np.random.default_rng(4))
    found = [(centre, radius) for centre, radius in zip(centres, wanted, strict=True) if centre is not None]
    assert len(found) == len(wanted)
    for one, (a, first) in enumerate(found):
        for b, second in found[one + 1 :]:
            assert np.hypot(a[0] - b[0], a[1] - b[1]) > max(reach(first) + second, first + reach(second))
    small = {6.0: np.ones((12, 12), bool)}
    assert [centre is None for centre in place([6.0, 6.0], small, np.random.default_rng(0))] == [False, True]
    lesion = soft_disc((80, 80), (40, 40), 6.0)
    free = apart(np.ones((80, 80), bool), [((40, 40), 6.0)], 2.0)
    assert free.any() and np.abs(contrast_map(lesion, 2.0)[free]).max() < 1e-12


def test_what_is_detected_keeps_its_share_and_stands_out() -> None:
    assert detected(0.6, -0.3, 0.1, 0.5, 2) and not detected(0.4, 0.3, 0.1, 0.5, 2)
    assert not detected(0.6, 0.2, 0.1, 0.5, 2) and not detected(-0.6, -0.3, 0.1, 0.5, 2)
    change = np.array([[3.0, 4.0, 100.0]])
    assert spread(change, np.array([[True, True, False]])) == pytest.approx(np.sqrt(12.5))
    assert np.isnan(spread(change, np.zeros((1, 3), bool))) and detected(0.6, 0.1, float("nan"), 0.5, 2)
