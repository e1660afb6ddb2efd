"""The study that a template gives: whose it is, which space its images share, and templates that are refused."""

from pathlib import Path

import numpy as np
import pytest
from dicom_files import IDENTITY, write_series
from io_files import error_of

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_study import Study, check_same, read_template, shared_space


def test_a_template(tmp_path: Path) -> None:
    study = read_template(write_series(tmp_path / "a", **IDENTITY, PatientPosition="HFS"))
    assert study.attributes["PatientName"] == "ZZMARKED^NAME" and "FrameOfReferenceUID" not in study.attributes
    assert (study.last, study.taken, study.series) == (4, {4}, {"1.2.3"})
    inside = np.array([[-10, 20, 30], [0, 25, 40]])
    assert shared_space(study, inside) == "1.2.3.5" and shared_space(study, inside + 500) == ""
    assert "ZZMARKED" not in study.digest and len(study.digest) == 64
    other = read_template(write_series(tmp_path / "b", **IDENTITY | {"PatientName": "B"}))
    assert other.digest != study.digest
    check_same("a", study, {"PatientID": "7", "PatientPosition": "HFS"})
    check_same("a", study, {"PatientID": "xxxxx"})
    write_series(tmp_path / "a" / "named", **IDENTITY | {"PatientID": "7\0", "PatientName": "ZZMARKED^NAME^^DR"})
    assert read_template(tmp_path / "a").attributes["PatientID"] == "7"
    check_same("a", Study({"PatientID": "ab 1"}), {"PatientID": "AB  1"})
    for own, text in (
        ({"PatientID": "8"}, "another patient"),
        ({"PatientPosition": "FFS"}, "lies HFS in the template and FFS"),
    ):
        with pytest.raises(InputError, match=text):
            check_same("a", study, own)


def test_a_template_of_nobody_serves_who_is_known_in_its_own_study_alone() -> None:
    nobody = Study({"StudyInstanceUID": "1.2", "PatientID": ""})
    check_same("a", nobody, {"PatientID": "8", "StudyInstanceUID": "1.2"})
    check_same("a", nobody, {"StudyInstanceUID": "1.3"})
    with pytest.raises(InputError, match="names no patient and is of another study"):
        check_same("a", nobody, {"PatientID": "8", "StudyInstanceUID": "1.3"})


def test_templates_that_cannot_be(tmp_path: Path) -> None:
    write_series(tmp_path / "two", **IDENTITY)
    write_series(tmp_path / "two" / "b", **IDENTITY | {"PatientID": "8"})
    text = error_of(read_template, tmp_path / "two")
    assert "2 patients" in text and "ZZMARKED" not in text
    write_series(tmp_path / "studies", **IDENTITY)
    write_series(tmp_path / "studies" / "b", **IDENTITY | {"StudyInstanceUID": "1.9"})
    assert "2 studies" in error_of(read_template, tmp_path / "studies")
    assert "name no study" in error_of(read_template, write_series(tmp_path / "none", PatientID="7"))
    (tmp_path / "empty").mkdir()
    assert "holds no MR image" in error_of(read_template, tmp_path / "empty")
    (tmp_path / "text.txt").write_text("no DICOM")
    assert "not a DICOM file" in error_of(read_template, tmp_path / "text.txt")
    assert "No such file" in error_of(read_template, tmp_path / "nowhere")
