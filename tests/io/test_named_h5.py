"""HDF5 that is not fastMRI's: other names, shapes and types of k-space, Calgary-Campinas, and sizes that are not there."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from io_files import error_of
from scans import fft2c, phantom, write_scan

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading

KSPACE = np.stack([fft2c(phantom()) * (1 + 1j * coil) for coil in range(3)], 1)  # slices, coils, rows, cols
PAIRS = np.stack([KSPACE.real, KSPACE.imag], -1)
RECORDS = np.empty(KSPACE.shape, [("real", "f4"), ("imag", "f4")])
RECORDS["real"], RECORDS["imag"] = KSPACE.real, KSPACE.imag


def write(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


@pytest.mark.parametrize("arrays", [
    {"kdata": KSPACE},
    {"measurement/1/ksp": KSPACE},
    {"only": KSPACE, "image": np.abs(KSPACE)},
    {"kspace": PAIRS},
    {"kspace": RECORDS},
    {"kspace": KSPACE[None]},
])  # fmt: skip
def test_kspace_of_other_names_and_types(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "a.h5", **arrays))
    assert (scan.slices, scan.coils, scan.rows, scan.cols) == (2, 3, 48, 40)
    assert np.array_equal(scan.read(1), KSPACE[1])


def test_a_key_or_axes_go_past_fastmris_layout(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", KSPACE.transpose(1, 0, 2, 3), other=2 * KSPACE)
    assert open_scan(path).slices == 3
    assert open_scan(path, Reading(axes="coils,slices,rows,cols")).coils == 3
    assert np.array_equal(open_scan(path, Reading(key="other")).read(1), 2 * KSPACE[1])


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "outside.h5", kdata=KSPACE, kspace=PAIRS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kdata"] = h5py.ExternalLink("outside.h5", "kdata")
    assert "no dataset kspace" in error_of(open_scan, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink("outside.h5", "kspace")
    assert "link" in error_of(open_scan, tmp_path / "a.h5")
    layout = h5py.VirtualLayout(KSPACE.shape, np.complex64)
    layout[:] = h5py.VirtualSource(str(tmp_path / "outside.h5"), "kdata", KSPACE.shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("kdata", layout)
    assert "another file" in error_of(open_scan, tmp_path / "a.h5")


def test_sizes_that_are_not_in_the_file_are_refused(tmp_path: Path) -> None:
    for chunks in (None, (1, 1, 64, 64)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("kdata", (1000, 1000, 1000, 1000), np.complex64, chunks=chunks)
        assert "stores 0 MB" in error_of(open_scan, tmp_path / "a.h5")


def calgary(image: np.ndarray) -> np.ndarray:
    """Float (slices, rows, cols, 2 coils) of images (slices, coils, rows, cols) that numpy's ifft2 gives without shifts."""
    rows, cols = image.shape[-2:]
    signs = (-1.0) ** (np.arange(rows)[:, None] + np.arange(cols))  # the centre of k-space to the middle
    kspace = np.fft.fft2(image * signs, norm="ortho").transpose(0, 2, 3, 1)
    return np.stack([kspace.real, kspace.imag], -1).reshape(*kspace.shape[:-1], -1).astype(np.float32)


def test_calgary_campinas_is_known_by_its_shape_and_not_transformed_again(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    image = phantom(3, 48, 40)[:, None] * np.exp(1j * generator.random((6, 1, 1))) * np.linspace(0.5, 1, 40)
    array = calgary(image)
    np.testing.assert_allclose(abs(np.fft.ifft2(array[..., ::2] + 1j * array[..., 1::2], axes=(1, 2), norm="ortho"))[..., 0],
                               abs(image[:, 0]), atol=1e-5)  # fmt: skip
    scan = open_scan(write(tmp_path / "e1.h5", kspace=array), Reading(voxel_mm=(1, 1, 1)))
    assert (scan.slices, scan.coils, scan.rows, scan.cols, scan.mask) == (3, 6, 48, 40, None)
    assert scan.facts["Layout"] == "Calgary-Campinas" and not scan.warnings
    for number in range(3):
        shifted = np.fft.ifft2(np.fft.ifftshift(scan.read(number), axes=(-2, -1)), norm="ortho")
        np.testing.assert_allclose(abs(np.fft.fftshift(shifted, axes=(-2, -1))), abs(image[number]), atol=1e-5)


def test_calgary_campinas_undersampled_and_with_a_part_not_measured(tmp_path: Path) -> None:
    """Partitions are missing on one side."""
    array = calgary(phantom(3, 48, 40)[:, None] * np.ones((3, 1, 1)))
    array[:, :, 34:] = 0
    scan = open_scan(write(tmp_path / "e1.h5", kspace=array))
    assert np.array_equal(scan.mask, (np.arange(40) < 34)[None]) and scan.limits is None
    points = np.random.default_rng(0).random((48, 40, 1)) < 0.3
    scan = open_scan(write(tmp_path / "e2.h5", kspace=array * points))
    assert np.array_equal(scan.mask, (array * points != 0).any((0, 3)))


def test_other_real_valued_kspace_is_refused(tmp_path: Path) -> None:
    for array in (np.abs(KSPACE), np.ones((2, 48, 40, 9), np.float32), np.ones((2, 48, 40, 24), np.int16)):
        text = error_of(open_scan, write(tmp_path / "a.h5", kspace=array))
        assert "complex64 or complex128 is needed" in text or "complex numbers" in text


def test_numbers_of_images_that_are_not_in_the_file_take_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kdata", (2**32, 2, 16, 16), np.complex64)
    assert "stores 0 MB" in error_of(open_scan, tmp_path / "a.h5")
