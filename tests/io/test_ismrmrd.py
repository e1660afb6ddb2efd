"""ISMRMRD files of made objects: every readout lands where it belongs, and what is missing is said to be missing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from io_files import error_of, to_image
from raw_files import AXIAL, append_ismrmrd, full, header_of, write_ismrmrd
from raw_objects import FLAT, OBJECT, assert_near, edited, exact, lines_of, readouts_of, scan_of, set_header

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import cropped

NO_DATA = [
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
]


# ---- readouts


def test_kspace_is_that_of_the_object(tmp_path: Path) -> None:
    scan = scan_of(FLAT, tmp_path)
    assert (scan.slices, scan.coils, scan.rows, scan.cols, scan.frames) == (1, 3, 24, 20, 1)
    assert scan.mask is None and scan.masks is None and scan.limits is None and scan.outside() is None
    assert scan.warnings == () and scan.position_known and scan.voxel_mm == (3.0, 3.5, 4.0)
    assert scan.facts == {
        "format": "ISMRMRD",
        "vendor": "made",
        "field (T)": "3.0",
        "TR (ms)": "5.0",
        "TE (ms)": "2.0",
        "slice thickness (mm)": 4.0,
        "acceleration": "1",
    }
    assert scan.read(0).dtype == np.complex64
    assert_near(scan.read(0), exact(FLAT))


@pytest.mark.parametrize("matrix", [(24, 20, 1), (23, 19, 1), (24, 19, 1), (23, 20, 1)])
def test_oversampling_is_removed_and_can_be_kept(matrix: tuple[int, int, int], tmp_path: Path) -> None:
    made = replace(FLAT, matrix=matrix, oversampling=2)
    scan, kept = scan_of(made, tmp_path), scan_of(made, tmp_path, crop=False)
    assert scan.oversampled and scan.rows == matrix[0] and scan.voxel_mm == kept.voxel_mm
    assert not kept.oversampled and kept.rows == 2 * matrix[0] and kept.recon_shape == (2 * matrix[0], matrix[1])
    if matrix[0] % 2 == 0:  # else the voxels lie between those of the smaller matrix
        assert_near(to_image(scan.read(0)), to_image(exact(made)), 0.02)  # the object ends before its field of view does
    start = (2 * matrix[0] - matrix[0]) // 2
    assert_near(to_image(kept.read(0))[:, start : start + matrix[0]], to_image(scan.read(0)))


def test_oversampling_that_was_removed_before_is_not_removed_again(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    set_header(path, header_of(replace(FLAT, oversampling=2)))
    scan = open_scan(path)
    assert scan.rows == 24 and not scan.oversampled and scan.voxel_mm == (3.0, 3.5, 4.0)
    assert_near(scan.read(0), exact(FLAT))


@pytest.mark.parametrize("flag", NO_DATA)
def test_readouts_that_are_no_data_are_not_used(flag: int, tmp_path: Path) -> None:
    assert_near(scan_of(replace(FLAT, junk=[flag]), tmp_path).read(0), exact(FLAT))


def test_discarded_samples_are_left_out(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, discard=(3, 5), entries=full(range(-10, 0))))
    append_ismrmrd(path, OBJECT, replace(FLAT, discard=(0, 2), entries=full(range(10))))
    set_header(path, header_of(FLAT))
    assert_near(open_scan(path).read(0), exact(FLAT))


def test_several_threads_read_one_file(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, slices=range(0, 40, 5)), tmp_path)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(scan.read, [*range(8)] * 8))
    assert all(np.array_equal(one, found[index % 8]) for index, one in enumerate(found))


# ---- what is missing


MISSING = {  # entries, middles of the counters, columns that were measured
    "before the centre": (range(-4, 10), (10, 0), range(-4, 10)),
    "before the centre, counted from 0": (range(-4, 10), (4, 0), range(-4, 10)),
    "behind the centre": (range(-10, 3), (10, 0), range(-10, 3)),
    "every second line": (range(-9, 10, 2), (10, 0), range(-9, 10, 2)),
    "every fourth line, none at the rim": (range(-7, 8, 4), (10, 0), range(-7, 8, 4)),
    "every second line of partial Fourier": (range(-4, 9, 2), (4, 0), range(-4, 9, 2)),
}


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("oversampling", [1, 2])
def test_lines_that_are_missing_are_no_padding(name: str, oversampling: int, tmp_path: Path) -> None:
    entries, middles, columns = MISSING[name]
    span = (0, 19, 10) if middles[0] == 10 else (0, 13, 4)
    scan = scan_of(replace(FLAT, entries=full(entries), middles=middles, limits=span, oversampling=oversampling), tmp_path)
    assert scan.limits is None and scan.outside() is None and scan.mask is not None and scan.mask.shape == (1, 20)
    assert (np.flatnonzero(scan.mask[0]) - 10).tolist() == lines_of(scan).tolist() == list(columns)
    if oversampling == 1:
        assert_near(scan.read(0), exact(FLAT) * scan.mask)


@pytest.mark.parametrize("lines", [range(-6, 6), range(-6, 7), range(-7, 7)])
def test_a_matrix_larger_than_the_lines_is_padded(lines: range, tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, entries=full(lines), middles=(-lines.start, 0)), tmp_path)
    assert scan.mask is None and scan.limits == (10 + lines.start, 10 + lines.stop)
    assert lines_of(scan).tolist() == list(lines)


def test_partial_fourier_within_padding(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, entries=full(range(-3, 8)), middles=(3, 0)), tmp_path)
    assert scan.limits == (3, 18) and scan.mask is not None
    assert (np.flatnonzero(scan.mask[0]) - 10).tolist() == list(range(-3, 8))


@pytest.mark.parametrize("echo", [(5, 12), (12, 4), (8, 12)])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_an_asymmetric_echo_lacks_rows(echo: tuple[int, int], oversampling: int, tmp_path: Path) -> None:
    times = replace(FLAT, oversampling=oversampling, echo=tuple(oversampling * side for side in echo))
    scan = scan_of(times, tmp_path)
    edge = oversampling - 1  # the row that removing oversampling mixes with what is missing
    first, end = (12 - side + edge * (side < 12) for side in echo)
    rows = np.arange(first, 24 - end)
    assert scan.mask is not None and scan.mask.shape == (24, 1)
    assert np.flatnonzero(scan.mask).tolist() == rows.tolist()
    found, wanted = scan.read(0), exact(FLAT)
    assert not found[:, ~scan.mask[:, 0]].any()
    assert_near(found[:, rows], wanted[:, rows], 1e-5 if oversampling == 1 else 0.05)


def test_an_asymmetric_echo_of_missing_lines_is_a_plane(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, echo=(5, 12), entries=full(range(-4, 10))), tmp_path)
    assert scan.mask is not None and scan.mask.shape == (24, 20)
    assert scan.mask[7:, 6:].all() and scan.mask.sum() == 17 * 14


def test_phase_oversampling_is_cut_off_the_image(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, image=(24, 14, 1)), tmp_path)
    assert scan.cols == 20 and scan.recon_shape == (24, 14) and scan.voxel_mm == (3.0, 3.5, 4.0)
    assert scan_of(replace(FLAT, image=(24, 14, 1)), tmp_path, crop=False).recon_shape == (24, 20)
    assert_near(cropped(to_image(scan.read(0)), scan), to_image(exact(FLAT))[:, :, 3:17])


def test_an_interpolated_image_is_not_made_larger(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, interpolated=2, oversampling=2, image=(24, 14, 1)), tmp_path)
    assert scan.rows == 24 and scan.recon_shape == (24, 14) and scan.voxel_mm == (3.0, 3.5, 4.0)


def test_limits_that_do_not_hold_the_lines_are_not_used(tmp_path: Path) -> None:
    scan = scan_of(replace(FLAT, limits=(0, 0, 0)), tmp_path)
    assert scan.mask is None and "not within the header's limits" in scan.warnings[0]
    assert_near(scan.read(0), exact(FLAT))


def test_lines_that_do_not_fit_the_matrix_are_refused(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, middles=(14, 0)))
    assert "lines 4 to 23 around 10 do not fit" in error_of(open_scan, edited(path, b"<center>14<", b"<center>10<"))


# ---- slices


SLICES = [-12.0, -6.0, 0.0, 6.0, 12.0]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 3, 0, 2, 4)])
@pytest.mark.parametrize("numbers", [(0, 1, 2, 3, 4), (3, 0, 4, 1, 2), (7, 5, 90, 0, 1)])
def test_slices_are_in_the_order_of_their_positions(order: tuple[int, ...], numbers: tuple[int, ...], tmp_path: Path) -> None:
    made = replace(FLAT, slices=[SLICES[place] for place in order], numbers=numbers)
    scan = scan_of(made, tmp_path)
    assert scan.slices == 5 and scan.voxel_mm[2] == 6 and not scan.warnings
    for index, place in enumerate(SLICES):
        assert_near(scan.read(index), exact(made, (0, 0, place)))
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, 6], atol=1e-6)


def test_uneven_slices_are_said(tmp_path: Path) -> None:
    assert "up to 0.75 mm off" in scan_of(replace(FLAT, slices=[0, 6, 13.5]), tmp_path).warnings[0]


@pytest.mark.parametrize("positions", [False, True])
def test_without_positions_slices_are_in_the_order_of_their_numbers(positions: bool, tmp_path: Path) -> None:
    made = replace(FLAT, slices=SLICES, numbers=(4, 3, 2, 1, 0), positioned=False)
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, made)
    if positions:  # directions, but one position for all
        with readouts_of(path) as data:
            for name, vector in zip(("read_dir", "phase_dir", "slice_dir"), AXIAL, strict=True):
                data["head"][name] = vector
    scan = open_scan(path)
    assert not scan.position_known and "ordered by their numbers" in scan.warnings[0] and scan.voxel_mm[2] == 4
    for index, place in enumerate(SLICES[::-1]):
        assert_near(scan.read(index), exact(made, (0, 0, place)))
    middle = scan.affine @ [(scan.cols - 1) / 2, (scan.rows - 1) / 2, (scan.slices - 1) / 2, 1]
    np.testing.assert_allclose(middle[:3], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("vendor", "parameter", "turned"), [("SIEMENS", "MaxwellCoefficient_0", True), ("SIEMENS", "x", False)]
)
def test_directions_of_siemens_to_ismrmrd_hold_for_the_forward_transform(
    tmp_path: Path, vendor: str, parameter: str, turned: bool
) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, FLAT)
    before = open_scan(path)
    extra = (
        f"<userParameters><userParameterDouble><name>{parameter}</name><value>0</value></userParameterDouble></userParameters>"
    )
    edited(path, b">made<", f">{vendor}<".encode())
    edited(path, b"</acquisitionSystemInformation>", f"</acquisitionSystemInformation>{extra}".encode())
    after = open_scan(path)
    sign = -1 if turned else 1
    np.testing.assert_allclose(after.affine[:3, :2], sign * before.affine[:3, :2], atol=1e-6)
