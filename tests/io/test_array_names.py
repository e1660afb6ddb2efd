"""Arrays of a file by their names and sizes: the k-space, its axes, mask, coil maps and voxel size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from io_files import error_of
from scans import fft2c, phantom, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.array_names import axes_within, inferred_axes
from mri_d3gm.io.arrays.named_arrays import Named, make_scan, stored
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.io.scan import Reading, Scan

INFERRED = [
    ((320, 200), "rows cols", "rows cols"),
    ((12, 320, 200), "coils rows cols", "coils rows cols"),
    ((320, 200, 12), "rows cols coils", "rows cols coils"),
    ((320, 12, 200), "rows coils cols", "rows coils cols"),
    ((160, 160, 160), "slices rows cols", "rows cols slices"),
    ((200, 320, 320), "slices rows cols", "rows cols slices"),
    ((30, 16, 320, 200), "slices coils rows cols", "slices coils rows cols"),
    ((320, 200, 16, 30), "rows cols coils slices", "rows cols coils slices"),
    ((64, 64, 64, 64), "slices coils rows cols", "rows cols coils slices"),
    ((8, 10, 12, 96, 80), "frames slices coils rows cols", "frames slices coils rows cols"),
    ((96, 80, 12, 10, 8), "rows cols coils slices frames", "rows cols coils slices frames"),
    ((2, 8, 10, 12, 96, 80), "other frames slices coils rows cols", "other frames slices coils rows cols"),
    ((40, 40, 40, 40, 40, 40), "other frames slices coils rows cols", "rows cols coils slices frames other"),
]
KSPACE = np.stack([fft2c(phantom()) * (1 + 1j * coil) for coil in range(4)], 1)  # slices, coils, rows, cols
LINES = (np.arange(40) % 3 == 0) | (abs(np.arange(40) - 20) < 4)


@pytest.mark.parametrize(("shape", "numpy", "matlab"), INFERRED)
def test_axes_are_inferred_from_their_lengths(shape: tuple[int, ...], numpy: str, matlab: str) -> None:
    assert inferred_axes(shape, "C") == tuple(numpy.split())
    assert inferred_axes(shape, "F") == tuple(matlab.split())


def opened(folder: Path, how: Reading | None = None, **arrays: Any) -> Scan:
    np.savez(folder / "a.npz", **arrays)
    return open_scan(folder / "a.npz", how or Reading())


def refused(folder: Path, how: Reading | None = None, **arrays: Any) -> str:
    np.savez(folder / "a.npz", **arrays)
    return error_of(open_scan, folder / "a.npz", how or Reading())


@pytest.mark.parametrize(
    "key", ["kspace", "KSpace", "ksp", "kdata", "k", "raw", "data", "kspace_full", "kspace_sub04", "anything"]
)
def test_kspace_is_found_by_its_name_or_as_the_only_complex_array(key: str, tmp_path: Path) -> None:
    scan = opened(tmp_path, **{key: KSPACE, "b": np.ones((2, 48, 40)), "coilmaps": KSPACE, "noise": KSPACE[0, :, 0]})
    assert (scan.slices, scan.coils, scan.rows, scan.cols) == (2, 4, 48, 40) and scan.facts["Array"] == key
    assert np.array_equal(scan.read(1), KSPACE[1])
    assert any("slices, coils, rows, cols" in text and "--axes" in text for text in scan.warnings)


def test_what_is_not_clear_is_listed_and_the_key_says_it(tmp_path: Path) -> None:
    arrays = {"a": KSPACE, "b": 2 * KSPACE, "c": np.ones(3)}
    text = refused(tmp_path, **arrays)
    assert "--key" in text and "a (2, 4, 48, 40) complex64, b (2, 4, 48, 40) complex64, c (3,) float64" in text
    assert np.array_equal(opened(tmp_path, Reading(key="B"), **arrays).read(0), 2 * KSPACE[0])
    assert "--key d: no such array" in refused(tmp_path, Reading(key="d"), **arrays)
    assert "--key" in refused(tmp_path, kspace_full=KSPACE, kspace_sub04=KSPACE)
    assert "--key" in refused(tmp_path, image=np.ones((48, 40)))
    assert "float64 of shape (48, 40); complex numbers" in refused(tmp_path, kspace=np.ones((48, 40)))
    assert "array of objects" in refused(tmp_path, kspace=np.array([{"a": 1}], dtype=object))


def test_axes_say_otherwise(tmp_path: Path) -> None:
    how = Reading(axes="coils, slices,cols,rows")
    scan = opened(tmp_path, how, kspace=KSPACE.transpose(1, 0, 3, 2))
    assert np.array_equal(scan.read(1), KSPACE[1]) and not any("--axes" in text for text in scan.warnings)
    for axes, text in {
        "coils,rows": "cols) must be among",
        "rows,cols": "has 4 axes: (2, 4, 48, 40)",
        "slices,coils,rows,columns": "each must be one of rows, cols, slices, coils, frames, other, once",
        "rows,rows,cols,coils": "once",
        "": "each must be",
    }.items():
        assert text in refused(tmp_path, Reading(axes=axes), kspace=KSPACE).replace("rows (the readout) and cols", "cols)")
    assert "at least one image of 8 x 8" in refused(tmp_path, Reading(axes="rows,coils,cols,slices"), kspace=KSPACE)


@pytest.mark.parametrize("shape", [(40,), (1, 40), (40, 1), (1, 1, 1, 40)])
def test_masks_of_columns(shape: tuple[int, ...], tmp_path: Path) -> None:
    scan = opened(tmp_path, kspace=KSPACE, mask=LINES.reshape(shape))
    assert np.array_equal(scan.mask, LINES[None]) and scan.masks is None
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": KSPACE.transpose(2, 3, 1, 0), "us_mask": LINES.reshape(shape)})
    assert np.array_equal(open_scan(tmp_path / "a.mat").mask, LINES[None])


def test_masks_of_rows_points_frames_and_slices(tmp_path: Path) -> None:
    rows, points = np.arange(48) % 2 == 0, np.random.default_rng(0).random((48, 40)) < 0.5
    assert np.array_equal(opened(tmp_path, kspace=KSPACE, samp=rows[:, None]).mask, rows[:, None])
    assert np.array_equal(opened(tmp_path, kspace=KSPACE, mask=points.astype(float)).mask, points)
    assert opened(tmp_path, kspace=KSPACE, mask=np.ones(40)).mask is None
    assert np.array_equal(opened(tmp_path, kspace=KSPACE, mask=np.broadcast_to(points, (2, 4, 48, 40))).mask, points)
    series = np.stack([KSPACE, KSPACE, KSPACE])
    each = np.stack([np.roll(LINES, frame) for frame in range(3)])
    scan = opened(tmp_path, kspace=series, mask=each)
    assert np.array_equal(scan.mask, each.any(0)[None]) and scan.frames == 3
    for image in range(6):
        assert np.array_equal(scan.masks(image), each[image // 2][None])
    scan = opened(tmp_path, kspace=KSPACE, mask=np.stack([points, ~points]))
    assert scan.mask.all() and np.array_equal(scan.masks(1), ~points)


@pytest.mark.parametrize("mask", [np.ones(39), np.ones((48, 39)), np.ones((5, 40)), np.ones(2), np.ones((0, 40))])
def test_a_mask_that_does_not_fit_is_refused(mask: np.ndarray, tmp_path: Path) -> None:
    assert f"mask has shape {mask.shape}, but the k-space has 2 slices" in refused(tmp_path, kspace=KSPACE, mask=mask)


def test_masks_that_say_nothing_are_refused(tmp_path: Path) -> None:
    assert "measures nothing" in refused(tmp_path, kspace=KSPACE, mask=np.zeros(40))
    assert "NaN" in refused(tmp_path, kspace=KSPACE, mask=np.where(LINES, 1, np.nan))


@pytest.mark.parametrize("name", ["coil_maps", "maps", "sens", "sensmaps", "smaps", "csm", "Sensitivities"])
def test_coil_maps_of_the_file_are_those_of_the_scan(name: str, tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(size=(4, 48, 40)).astype(np.complex64)
    scan = opened(tmp_path, **{"kspace": KSPACE, name: maps})
    assert np.array_equal(scan.coil_maps(0), maps) and np.array_equal(scan.coil_maps(1), maps)
    each = np.stack([maps, 2 * maps])
    assert np.array_equal(opened(tmp_path, **{"kspace": KSPACE, name: each}).coil_maps(1), each[1])
    scan = opened(tmp_path, **{"kspace": KSPACE, name: maps[:3]})
    assert scan.coil_maps is None and any(f"{name} (3, 48, 40) does not fit" in text for text in scan.warnings)


def test_the_voxel_size_is_the_files_the_options_or_1_mm(tmp_path: Path) -> None:
    how = Reading(voxel_mm=(2.0, 2.0, 5.0))
    assert opened(tmp_path, how, kspace=KSPACE, voxel_mm=[1, 1.5, 4]).voxel_mm == (1, 1.5, 4)
    assert opened(tmp_path, how, kspace=KSPACE).voxel_mm == (2, 2, 5)
    scan = opened(tmp_path, kspace=KSPACE)
    assert scan.voxel_mm == (1, 1, 1) and any("--voxel" in text for text in scan.warnings)
    np.testing.assert_allclose(np.linalg.norm(opened(tmp_path, how, kspace=KSPACE).affine[:3, :3], axis=0), (2, 2, 5))


@pytest.mark.parametrize("size", [(1, 0, 1), (0.001, 0.001, 0.004), (1e9, 1e9, 1e9), (1, 1, np.nan), (1, -1, 4), (1, 1, 1e4)])
def test_voxel_sizes_in_other_units_are_refused(size: tuple[float, ...], tmp_path: Path) -> None:
    told = "row, column and slice spacing in mm are needed"
    assert told in refused(tmp_path, kspace=KSPACE, resolution=size)
    for name, kspace in (("a.npy", KSPACE), ("a.h5", None)):
        if kspace is None:
            write_scan(tmp_path / name, xml="none")
        else:
            np.save(tmp_path / name, kspace)
        with pytest.raises(InputError, match=told):
            open_scan(tmp_path / name, Reading(voxel_mm=size))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=told):
        make_scan("a", Named(stored(KSPACE), ("slices", "coils", "rows", "cols")), size)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [[1.0, 4.0], "1,1,4", 2.0, [1 + 1j, 1, 4]])
def test_a_voxel_size_of_another_form_is_said(size: object, tmp_path: Path) -> None:
    scan = opened(tmp_path, kspace=KSPACE, voxel=size)
    assert any("voxel is" in text and "1 mm is taken" in text for text in scan.warnings)
    assert not any("holds no voxel size" in text for text in scan.warnings) and scan.voxel_mm == (1, 1, 1)
    given = opened(tmp_path, Reading(voxel_mm=(2.0, 2.0, 5.0)), kspace=KSPACE, voxel=size)
    assert any("that of --voxel is taken" in text for text in given.warnings) and given.voxel_mm == (2, 2, 5)


def test_another_axis_makes_parts(tmp_path: Path) -> None:
    lines = np.stack([LINES, np.roll(LINES, 1)])
    both = np.stack([KSPACE * lines[0], 2 * KSPACE * lines[1]])
    scan = opened(tmp_path, Reading(axes="other,slices,coils,rows,cols"), kspace=both)
    assert list(scan.parts) == ["run-1", "run-2"] and scan.frames == 1
    for number, part in enumerate(scan.parts.values()):
        assert np.array_equal(part.read(1), both[number, 1]) and np.array_equal(part.mask, lines[number][None])
    assert np.array_equal(scan.read(0), both[0, 0])


def test_more_scans_than_anyone_means_are_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, Reading(axes="other,rows,cols"), kspace=np.ones((1001, 8, 8), complex))
    assert "more than 1000 scans" in text


def test_which_axes_another_array_has() -> None:
    kspace = Named(stored(np.zeros((5, 3, 1, 40, 40), complex)), ("frames", "slices", "coils", "rows", "cols"))
    assert axes_within((40,), kspace) == ("cols",)
    assert axes_within((5, 40), kspace) == ("frames", "cols")
    assert axes_within((3, 40, 40), kspace) == ("slices", "rows", "cols")
    assert axes_within((5, 1, 1, 1, 40), kspace) == kspace.axes
    assert axes_within((40, 40), kspace, ("rows", "cols", "coils")) == ("rows", "cols")
    assert axes_within((7, 40), kspace) is None


def test_arrays_in_memory_have_masks_of_each_slice_too() -> None:
    lines = np.stack([LINES, np.roll(LINES, 1)])
    scan = scan_of_array(KSPACE * lines[:, None, None])
    assert np.array_equal(scan.mask, lines.any(0)[None])
    assert all(np.array_equal(scan.masks(number), lines[number][None]) for number in range(2))


def test_a_reconstruction_uses_what_the_file_holds(tmp_path: Path) -> None:
    maps = np.ones((4, 48, 40)) * (1 + 1j * np.arange(4))[:, None, None]
    np.savez(tmp_path / "a.npz", kspace=KSPACE * LINES, mask=LINES, csm=maps, voxel=[1.0, 2, 5])
    record = mri_d3gm.reconstruct(tmp_path / "a.npz", method="zero-filled").record
    assert record["CoilMaps"] == ["given"] and record["VoxelMillimetres"] == [2, 1, 5]
    assert record["Sampling"]["FromFile"] and record["Sampling"]["AccelerationAchieved"] == round(40 / LINES.sum(), 3)
