"""Readouts of ISMRMRD files that lie apart: what is refused, what becomes a file of its own, and what is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest
from raw_files import AXIAL, Protocol, full, header_of, write_ismrmrd
from raw_objects import FLAT, OBJECT, SOLID, assert_near, exact, readouts_of, scan_of, set_header

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Scan

COUNTERS = ("repetition", "phase", "contrast", "set")
TURNS = {"mirrored": AXIAL * [[1], [-1], [1]], "sagittal": AXIAL[[1, 2, 0]], "coronal": AXIAL[[0, 2, 1]]}


def with_second(made: Protocol, other: Protocol, counter: str, folder: Path) -> Path:
    """A file of two images that a counter tells apart, the second as another protocol measures it."""
    with readouts_of(write_ismrmrd(folder / "b.h5", OBJECT, other)) as second:
        pass
    path = write_ismrmrd(folder / "both.h5", OBJECT, replace(made, counts={counter: 2}))
    with readouts_of(path) as data:
        place = data["head"]["idx"][counter] == 1
        second["head"]["idx"][counter] = 1
        data[place] = second
    return path


def moved(made: Protocol, change: Callable[[np.ndarray], None], folder: Path) -> Scan:
    """The scan of a file whose acquisition headers were changed."""
    path = write_ismrmrd(folder / "a.h5", OBJECT, made)
    with readouts_of(path) as data:
        change(data["head"])
    return open_scan(path)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("counter", COUNTERS)
def test_images_of_other_orientations_are_files_of_their_own(counter: str, turn: str, tmp_path: Path) -> None:
    """As those of a localizer under the repetition counter, or of a set with reversed phase encoding."""
    other = replace(FLAT, orientation=TURNS[turn])
    scan = open_scan(with_second(FLAT, other, counter, tmp_path))
    names = ["echo-1", "echo-2"] if counter == "contrast" else [f"rec-{counter}1", f"rec-{counter}2"]
    assert list(scan.parts) == names and scan.frames == 1
    assert any(counter in word and "a file of its own" in word for word in scan.warnings)
    for part, alone in zip(scan.parts.values(), (FLAT, other), strict=True):
        single = scan_of(alone, tmp_path)
        assert np.allclose(part.affine, single.affine) and part.position_known
        assert np.array_equal(part.read(0), single.read(0))


@pytest.mark.parametrize("made", [FLAT, SOLID], ids=["2-D", "3-D"])
@pytest.mark.parametrize(("mm", "frames"), [(0.0, 2), (2.0, 2), (15.0, 1)])
def test_a_repetition_that_moved_further_than_a_voxel_keeps_its_place(
    mm: float, frames: int, made: Protocol, tmp_path: Path
) -> None:
    def change(head: np.ndarray) -> None:
        head["position"][:, 2] += mm * head["idx"]["repetition"]

    scan = moved(replace(made, counts={"repetition": 2}), change, tmp_path)
    assert scan.frames == frames and len(scan.parts) == (0 if frames == 2 else 2)
    assert any("motion correction" in word for word in scan.warnings) == (mm == 2)
    if frames == 1:
        first, second = scan.parts.values()
        assert np.allclose(second.affine[:3, 3] - first.affine[:3, 3], [0, 0, mm])


def test_only_the_counter_that_moves_makes_parts(tmp_path: Path) -> None:
    def change(head: np.ndarray) -> None:
        head["position"][:, 0] += 20.0 * head["idx"]["set"]

    scan = moved(replace(FLAT, slices=(0.0, 6.0), counts={"repetition": 3, "set": 2}), change, tmp_path)
    assert list(scan.parts) == ["rec-set1", "rec-set2"] and scan.frame_axis == "repetition"
    for number, part in enumerate(scan.parts.values(), 1):
        assert (part.frames, part.slices) == (3, 2)
        assert_near(part.read(2), 2 * number * exact(FLAT))
    first, second = scan.parts.values()
    assert np.allclose(second.affine[:3, 3] - first.affine[:3, 3], [-20, 0, 0])


def test_images_that_two_counters_move_together_are_all_files_of_their_own(tmp_path: Path) -> None:
    def change(head: np.ndarray) -> None:
        head["position"][:, 0] += 20.0 * (head["idx"]["set"] * head["idx"]["repetition"] == 1)

    scan = moved(replace(FLAT, counts={"repetition": 2, "set": 2}), change, tmp_path)
    places = {name: part.affine[0, 3] for name, part in scan.parts.items()}
    assert len(places) == 4 and places.pop("rec-repetition2set2") == pytest.approx(places["rec-repetition1set1"] - 20)
    assert len(set(places.values())) == 1


@pytest.mark.parametrize("apart", [4.0, 10.0])
def test_slices_without_a_counter_are_refused(apart: float, tmp_path: Path) -> None:
    made = replace(FLAT, slices=(-apart, 0.0, apart), numbers=(0, 0, 0))
    with pytest.raises(InputError, match=f"slice 0 lie up to {2 * apart:.1f} mm and 0 degrees apart, and no counter"):
        scan_of(made, tmp_path)


def test_orientations_without_a_counter_are_refused(tmp_path: Path) -> None:
    def change(head: np.ndarray) -> None:
        head["phase_dir"][::2] *= -1

    with pytest.raises(InputError, match="mm and 180 degrees apart, and no counter"):
        moved(FLAT, change, tmp_path)


@pytest.mark.parametrize(("made", "mm"), [(FLAT, 1.0), (SOLID, 8.0)], ids=["2-D", "3-D"])
def test_motion_that_was_followed_within_an_image_is_said(made: Protocol, mm: float, tmp_path: Path) -> None:
    def change(head: np.ndarray) -> None:
        head["position"][:, 2] += np.linspace(0, mm, len(head))

    scan = moved(made, change, tmp_path)
    assert f"positions of a slice differ by up to {mm:.1f} mm" in " ".join(scan.warnings) and scan.position_known


@pytest.mark.parametrize("normal", [2, 0])
@pytest.mark.parametrize(
    ("voxel", "across", "along", "refused"),
    [
        ((0.5, 0.5, 4.0), 0.0, 0.6, False),
        ((0.5, 0.5, 4.0), 0.0, 8.0, False),
        ((0.5, 0.5, 4.0), 0.0, 12.0, True),
        ((0.5, 0.5, 4.0), 3.0, 0.6, False),
        ((0.5, 0.5, 4.0), 3.7, 0.0, True),
        ((1.5, 1.5, 8.0), 4.0, 0.0, False),
        ((1.5, 1.5, 8.0), 7.5, 0.0, True),
    ],
)
@pytest.mark.parametrize("averages", [1, 2])
def test_only_a_shift_as_far_as_slices_lie_makes_other_images(
    voxel: Any, across: float, along: float, refused: bool, normal: int, averages: int, tmp_path: Path
) -> None:
    """Motion is followed in small steps, or from average to average, and the edges of voxels say nothing of it."""
    turned = np.roll(AXIAL, 2 - normal, 0)

    def change(head: np.ndarray) -> None:
        share = np.linspace(0, 1, len(head)) if averages == 1 else head["idx"]["average"]
        head["position"] += np.outer(share, across * turned[2] + along * turned[0]).astype(np.float32)

    made = replace(FLAT, voxel=voxel, orientation=turned, counts={"average": averages}, coils=FLAT.coils[:1])
    if refused:
        with pytest.raises(InputError, match="no counter tells them apart"):
            moved(made, change, tmp_path)
        return
    said = " ".join(moved(made, change, tmp_path).warnings)
    assert f"positions of a slice differ by up to {np.hypot(across, along):.1f} mm" in said


@pytest.mark.parametrize("count", [2, 3, 12])
def test_slices_of_a_header_with_one_thick_slice_are_no_motion(count: int, tmp_path: Path) -> None:
    made = replace(FLAT, slices=tuple(4.0 * np.arange(count)), numbers=(0,) * count, coils=FLAT.coils[:1])
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, made)
    set_header(path, header_of(replace(made, voxel=(3.0, 3.5, 4.0 * count))))
    with pytest.raises(InputError, match="no counter tells them apart"):
        open_scan(path)


@pytest.mark.parametrize("made", [FLAT, SOLID, replace(FLAT, slices=(0.0, 6.0))], ids=["2-D", "3-D", "slices"])
@pytest.mark.parametrize("lacking", [slice(1, None, 2), slice(None, None, 2), slice(0, 1)])
def test_readouts_that_say_no_place_lie_where_the_others_do(lacking: slice, made: Protocol, tmp_path: Path) -> None:
    made = replace(made, centre=(0.0, 0.0, 20.0), counts={"repetition": 2})
    wanted = scan_of(made, tmp_path)

    def change(head: np.ndarray) -> None:
        for name in ("position", "read_dir", "phase_dir", "slice_dir"):
            head[name][lacking] = 0

    found = moved(made, change, tmp_path)
    assert found.frames == 2 and found.position_known and np.allclose(found.affine, wanted.affine)
    assert found.warnings == wanted.warnings


def test_calibration_lines_of_another_orientation_are_not_used(tmp_path: Path) -> None:
    made = replace(FLAT, entries=full(range(-10, 10, 2)), calibration=full(range(-4, 4)), embedded=False)
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(made, counts={"repetition": 2}))
    with readouts_of(path) as data:
        data["head"]["phase_dir"][data["head"]["idx"]["repetition"] == 1] *= -1
    first, second = open_scan(path).parts.values()
    assert first.calibration is not None and second.calibration is None


@pytest.mark.parametrize("counts", [{}, {"average": 3}, {"repetition": 2}, {"set": 2, "contrast": 2}])
def test_readouts_that_only_a_user_counter_tells_apart_are_said(counts: dict[str, int], tmp_path: Path) -> None:
    def mixed(scan: Scan) -> bool:
        return any("counters are all alike" in word for word in scan.warnings)

    def change(head: np.ndarray) -> None:
        head["idx"]["user"][:, 0] = head["idx"]["phase"]
        head["idx"]["phase"] = 0

    assert not mixed(scan_of(replace(FLAT, counts=counts), tmp_path))
    assert mixed(moved(replace(FLAT, counts={**counts, "phase": 2}), change, tmp_path))


def test_lines_flagged_for_both_are_no_repetition(tmp_path: Path) -> None:
    """Calibration lines that were measured once more beside the image's."""
    made = replace(FLAT, calibration=full(range(-4, 4)))
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, made)
    with readouts_of(path) as data:
        data["head"]["flags"][:8] |= 1 << ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING - 1
    assert not any("counters are all alike" in word for word in open_scan(path).warnings)
