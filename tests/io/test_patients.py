"""Whose images a DICOM series holds: those of several patients are refused, one who is written in several ways is not."""

from functools import partial
from pathlib import Path

import io_files
import pytest
from dicom_files import slices, write_series

from mri_d3gm.io.dicom import dicom_series as module
from mri_d3gm.io.dicom.read_dicom import read_dicom

error_of = partial(io_files.error_of, read_dicom)


@pytest.mark.parametrize("name", ["PatientID", "PatientName"])
def test_a_series_of_two_patients_is_refused_and_names_none(tmp_path: Path, name: str) -> None:
    items = slices(**{name: "Zaphod^B"})
    setattr(items[2], name, "ZAPHOD^B^")
    read_dicom(write_series(tmp_path / "one", items))
    setattr(items[2], name, "Marvin")
    said = error_of(write_series(tmp_path / "two", items))
    assert "images of 2 patients" in said and "aphod" not in said and "Marvin" not in said
    setattr(items[2], name, "")
    read_dicom(write_series(tmp_path / "unnamed", items))


@pytest.mark.parametrize(
    "name, text, other, same",
    [
        ("PatientName", "DOE^JOHN", "Doe^ John ^^", True),
        ("PatientName", "Yamada^Tarou", "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", True),
        ("PatientName", "=\u5c71\u7530", "=\u592a\u90ce", False),
        ("PatientName", "M\u00fcller^A", "Mu\u0308ller^A", True),
        ("PatientName", "DOE^JOHN", "DOE^JANE", False),
        ("PatientID", "A 1", "a  1\0", True),
        ("PatientID", "A=1", "A=2", False),
    ],
)
def test_one_patient_is_written_in_many_ways(tmp_path: Path, name: str, text: str, other: str, same: bool) -> None:
    items = slices(**{name: text, "SpecificCharacterSet": "ISO_IR 192"})
    setattr(items[2], name, other)
    found = module.find_images(tmp_path, module.Files(write_series(tmp_path / "a", items), None))
    if same:
        assert module.choose_series(tmp_path, found, None) == found and module.repeated(found)[name]
    else:
        assert "2 patients" in error_of(tmp_path / "a")


def test_one_id_may_have_several_names(tmp_path: Path) -> None:
    items = slices(PatientID="7", PatientName="DOE^JOHN")
    items[2].PatientName = "DOE^JOHN^^DR"
    read_dicom(write_series(tmp_path / "one", items))
    items[1].PatientID = ""
    assert "PatientName differs" in error_of(write_series(tmp_path / "two", items))
