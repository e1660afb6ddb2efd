"""A path read again gives the file that lies there now."""

import os
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import slices, stack, write_series
from PIL import Image

from mri_d3gm.errors import InputError
from mri_d3gm.transforms import LoadPictured, LoadSliced
from mri_d3gm.transforms.pictures import cached_picture
from mri_d3gm.transforms.resolution import cached_volume


def nifti(path: Path, value: int) -> None:
    nibabel.save(nibabel.Nifti1Image(np.full((8, 8, 2), value, np.int16), np.eye(4)), path)


def nrrd(path: Path, value: int) -> None:
    pytest.importorskip("nrrd").write(str(path), np.full((8, 8, 2), value, np.int16), detached_header=path.suffix == ".nhdr")


def dicom(path: Path, value: int) -> None:
    write_series(path, slices(data=np.full_like(stack(), value)))


def png(path: Path, value: int) -> None:
    Image.new("RGB", (16, 16), (value,) * 3).save(path)


CASES: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "nifti": ("a.nii.gz", nifti), "nrrd": ("a.nrrd", nrrd), "detached": ("a.nhdr", nrrd), "dicom": ("d", dicom),
}  # fmt: skip


def replaced(path: Path, write: Callable[[Path, int], None], in_place: bool, value: int) -> None:
    """Write again under the same name: into the old file, or a new one of the very same time and size."""
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    times = {file: file.stat().st_mtime_ns for file in files}
    if not in_place:
        for file in files:
            file.rename(path.parent.parent / file.name)  # elsewhere, so that its inode stays taken
    write(path, value)
    for file, time in times.items():
        os.utime(file, ns=(time + in_place * 10**7,) * 2)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("kind", CASES)
def test_a_volume_that_was_replaced(kind: str, in_place: bool, tmp_path: Path) -> None:
    name, write = CASES[kind]
    path = tmp_path / "in" / name
    path.parent.mkdir()
    write(path, 3)
    first = cached_volume(str(path))
    assert cached_volume(str(path)) is first and (first.array == 3).all()
    replaced(path, write, in_place, 5)
    assert (cached_volume(str(path)).array == 5).all()
    assert (LoadSliced()({"path": str(path), "slice": 1})["image"] == 5).all()


def test_a_slice_that_came_to_the_folder(tmp_path: Path) -> None:
    items = slices()
    write_series(tmp_path, items[:4])
    assert cached_volume(str(tmp_path)).array.shape[2] == 4
    write_series(tmp_path, items[4:], name="last.dcm")
    assert cached_volume(str(tmp_path)).array.shape[2] == 5


@pytest.mark.parametrize("in_place", [True, False])
def test_a_picture_that_was_replaced(in_place: bool, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    png(path, 51)
    first = cached_picture(str(path))
    assert cached_picture(str(path)) is first
    replaced(path, png, in_place, 102)
    np.testing.assert_allclose(cached_picture(str(path)).array, 0.4)
    np.testing.assert_allclose(LoadPictured()({"path": str(path)})["image"], 0.4)


def test_a_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz", 3)
    png(tmp_path / "a.png", 51)
    for read, path in ((cached_volume, tmp_path / "a.nii.gz"), (cached_picture, tmp_path / "a.png")):
        read(str(path))
        path.unlink()
        with pytest.raises(InputError):
            read(str(path))
