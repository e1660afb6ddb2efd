"""NumPy's files: pairs of floats, Fortran's order, nothing that is executed, nothing that is larger than the file."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from io_files import error_of
from scans import fft2c, phantom

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading

KSPACE = np.stack([fft2c(phantom()) * (1 + 1j * coil) for coil in range(3)], 1)  # slices, coils, rows, cols


@pytest.mark.parametrize("dtype", ["<c8", ">c8", "<c16", ">c16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_byte_orders_precisions_and_orders(dtype: str, order: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(KSPACE, dtype, order=order))
    scan = open_scan(tmp_path / "a.npy", Reading(key="not needed here"))
    assert np.array_equal(scan.read(1), KSPACE[1]) and scan.read(1).dtype == np.complex64
    scan.read(1)[0] = 0
    assert scan.read(1)[0].any()


def test_pairs_and_records_are_complex(tmp_path: Path) -> None:
    pairs = np.stack([KSPACE.real, KSPACE.imag], -1)
    records = np.empty(KSPACE.shape, [("imag", "f4"), ("real", "f8")])
    records["real"], records["imag"] = KSPACE.real, KSPACE.imag
    for array in (pairs, pairs.astype(np.float64), records):
        np.save(tmp_path / "a.npy", array)
        assert np.array_equal(open_scan(tmp_path / "a.npy").read(1), KSPACE[1])
        np.savez(tmp_path / "a.npz", kspace=array, mask=np.ones(40))
        assert np.array_equal(open_scan(tmp_path / "a.npz").read(0), KSPACE[0])


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_objects_are_not_unpickled(name: str, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    objects = np.array([Trap()] * 3, object)
    if name == "a.npy":
        np.save(tmp_path / name, objects)
    else:
        np.savez(tmp_path / name, kspace=objects)
    assert "objects" in error_of(open_scan, tmp_path / name)
    assert not (tmp_path / "executed").exists()


def header(shape: str, descr: str = "'<c8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


HEADERS = {
    "longer than the file": [header("(1000000, 1000000, 1, 1)"), header("(-2, -3, 48, 40)"), header("(2, 4, 48, 40)")],
    "cannot be read": [
        header("(2,"),
        header("'a'"),
        header("(2, 3)", "'O9'"),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00",
    ],
    "of 2 to 6 axes": [header("()") + bytes(8), header("(3,)") + bytes(24), header("(2, 3)", "'<i4'") + bytes(24)],
    "8 x 8": [header("(0, 3, 48, 40)"), header("(2, 3)") + bytes(48)],
}


@pytest.mark.parametrize(("message", "content"), [(message, one) for message, contents in HEADERS.items() for one in contents])
def test_headers_that_contradict_the_file_are_one_line(message: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    assert message in error_of(open_scan, tmp_path / "a.npy")
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
            archive.writestr("kspace.npy", content)
        error_of(open_scan, tmp_path / "a.npz")


def test_what_unpacks_to_far_more_than_the_file_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((2, 5, 1024, 1024), np.complex64))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kspace.npy", content.getvalue())
    assert "MB and stores" in error_of(open_scan, tmp_path / "a.npz")


def test_other_zip_files_and_damaged_ones_are_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    assert "no arrays of numbers" in error_of(open_scan, tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", kspace=KSPACE)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-300])
    assert "cannot be read" in error_of(open_scan, tmp_path / "a.npz")
