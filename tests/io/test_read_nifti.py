import gzip
from functools import partial
from pathlib import Path
from typing import Any

import io_files
import nibabel
import numpy as np
import pytest

from mri_d3gm.io.image import spacing
from mri_d3gm.io.images.read_nifti import read_nifti

DATA = np.random.default_rng(0).integers(1, 200, (5, 6, 7)).astype(np.int16)
TURN = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


def affine(*sizes: float, turn: np.ndarray = TURN) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = turn * sizes
    matrix[:3, 3] = -3, 5, 11
    return matrix


AFFINES = {
    "oblique": affine(1, 2, 4),
    "negative zoom": affine(-1, 2, 4),
    "negative determinant": affine(1, 2, -4),
    "swapped axes": affine(1, 2, 4, turn=np.eye(3)[[2, 0, 1]]),
}


def write(path: Path, data: np.ndarray = DATA, matrix: np.ndarray | None = AFFINES["oblique"], kind: Any = None) -> Path:
    nibabel.save((kind or nibabel.Nifti1Image)(data, matrix), path)
    return path


error_of = partial(io_files.error_of, read_nifti)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("ending", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("name", AFFINES)
def test_voxels_keep_their_places(tmp_path: Path, name: str, ending: str, kind: Any) -> None:
    volume = read_nifti(write(tmp_path / ending, matrix=AFFINES[name], kind=kind))
    np.testing.assert_array_equal(volume.array, DATA)
    np.testing.assert_allclose(volume.affine, AFFINES[name], atol=1e-5)
    assert volume.affine.dtype == np.float64 and volume.files == (tmp_path / ending,)


@pytest.mark.parametrize("dtype", ["u1", "i2", "<f8", ">i2", ">f4", "u2"])
def test_types_and_byte_orders(tmp_path: Path, dtype: str) -> None:
    header = nibabel.Nifti1Header(endianness=">" if ">" in dtype else "<")
    header.set_data_dtype(dtype)
    nibabel.Nifti1Image(DATA.astype(dtype), AFFINES["oblique"], header).to_filename(tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32 and volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array, DATA)


def test_slope_and_intercept(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(DATA, AFFINES["oblique"])
    image.header["descrip"] = b"a  text"
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:120] = np.array([0.25, -3], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    volume = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.array, DATA * 0.25 - 3)
    assert volume.description == "a text"


def test_sform_before_qform_before_voxel_sizes(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(DATA, None)
    image.set_qform(AFFINES["negative zoom"], 1)
    image.set_sform(AFFINES["oblique"], 2)
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").affine, AFFINES["oblique"], atol=1e-5)
    image.set_sform(AFFINES["oblique"], 0)
    image.to_filename(tmp_path / "a.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").affine, AFFINES["negative zoom"], atol=1e-5)
    image = nibabel.Nifti1Image(DATA, None)
    image.header.set_zooms((1, 2, 3))
    image.to_filename(tmp_path / "a.nii")
    assert spacing(read_nifti(tmp_path / "a.nii")) == pytest.approx((1, 2, 3))


@pytest.mark.parametrize("unit, factor", [("meter", 1000), ("micron", 0.001), ("mm", 1), ("unknown", 1)])
def test_affine_is_in_mm(tmp_path: Path, unit: str, factor: float) -> None:
    image = nibabel.Nifti1Image(DATA, AFFINES["oblique"])
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "a.nii")
    assert spacing(read_nifti(tmp_path / "a.nii")) == pytest.approx((factor, 2 * factor, 4 * factor))


def test_time_and_one_slice(tmp_path: Path) -> None:
    assert read_nifti(write(tmp_path / "a.nii", np.stack([DATA, DATA], -1))).array.shape == (5, 6, 7, 2)
    assert read_nifti(write(tmp_path / "b.nii", DATA[..., 0])).array.shape == (5, 6, 1)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(
    "unit, step, seconds",
    [
        ("sec", 2.5, 2.5), ("sec", 0.8, 0.8), ("msec", 2500, 2.5), ("usec", 2.5e6, 2.5), ("unknown", 2.5, None),
        ("hz", 2.5, None), ("ppm", 1, None), ("sec", 0, None), ("sec", np.inf, None),
    ],
)  # fmt: skip
def test_time_step_is_in_seconds(tmp_path: Path, unit: str, step: float, seconds: float | None, kind: Any) -> None:
    image = kind(np.stack([DATA, DATA], -1), AFFINES["oblique"])
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    image.to_filename(tmp_path / "a.nii.gz")
    assert read_nifti(tmp_path / "a.nii.gz").time_step == pytest.approx(seconds)
    still = kind(DATA, AFFINES["oblique"], image.header)
    still.header["pixdim"][4] = step
    still.to_filename(tmp_path / "b.nii.gz")
    assert read_nifti(tmp_path / "b.nii.gz").time_step is None


@pytest.mark.parametrize("kind, name", [(nibabel.Nifti1Image, "NIfTI-1"), (nibabel.Nifti2Image, "NIfTI-2")])
@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (2, 1), (4, 3), (0, 0)])
def test_codes_are_kept(tmp_path: Path, codes: tuple[int, int], kind: Any, name: str) -> None:
    image = kind(DATA, None)
    image.set_sform(AFFINES["oblique"], codes[0])
    image.set_qform(AFFINES["oblique"], codes[1])
    image.to_filename(tmp_path / "a.nii")
    expected = {"format": name, "sform_code": codes[0], "qform_code": codes[1]}
    assert read_nifti(tmp_path / "a.nii").source == expected


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8"])
def test_negative_values_keep_their_sign(tmp_path: Path, dtype: str) -> None:
    data = (DATA.astype(int) % 120 - 60).astype(dtype)
    for signed in (data, -np.abs(data)):
        image = nibabel.Nifti1Image(signed, AFFINES["oblique"])
        image.to_filename(tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").array, signed)


@pytest.mark.parametrize("ending", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_files_cut_short(tmp_path: Path, ending: str, part: float) -> None:
    path = write(tmp_path / ending)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    error_of(path)


def test_damaged_and_other_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz")
    plain = gzip.decompress(path.read_bytes())
    stored = bytearray(gzip.compress(plain, 0))
    stored[-60] ^= 1
    path.write_bytes(stored)
    assert "gzip data are damaged" in error_of(path)
    path.write_bytes(plain)
    np.testing.assert_array_equal(read_nifti(path).array, DATA)  # the content counts, not the ending
    path.write_text("text" * 200)
    error_of(path)
    assert "No such file" in error_of(tmp_path / "none.nii")


def test_complex_colour_and_vector_images(tmp_path: Path) -> None:
    assert "complex, colour" in error_of(write(tmp_path / "a.nii", DATA.astype(np.complex64)))
    colour = np.zeros((5, 6, 7), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "complex, colour" in error_of(write(tmp_path / "b.nii", colour))
    vectors = np.ones((5, 6, 7, 1, 3), np.float32)
    assert "has shape (5, 6, 7, 1, 3)" in error_of(write(tmp_path / "c.nii", vectors))


def test_singular_affine(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(DATA, None)
    image.header["sform_code"], image.header["srow_x"] = 1, (0, 0, 0, 0)
    image.to_filename(tmp_path / "a.nii")
    assert "its affine" in error_of(tmp_path / "a.nii")
