import numpy as np
import pytest

from mri_d3gm.errors import InputError
from mri_d3gm.io.sampling import achieved_accel, center_lines
from mri_d3gm.physics.masks import MASKS, MASKS_1D, MASKS_2D, make_mask


@pytest.mark.parametrize("kind", MASKS)
def test_every_mask_is_seeded_has_a_full_centre_and_about_the_acceleration(kind: str) -> None:
    shape = (96, 128)
    mask = make_mask(shape, 4, kind, seed=1)
    assert mask.dtype == bool
    assert mask.shape == (shape if kind in MASKS_2D else (1, shape[1]))
    assert np.array_equal(mask, make_mask(shape, 4, kind, seed=1))
    assert min(center_lines(np.broadcast_to(mask, shape))) >= 4
    loose = kind in ("random", "equispaced", "magic")
    assert achieved_accel(mask) == pytest.approx(4, rel=0.4 if loose else 0.1)


@pytest.mark.parametrize("kind", ["random", "gaussian", "gaussian-2d", "poisson-2d"])
def test_seeds_differ(kind: str) -> None:
    assert not np.array_equal(make_mask((64, 64), 4, kind, seed=1), make_mask((64, 64), 4, kind, seed=2))


@pytest.mark.parametrize("kind", MASKS_1D)
def test_axis_readout_undersamples_rows(kind: str) -> None:
    mask = make_mask((128, 96), 4, kind, axis="readout")
    assert mask.shape == (128, 1)
    assert 0 < mask.sum() < 128


def test_equispaced_fraction_reaches_the_acceleration_with_the_default_centre() -> None:
    for accel, lines in ((8, 320), (16, 320), (8, 256), (4, 96)):
        mask = make_mask((10, lines), accel)
        assert achieved_accel(mask) == pytest.approx(accel, rel=0.08)
        assert center_lines(mask)[1] >= max(4, round(0.32 / accel * lines))


def test_limits_hold_the_mask_and_the_acceleration_inside() -> None:
    mask = make_mask((10, 144), 4, limits=(18, 124))
    assert not mask[:, :18].any() and not mask[:, 124:].any()
    assert achieved_accel(mask, (18, 124)) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("kind", MASKS_2D)
def test_two_dimensional_masks_keep_within_the_limits_too(kind: str) -> None:
    mask = make_mask((64, 92), 4, kind, limits=(21, 71))
    assert not mask[:, :21].any() and not mask[:, 71:].any()
    assert achieved_accel(mask, (21, 71)) == pytest.approx(4, rel=0.1)


def test_a_mask_that_is_written_to_does_not_change_the_next() -> None:
    make_mask((8, 64), 4)[:] = True
    assert achieved_accel(make_mask((8, 64), 4)) > 3


@pytest.mark.parametrize("kind", ["equispaced-fraction", "gaussian"])
@pytest.mark.parametrize("accel", [1.2, 1.5, 2.5, 6.7])
def test_accelerations_between_whole_numbers_are_reached(kind: str, accel: float) -> None:
    assert achieved_accel(make_mask((8, 256), accel, kind)) == pytest.approx(accel, rel=0.03)


def test_acceleration_one_measures_everything() -> None:
    assert make_mask((8, 8), 1).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"accel": 0.5},
        {"accel": float("nan")},
        {"accel": 64},
        {"accel": 8, "center_fraction": 0.2},
        {"accel": 8, "center_fraction": 1.5},
        {"accel": 4, "center_fraction": 0.001},
        {"accel": 1.05, "kind": "poisson-2d"},
        {"accel": 4.5, "kind": "equispaced"},
        {"accel": 4.5, "kind": "magic"},
        {"accel": 4, "kind": "spiral"},
        {"accel": 4, "axis": "slice"},
    ],
)
def test_impossible_combinations_are_refused(arguments: dict) -> None:
    with pytest.raises(InputError):
        make_mask((64, 64), **arguments)
