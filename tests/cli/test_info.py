"""mri-d3gm info: what a file holds, without the libraries that reconstruct."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from dicom_files import save, slices
from photographs import photograph
from scans import four_coils, header, phantom, write_scan

from mri_d3gm.cli.info import lines
from mri_d3gm.tasks.info import axis_codes

LINES = (np.arange(64) % 4 == 0) | (abs(np.arange(64) - 32) < 5)


def test_a_scan_on_one_screen_and_for_programs(tmp_path, mri) -> None:
    path = write_scan(tmp_path / "a.h5", four_coils() * LINES, mask=LINES)
    code, text, _ = mri("info", path, columns=80)
    words = dict(line.split(maxsplit=1) for line in text.splitlines()[1:] if line.strip()[0].isalpha())
    assert code == 0 and len(text.splitlines()) < 40
    assert (words["coils"], words["slices"], words["sampling"], words["format"]) == ("4", "2", "lines", "fastMRI")
    code, text, _ = mri("info", "--json", path)
    facts = json.loads(text)
    assert code == 0 and facts["R"] == round(64 / LINES.sum(), 3) and facts["position known"] is False
    assert facts["voxel (mm)"] == [2.0, 1.5, 4.0]


@pytest.mark.parametrize("name", ["coils", "reconstruction in the file", "a name longer than any that there is"])
def test_names_and_values_stay_apart(name: str) -> None:
    affine = np.eye(4).tolist()
    shown = lines({name: True, "position known": False, "affine": affine, "warnings": ["one"]})
    columns = {re.search(r"  (?=\S+$)", line).end() for line in (shown[0], shown[1], shown[-1])}
    assert len(columns) == 1 and shown[0].split("  ")[1] == name


def test_images_and_what_cannot_be_read(tmp_path, mri) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((5, 6, 7), np.float32), np.diag([-1, 2, 3, 1])), tmp_path / "a.nii")
    (tmp_path / "b.h5").write_bytes(b"nothing")
    code, text, error = mri("info", tmp_path / "a.nii", tmp_path / "b.h5")
    assert code == 1 and "5 x 6 x 7" in text and "LAS" in text and error.count("\n") == 1
    code, text, error = mri("info", tmp_path / "b.h5")
    assert code == 2 and not text and "b.h5" in error and error.count("\n") == 1


def test_it_imports_neither_torch_nor_monai(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5")
    script = f"import sys; sys.argv = ['mri-d3gm', 'info', {str(path)!r}]; from mri_d3gm.cli.main import main\n"
    script += "try:\n    main()\nfinally:\n    assert not {'torch', 'monai'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def facts(mri, *arguments: object) -> dict:
    code, text, error = mri("info", "--json", *arguments)
    assert code == 0 and not error and text.count("\n") == 1
    return json.loads(text)


def test_how_much_was_measured(tmp_path, mri) -> None:
    place = np.arange(64)
    full = facts(mri, write_scan(tmp_path / "a.h5", four_coils()))
    assert full["sampling"] == "full" and "R" not in full and full["reconstruction in the file"] is False
    lines = facts(mri, write_scan(tmp_path / "a.h5", four_coils() * LINES))
    assert (lines["centre lines"], lines["partial Fourier"], lines["mask differs by image"]) == ("9", None, False)
    part = facts(mri, write_scan(tmp_path / "a.h5", four_coils() * (place < 48)))
    assert (part["sampling"], part["partial Fourier"], part["R"]) == ("lines", 0.75, 1.333)
    inside = abs(place - 32) < 20
    xml = header(72, 64, last=39, centre=20)
    padded = facts(mri, write_scan(tmp_path / "a.h5", four_coils() * LINES * inside, xml))
    assert padded["encoded columns"] == "12 to 51" and padded["R"] == round(40 / (LINES & inside).sum(), 3)
    each = np.stack([LINES, np.roll(LINES, 1)])
    several = facts(mri, write_scan(tmp_path / "a.h5", four_coils() * each[:, None, None]))
    assert several["mask differs by image"] is True and several["R"] == pytest.approx(64 / LINES.sum(), abs=1e-3)
    points = np.random.default_rng(0).random((72, 64)) < 0.3
    points[30:42, 28:36] = True
    plane = facts(mri, write_scan(tmp_path / "a.h5", four_coils() * points, mask=points))
    assert plane["sampling"] == "2-D" and [int(size) >= 8 for size in plane["centre lines"].split(" x ")] == [True, True]


def test_what_was_mended_is_said(tmp_path, mri) -> None:
    path = write_scan(tmp_path / "a.h5", np.fft.ifftshift(four_coils(), (-2, -1)))
    assert any("index 0" in text for text in facts(mri, path)["warnings"])
    _, text, _ = mri("info", path, columns=80)
    assert "  warning " in text and "index 0" in text


def test_volumes_pictures_and_series(tmp_path, mri) -> None:
    image = nibabel.Nifti1Image(np.arange(480, dtype=np.float32).reshape(6, 8, 2, 5), np.diag([-1, 2, 3, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    image.set_sform(image.affine, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = facts(mri, tmp_path / "a.nii.gz")
    assert (volume["format"], volume["matrix"], volume["frames"], volume["time step (s)"]) == ("NIfTI-1", "6 x 8 x 2", 5, 2.5)
    assert (volume["axes"], volume["position known"], volume["values"]) == ("LAS", True, [0, 479])
    picture = facts(mri, photograph(tmp_path / "b.png", mode="RGBA"))
    assert (picture["format"], picture["matrix"], picture["colours"], picture["bits"]) == ("PNG", "40 x 56", 3, 8)
    assert picture["alpha"] is True


def test_nothing_of_the_patient_is_shown(tmp_path, mri) -> None:
    series = tmp_path / "series"
    series.mkdir()
    for number, item in enumerate(slices()):
        item.PatientName, item.PatientID, item.PatientBirthDate = "Doe^Jane", "id-4711", "19700101"
        item.Manufacturer, item.StudyDescription, item.ReferringPhysicianName = "maker", "Doe study", "Dr^Who"
        save(item, series / f"{number}.dcm")
    path = write_scan(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["patient_id"] = "id-4711"
    for target in (series, series / "1.dcm", path):
        for options in ([], ["--json"]):
            code, text, error = mri("info", target, *options, columns=80)
            assert code == 0 and not error
            assert not any(word in text for word in ("Doe", "Jane", "4711", "1970", "Who"))
    assert facts(mri, series)["vendor"] == "maker" and facts(mri, series)["format"] == "DICOM"


def test_folders_and_globs_are_their_files(tmp_path, mri) -> None:
    write_scan(tmp_path / "a.h5")
    nibabel.save(nibabel.Nifti1Image(np.ones((5, 6, 7), np.float32), np.eye(4)), tmp_path / "b.nii")
    photograph(tmp_path / "c.jpg")
    (tmp_path / "notes.txt").write_text("none")
    for target in (tmp_path, tmp_path / "[abc].*"):
        code, text, _ = mri("info", "--json", target)
        found = [json.loads(line) for line in text.splitlines()]
        assert code == 0 and [one["format"] for one in found] == ["fastMRI", "NIfTI-1", "JPEG"]
        assert [Path(one["file"]).name for one in found] == ["a.h5", "b.nii", "c.jpg"]
    code, text, error = mri("info", tmp_path / "a.h5", tmp_path / "none.h5", tmp_path / "notes.txt", tmp_path / "c.jpg")
    assert code == 1 and text.count("format") == 2
    assert "none.h5: no such file" in error and "notes.txt" in error and error.count("\n") == 2


@pytest.mark.parametrize("name", ["none.h5", "none.nii", "text.h5", "text.nii", "text.png", "text.txt", "empty", ""])
def test_what_is_none_of_these_is_one_line_and_exit_code_2(name: str, tmp_path, mri) -> None:
    (tmp_path / "empty").mkdir()
    for ending in ("h5", "nii", "png", "txt"):
        (tmp_path / f"text.{ending}").write_text("hello")
    code, text, error = mri("info", tmp_path / name if name else "")
    assert code == 2 and not text and error.count("\n") == 1 and "Traceback" not in error


def test_axis_codes_are_those_of_nibabel() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(random.normal(size=(3, 3)))[0] * random.uniform(0.5, 4, 3)
        assert axis_codes(affine) == "".join(nibabel.aff2axcodes(affine))


def test_it_starts_in_less_than_a_second(tmp_path) -> None:
    """Of the processor's time, and of what the imports of recon take."""
    path = write_scan(tmp_path / "a.h5", phantom(1, 32, 32).astype(np.complex64))
    script = f"import sys; sys.argv = ['mri-d3gm', 'info', {str(path)!r}]; from mri_d3gm.cli.main import main\n"
    script += "try:\n    main()\nexcept SystemExit:\n    import time; print(time.process_time())\n"
    script += "    assert not {'torch', 'monai', 'nibabel', 'scipy', 'pydicom', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert float(done.stdout.splitlines()[-1]) < 1.5
