import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image
from mri_d3gm.io.images.nifti import affine_of, plane, write_nifti_image

SHAPE = (5, 8, 6)
VOXEL = (1.5, 2.0, 4.0)


def write_nifti(path: Path, volume: np.ndarray, voxel_mm: tuple[float, float, float], acquisition: str, text: str) -> None:
    """Write (slices, rows, cols) as scans are written whose position is not known."""
    image = Image(volume.transpose(2, 1, 0), affine_of(volume.shape, voxel_mm, acquisition), (), "")
    write_nifti_image(path, image, 2, text)


def landmark(index: tuple[int, int, int]) -> np.ndarray:
    volume = np.zeros(SHAPE, np.float32)
    volume[index] = 1
    return volume


def world_of_maximum(path: Path) -> np.ndarray:
    image = nibabel.load(path)
    index = np.unravel_index(np.argmax(image.get_fdata()), image.shape)
    return image.affine @ (*index, 1)


@pytest.mark.parametrize(
    ("acquisition", "expected"),
    [
        ("AXT2", "AX"), ("AXFLAIR", "AX"), ("CORPDFS_FBK", "COR"), ("SAGT1", "SAG"), ("t1_sag", "SAG"),
        ("AXT1_CORR", "AX"), ("PHANTOM", "AX"), ("", "AX"),
    ],
)  # fmt: skip
def test_plane(acquisition: str, expected: str) -> None:
    assert plane(acquisition) == expected


@pytest.mark.parametrize(
    ("acquisition", "last_row", "last_column", "last_slice"),
    [
        ("AXT1", (1, 3.5 * 1.5), (0, -2.5 * 2.0), (2, 2 * 4.0)),
        ("CORPD", (2, 3.5 * 1.5), (0, -2.5 * 2.0), (1, 2 * 4.0)),
        ("SAGPD", (2, 3.5 * 1.5), (1, -2.5 * 2.0), (0, 2 * 4.0)),
    ],
)
def test_rows_run_to_anterior_or_superior(
    tmp_path: Path, acquisition: str, last_row: tuple, last_column: tuple, last_slice: tuple
) -> None:
    path = tmp_path / "a.nii.gz"
    write_nifti(path, landmark((4, 7, 5)), VOXEL, acquisition, "corner")
    world = world_of_maximum(path)
    for axis, position in (last_row, last_column, last_slice):
        assert world[axis] == pytest.approx(position)
    affine = nibabel.load(path).affine
    np.testing.assert_allclose(affine @ (2.5, 3.5, 2, 1), (0, 0, 0, 1), atol=1e-6)


def test_axial_affine_by_hand() -> None:
    expected = [[-2, 0, 0, 5], [0, 1.5, 0, -5.25], [0, 0, 4, -8], [0, 0, 0, 1]]
    np.testing.assert_array_equal(affine_of(SHAPE, VOXEL, "AXT2"), expected)


@pytest.mark.parametrize("acquisition", ["AXT1", "CORPD", "SAGPD"])
def test_header(tmp_path: Path, acquisition: str) -> None:
    path = tmp_path / "a.nii.gz"
    volume = np.random.default_rng(0).random(SHAPE)
    write_nifti(path, volume, VOXEL, acquisition, "position unknown \u03bc" + "x" * 100)
    image = nibabel.load(path)
    assert image.header.get_zooms() == (2.0, 1.5, 4.0)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header["sform_code"] == image.header["qform_code"] == 2
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-6)
    assert bytes(image.header["descrip"].item()).startswith(b"position unknown ?x")
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), volume.astype(np.float32))


SHEARED = np.array([[1, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
TURNED = np.array([[0, -2, 0, 7], [1.5, 0, 0, -8], [0, 0, -4, 9], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("code", [1, 2, 4])
@pytest.mark.parametrize("affine", [SHEARED, TURNED])
@pytest.mark.parametrize("step", [None, 2.5, 0.8])
def test_one_grid_in_sform_qform_pixdim_and_units(tmp_path: Path, code: int, affine: np.ndarray, step: float | None) -> None:
    image = Image(np.ones((4, 5, 6, 2), np.float32), affine, (), "", step)
    write_nifti_image(tmp_path / "a.nii.gz", image, code, "")
    written = nibabel.load(tmp_path / "a.nii.gz")
    header = written.header
    assert header["sform_code"] == code
    assert header["qform_code"] == (code if affine is TURNED else 0)  # which holds no shear
    np.testing.assert_allclose(header.get_zooms()[:3], np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-6)
    assert header.get_zooms()[3] == np.float32(step or 0)
    assert header.get_xyzt_units() == ("mm", "sec" if step else "unknown")
    np.testing.assert_allclose(written.get_sform(), affine)
    if affine is TURNED:
        np.testing.assert_allclose(written.get_qform(), affine, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_values_at_any_scale(tmp_path: Path, scale: float) -> None:
    volume = (np.random.default_rng(0).random(SHAPE) * scale).astype(np.float32)
    write_nifti(tmp_path / "a.nii", volume, VOXEL, "", "")
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "a.nii").dataobj).transpose(2, 1, 0), volume)


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, landmark((1, 2, 3)), VOXEL, "AX", "same")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_nifti(tmp_path / "none" / "a.nii.gz", landmark((0, 0, 0)), VOXEL, "AX", "")


@pytest.mark.skipif(shutil.which("nifti_tool") is None, reason="nifti_tool is not installed")
@pytest.mark.parametrize("acquisition", ["AXT1", "CORPD", "SAGPD"])
def test_nifti_tool_accepts_it(tmp_path: Path, acquisition: str) -> None:
    path = tmp_path / "a.nii.gz"
    write_nifti(path, landmark((0, 0, 0)), VOXEL, acquisition, "check")
    command = ["nifti_tool", "-check_hdr", "-check_nim", "-infiles", str(path)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0 and (said.stdout + said.stderr).count("IS GOOD") == 2
