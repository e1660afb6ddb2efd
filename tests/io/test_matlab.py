"""MATLAB's .mat: its own order of axes, all classes of numbers, both byte orders, and CMRxRecon's names."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from io_files import error_of
from scans import fft2c, phantom

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.matlab_v5 import stored_variables
from mri_d3gm.io.arrays.named_arrays import Stored
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading

KSPACE = np.stack([fft2c(phantom()) * (1 + 1j * coil) for coil in range(3)], 1)  # slices, coils, rows, cols
MATLAB = KSPACE.transpose(2, 3, 1, 0)  # rows, cols, coils, slices


def whole(array: Stored) -> np.ndarray:
    return array.read((slice(None),) * len(array.shape))


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_of_version_5_are_those_that_scipy_reads(compressed: bool, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    variables = {name: generator.normal(size=(5, 3, 2)) * 20 for name in ("double", "small", "other")}
    variables |= {
        kind: abs(variables["double"]).astype(kind) for kind in ("f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "c8", "c16")
    }
    variables |= {"logical": variables["small"] > 0, "empty": np.zeros((0, 3)), "one": np.array([[7.0]])}
    variables |= {"text": "words", "cell": np.array(["a", 1], object), "record": {"a": 1}}
    scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    found, expected = stored_variables(tmp_path / "a.mat"), scipy.io.loadmat(tmp_path / "a.mat")
    assert {name: array.packed for name, array in found.items() if array.packed} == {"cell": "cell", "record": "struct"}
    found = {name: array for name, array in found.items() if not array.packed}
    assert set(found) == set(variables) - {"text", "cell", "record"}
    for name, array in found.items():
        assert array.shape == expected[name].shape
        if name != "empty":
            np.testing.assert_allclose(whole(array), expected[name], rtol=1e-6)
            assert whole(array).dtype.kind == expected[name].dtype.kind


def big_endian(array: np.ndarray, name: bytes) -> bytes:
    """A file of one real double array, as a big-endian MATLAB with integers stored in two bytes each writes it."""
    data = array.astype(">i2").tobytes("F")

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    body = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(f">{array.ndim}i", *array.shape))
    body += element(1, name) + element(3, data)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(body)) + body


def test_the_other_byte_order_and_numbers_stored_short(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    (tmp_path / "a.mat").write_bytes(big_endian(array, b"numbers"))
    assert np.array_equal(whole(stored_variables(tmp_path / "a.mat")["numbers"]), array)


def test_axes_are_those_of_matlab(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"ksp": MATLAB, "voxel": [1, 2, 3], "mask": np.ones((40, 1))})
    scan = open_scan(tmp_path / "a.mat")
    assert (scan.slices, scan.coils, scan.rows, scan.cols, scan.mask, scan.voxel_mm) == (2, 3, 48, 40, None, (1, 2, 3))
    assert np.array_equal(scan.read(1), KSPACE[1]) and "rows, cols, coils, slices" in scan.warnings[0]
    scipy.io.savemat(tmp_path / "a.mat", {"ksp": MATLAB.transpose(2, 1, 0, 3)})
    assert np.array_equal(open_scan(tmp_path / "a.mat", Reading(axes="coils,cols,rows,slices")).read(1), KSPACE[1])


def write_v73(path: Path, array: np.ndarray, name: str) -> Path:
    """As MATLAB writes version 7.3, without its text in front."""
    with h5py.File(path, "w") as file:
        records = np.empty(array.T.shape, [("real", "<f8"), ("imag", "<f8")])
        records["real"], records["imag"] = array.T.real, array.T.imag
        file.create_dataset(name, data=records).attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("#refs#")["kspace"] = records
    return path


@pytest.mark.parametrize(("name", "array", "frames", "slices", "coils"), [
    ("kspace_full", np.stack([MATLAB, 2 * MATLAB], -1), 2, 2, 3),
    ("kspace_sub08", MATLAB, 1, 2, 3),
    ("kspace_sub04", MATLAB[..., 0], 1, 1, 3),
    ("kspace_single_full", np.stack([MATLAB[:, :, 0], 2 * MATLAB[:, :, 0]], -1), 2, 2, 1),
    ("kspace_single_sub10", MATLAB[:, :, 0], 1, 2, 1),
])  # fmt: skip
def test_axes_of_cmrxrecon_are_known(
    name: str, array: np.ndarray, frames: int, slices: int, coils: int, tmp_path: Path
) -> None:
    scan = open_scan(write_v73(tmp_path / "a.mat", array, name))
    assert (scan.frames, scan.slices, scan.coils) == (frames, slices, coils)
    assert scan.frame_axis == ("phase" if frames > 1 else "") and not any("--axes" in text for text in scan.warnings)
    for image in range(frames * slices):
        expected = (1 + image // slices) * KSPACE[image % slices, :coils]
        assert np.array_equal(scan.read(image), expected.astype(np.complex64))


def test_fields_of_a_struct_are_found_and_named(tmp_path: Path) -> None:
    path = write_v73(tmp_path / "a.mat", MATLAB, "about")
    with h5py.File(path, "a") as file:
        file["raw/kspace"], file["raw/weights"] = file["about"][()], np.ones(3)
    assert open_scan(path).facts["Array"] == "raw/kspace"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["kspace", "data", "x"])
def test_what_is_packed_is_named_with_what_to_do(name: str, compressed: bool, tmp_path: Path) -> None:
    cell = np.empty((1, 1), object)
    cell[0, 0] = MATLAB
    sparse = scipy.sparse.csc_array(MATLAB[:, :, 0, 0])
    for kind, packed in (("struct", {"field": MATLAB}), ("cell", cell), ("sparse matrix", sparse)):
        path = tmp_path / f"{kind}.mat"
        scipy.io.savemat(path, {name: packed}, do_compression=compressed)
        for how in (Reading(), Reading(key=name), Reading(key="other")):
            with pytest.raises(InputError, match=f"{name}( is|,) a {kind}.*variable of its own.*-v7.3"):
                open_scan(path, how)
        scipy.io.savemat(path, {name: packed, "ksp": MATLAB, "mask": packed}, do_compression=compressed)
        assert np.array_equal(open_scan(path, Reading(key="ksp")).read(1), KSPACE[1])


def test_a_cell_of_version_7_3_is_named_too(tmp_path: Path) -> None:
    path = write_v73(tmp_path / "a.mat", MATLAB, "about")
    with h5py.File(path, "a") as file:
        del file["about"]
        cell = file.create_dataset("kspace", (1, 1), h5py.ref_dtype)
        cell[0, 0], cell.attrs["MATLAB_class"] = file["#refs#/kspace"].ref, np.bytes_("cell")
    assert "kspace is a cell; save the array" in error_of(open_scan, path)


def damaged(path: Path, where: int, value: int) -> str:
    """The one line of a file with a byte changed."""
    content = bytearray(path.read_bytes())
    content[where] = value
    path.write_bytes(bytes(content))
    return error_of(open_scan, path)


def test_a_type_that_ends_the_process_in_scipy_is_one_line(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": MATLAB.astype(np.complex128)})
    content = (tmp_path / "a.mat").read_bytes()
    assert "damaged" in damaged(tmp_path / "a.mat", content.index(struct.pack("<II", 9, 8 * MATLAB.size)), 8)


def test_shapes_and_sizes_beyond_the_file_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"kspace": MATLAB})
    content = path.read_bytes()
    shape = content.index(struct.pack("<4i", *MATLAB.shape))
    for sizes in ((10**6, 10**6, 1, 1), (-48, 40, 3, 2), (0, 40, 3, 2)):
        path.write_bytes(content[:shape] + struct.pack("<4i", *sizes) + content[shape + 16 :])
        assert "contradict" in error_of(open_scan, path)
    for end in (40, 128, 140, 200, len(content) - 100):
        path.write_bytes(content[:end])
        error_of(open_scan, path)
    path.write_bytes(b"MATLAB 4.2")
    assert "version 5 to 7.3" in error_of(open_scan, path)
    with pytest.raises(InputError, match="no such file"):
        open_scan(tmp_path / "none.mat")
