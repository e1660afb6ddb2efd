"""DICOM of raw data: each volume's echo time, the thickness of slices, numbers of series, and slices that are shifted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from raw_files import write_ismrmrd
from raw_objects import FLAT, OBJECT, SOLID, edited, readouts_of

from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.runs.names import volume_names
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct_file

STEP = 6.0  # mm between slices of 4 mm
PLAIN: dict[str, Any] = {"method": "zero-filled", "accel": 1, "device": "cpu", "dicom": "classic"}
STACK = replace(FLAT, slices=(0.0, STEP))


def made(path: Path, **options: Any) -> tuple[dict[str, list[pydicom.Dataset]], dict[str, Any]]:
    """The objects of each folder `recon`, by its part, and the record."""
    names = volume_names(path, path.parent / "out", "recon")
    record, _ = reconstruct_file(path, Recon(**PLAIN | options), names)
    folders = sorted((path.parent / "out").rglob("recon"))
    return {str(one): [pydicom.dcmread(file) for file in sorted(one.iterdir())] for one in folders}, record


def echoes(folder: Path, times: str, **counts: int) -> Path:
    path = write_ismrmrd(folder / "a.h5", OBJECT, replace(STACK, counts={"contrast": 3, **counts}))
    return edited(path, b"<TE>2.0</TE>", "".join(f"<TE>{time}</TE>" for time in times.split()).encode())


def time_of(item: pydicom.Dataset) -> Any:
    return None if item.EchoTime is None else float(item.EchoTime)


@pytest.mark.parametrize(("times", "known"), [("2.5 7 12.25", [2.5, 7, 12.25]), ("2.5", [2.5, None, None])])
def test_each_echo_of_a_series_says_its_own_echo_time(times: str, known: list[Any], tmp_path: Path) -> None:
    found, _ = made(echoes(tmp_path, times))
    ((folder, items),) = found.items()
    assert [time_of(item) for item in items] == [time for time in known for _ in STACK.slices]
    assert [item.AcquisitionNumber for item in items] == [1, 1, 2, 2, 3, 3]
    assert not any(name.startswith("Temporal") for item in items for name in item.dir())
    assert read_dicom(folder).array.shape[2:] == (2, 3)


def test_the_frames_that_are_chosen_keep_their_echo_times(tmp_path: Path) -> None:
    found, _ = made(echoes(tmp_path, "2.5 7 12.25"), frames="1:3")
    assert [time_of(item) for items in found.values() for item in items] == [7, 7, 12.25, 12.25]


def test_echoes_that_are_parts_have_times_and_series_of_their_own(tmp_path: Path) -> None:
    found, record = made(echoes(tmp_path, "2.5 7 12.25", repetition=2), method="pocs", sibling="zero-filled")
    assert record["Parts"] == ["echo-1", "echo-2", "echo-3"] and len(found) == 3
    for items, time in zip(found.values(), (2.5, 7, 12.25), strict=True):
        assert {time_of(item) for item in items} == {time} and len(items) == 4
        assert {item.NumberOfTemporalPositions for item in items} == {2}
    every = [pydicom.dcmread(file) for file in sorted((tmp_path / "out").rglob("*.dcm"))]
    numbers = {(item.SeriesNumber, item.SeriesInstanceUID) for item in every}
    assert len(numbers) == len({number for number, _ in numbers}) == 6


@pytest.mark.parametrize(("stride", "step"), [("::1", 0.2), ("::2", 0.4)])
def test_frames_that_are_left_out_lengthen_the_time_step(stride: str, step: float, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, counts={"repetition": 4}, vendor="SIEMENS"))
    with readouts_of(path) as data:
        data["head"]["acquisition_time_stamp"] = 400 + 80 * data["head"]["idx"]["repetition"]
    found, _ = made(path, frames=stride)
    steps = [float(item.TemporalResolution) for items in found.values() for item in items]
    assert steps == pytest.approx([1000 * step] * len(steps))
    (nifti,) = (tmp_path / "out").glob("*.nii.gz")
    assert nibabel.load(nifti).header.get_zooms()[3] == pytest.approx(step)


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_slices_are_as_thick_as_they_were_measured(kind: str, tmp_path: Path) -> None:
    found, _ = made(write_ismrmrd(tmp_path / "a.h5", OBJECT, STACK), dicom=kind)
    for item in (item for items in found.values() for item in items):
        one = item if kind == "classic" else item.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert (float(one.SliceThickness), float(one.SpacingBetweenSlices)) == (4.0, STEP)


@pytest.mark.parametrize(("old", "new"), [(b"<z>1</z>", b"<z>2</z>"), (b"<z>4.0</z>", b"<z>40.0</z>")])
def test_a_thickness_that_is_none_of_slices_is_not_said(old: bytes, new: bytes, tmp_path: Path) -> None:
    """As where the header holds the number of slices, or the extent of all."""
    found, _ = made(edited(write_ismrmrd(tmp_path / "a.h5", OBJECT, STACK), old, new))
    assert {float(item.SliceThickness) for items in found.values() for item in items} == {STEP}


def test_slices_of_a_slab_are_as_thick_as_they_are_apart(tmp_path: Path) -> None:
    found, _ = made(write_ismrmrd(tmp_path / "a.h5", OBJECT, SOLID))
    assert {float(item.SliceThickness) for items in found.values() for item in items} == {SOLID.voxel[0]}


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_slices_that_are_shifted_in_plane_are_said(shift: float, tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(FLAT, slices=(0.0, STEP, 2 * STEP)))
    with readouts_of(path) as data:
        data["head"]["position"][:, 1] += shift * data["head"]["idx"]["slice"]
    found, record = made(path)
    assert any("shifted in plane" in word for word in record["Warnings"]) == (shift > 0)
    (nifti,) = (tmp_path / "out").glob("*.nii.gz")
    image = nibabel.load(nifti)
    assert image.get_qform(coded=True)[1] == (0 if shift else 1) and image.get_sform(coded=True)[1] == 1
    positions = [np.array(item.ImagePositionPatient, float) for items in found.values() for item in items]
    assert np.allclose(np.diff(positions, axis=0), [0, shift, STEP])
