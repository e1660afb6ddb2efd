"""3-D scans of ISMRMRD files: slices along the readout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from io_files import to_image
from raw_files import Protocol, axis, full, write_ismrmrd
from raw_objects import FLAT, OBJECT, SOLID, assert_near, edited, exact, scan_of

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Scan


def volume_of(scan: Scan, frame: int = 0) -> np.ndarray:
    """Coil images (coils, readout, lines, partitions) of a 3-D scan."""
    return np.stack([to_image(scan.read(frame * scan.slices + index)) for index in range(scan.slices)], 1)


def exact_volume(made: Protocol) -> np.ndarray:
    kspace = np.fft.ifftshift(exact(made), axes=(1, 2, 3))
    return np.fft.fftshift(np.fft.ifftn(kspace, axes=(1, 2, 3), norm="ortho"), axes=(1, 2, 3))


def test_a_slab_becomes_slices_along_the_readout(tmp_path: Path) -> None:
    scan = scan_of(SOLID, tmp_path)
    assert (scan.slices, scan.rows, scan.cols, scan.recon_shape) == (20, 16, 12, (16, 12))
    assert scan.voxel_mm == (3.5, 4.0, 3.0) and scan.mask is None and scan.limits is scan.row_limits is None
    assert_near(volume_of(scan), exact_volume(SOLID))


def test_frames_of_slabs_and_their_oversampling(tmp_path: Path) -> None:
    made = replace(SOLID, matrix=(20, 18, 14), image=(20, 16, 12), oversampling=2, counts={"repetition": 2})
    scan = scan_of(made, tmp_path)
    assert (scan.frames, scan.slices, scan.recon_shape, scan.voxel_mm) == (2, 20, (16, 12), (3.5, 4.0, 3.0))
    wanted = exact_volume(replace(made, oversampling=1))
    for frame in (1, 0):
        assert_near(volume_of(scan, frame), (frame + 1) * wanted, 0.02)


def test_an_elliptical_shutter_is_a_mask(tmp_path: Path) -> None:
    inside = [(y, z) for y, z in full(axis(16), axis(12)) if (y / 8) ** 2 + (z / 6) ** 2 <= 1 and (y + z) % 2 == 0]
    scan = scan_of(replace(SOLID, entries=inside), tmp_path)
    mask = np.zeros((16, 12), bool)
    mask[tuple(np.array(inside).T + np.array([[8], [6]]))] = True
    assert np.array_equal(scan.mask, mask) and scan.outside() is None
    hybrid = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(exact(SOLID), axes=1), axis=1, norm="ortho"), axes=1)
    for index in (0, 11):
        assert_near(scan.read(index), hybrid[:, index] * mask)


def test_partial_fourier_along_lines_and_partitions(tmp_path: Path) -> None:
    scan = scan_of(replace(SOLID, entries=full(range(-3, 8), range(-6, 2)), middles=(3, 6)), tmp_path)
    assert scan.limits is None and scan.row_limits is None and scan.mask is not None
    assert scan.mask[5:, :8].all() and scan.mask.sum() == 11 * 8


def test_padding_along_both(tmp_path: Path) -> None:
    scan = scan_of(replace(SOLID, entries=full(range(-6, 6), range(-4, 4)), middles=(6, 4)), tmp_path)
    assert scan.mask is None and scan.row_limits == (2, 14) and scan.limits == (2, 10)


def test_calibration_of_a_slab(tmp_path: Path) -> None:
    entries = [(y, z) for y, z in full(axis(16), axis(12)) if y % 2 == 0 and z % 2 == 0]
    made = replace(SOLID, entries=entries, calibration=full(range(-4, 4), range(-3, 3)), embedded=False)
    scan = scan_of(made, tmp_path)
    assert scan.mask is not None and scan.mask.sum() == 48 and scan.calibration is not None
    assert (np.abs(scan.calibration(10)).max(0) > 0).sum() == 48
    assert scan_of(replace(made, embedded=True), tmp_path).mask.sum() == 48 + 48 - 12


def test_an_asymmetric_echo_of_a_slab_is_said(tmp_path: Path) -> None:
    scan = scan_of(replace(SOLID, echo=(6, 10)), tmp_path)
    assert scan.mask is None and "zero-filled along the readout" in scan.warnings[0]


def test_slices_in_a_matrix_of_slices_are_slices(tmp_path: Path) -> None:
    """Some converters write the number of slices where that of partitions belongs."""
    made = replace(FLAT, slices=(-12.0, -6.0, 0.0, 6.0, 12.0))
    path = edited(write_ismrmrd(tmp_path / "a.h5", OBJECT, made), b"<z>1</z>", b"<z>5</z>")
    scan = open_scan(path)
    assert scan.slices == 5 and scan.rows == 24
    assert_near(scan.read(2), exact(made))
