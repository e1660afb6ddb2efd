"""--dicom on the command line: bare or with a kind, and what it says."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dicom_files import write_series
from scans import write_scan

QUICK = ("--method", "zero-filled", "--accel", "2")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--dicom", "FILE"], 2),
        (["FILE", "--dicom"], 2),
        (["--dicom", "enhanced", "FILE"], 1),
        (["--dicom=classic", "FILE"], 2),
    ],
)
def test_the_kind_may_be_left_out(words: list[str], count: int, mri: Callable[..., Any], tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5")
    given = [path if word == "FILE" else word for word in words]
    code, text, error = mri("recon", "-o", tmp_path / "out", *QUICK, *given)
    assert code == 0 and "over zero-filled" in text and "names no patient" in error
    assert len(list((tmp_path / "out" / "a_recon_dicom" / "recon").iterdir())) == count


def test_bad_words_are_one_line(mri: Callable[..., Any], tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5")
    (tmp_path / "empty").mkdir()
    write_series(tmp_path / "two", PatientID="1", StudyInstanceUID="1.2")
    write_series(tmp_path / "two" / "b", PatientID="ZZMARKED", StudyInstanceUID="1.2")
    cases = [
        (["--dicom=jpeg"], "--dicom jpeg: unknown; one of classic, enhanced"),
        (["--template", tmp_path], "--template: is of the DICOM series; give --dicom too"),
        (["--dicom", "--template", tmp_path / "empty"], "holds no MR image"),
        (["--dicom", "--template", tmp_path / "none"], "No such file"),
        (["--dicom", "--template", path], "not a DICOM file"),
        (["--dicom", "--template", tmp_path / "two"], "images of 2 patients"),
        (["--dicom", "--sibling", "tv"], "--sibling tv: unknown; one of zero-filled, sense"),
    ]
    for words, said in cases:
        code, text, error = mri("recon", path, "-o", tmp_path / "out", *QUICK, *words)
        assert code == 2 and text == "" and said in error and error.count("\n") == 1 and "ZZMARKED" not in error, error
        assert not (tmp_path / "out").exists()


def test_dicom_asked_of_a_finished_run_is_another_option(mri: Callable[..., Any], tmp_path: Path) -> None:
    """A folder that someone took away is a run that did not end."""
    path, out = write_scan(tmp_path / "a.h5"), tmp_path / "out"
    assert mri("recon", path, "-o", out, *QUICK)[0] == 0
    code, _, error = mri("recon", path, "-o", out, *QUICK, "--dicom")
    assert code == 2 and "other options" in error and "did not end" not in error
    assert mri("recon", path, "-o", out, *QUICK, "--dicom", "--overwrite")[0] == 0
    code, _, error = mri("recon", path, "-o", out, *QUICK, "--dicom")
    assert code == 0 and "already done" in error
    shutil.rmtree(out / "a_recon_dicom")
    code, _, error = mri("recon", path, "-o", out, *QUICK, "--dicom")
    assert code == 2 and "did not end" in error
