"""A folder in which a link leads nowhere: that input is named, the others are done."""

import json
from pathlib import Path

import pytest
from scans import write_scan

PLAIN = ["--method", "zero-filled", "--accel", 4]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a", "c"):
        write_scan(tmp_path / "in" / f"{name}.h5")
    (tmp_path / "in" / "b.h5").symlink_to(tmp_path / "gone.h5")
    return tmp_path / "in"


def test_the_others_of_a_folder_are_done(mri, folder: Path, tmp_path: Path) -> None:
    code, _, error = mri("batch", folder, "-o", tmp_path / "out", *PLAIN)
    assert code == 1 and "2 done, 1 failed, of 3" in error
    assert [line for line in error.splitlines() if "b.h5" in line and "Traceback" not in line]
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {"a_recon.nii.gz", "c_recon.nii.gz"}
    code, text, _ = mri("batch", tmp_path / "out", "--status")
    assert code == 1 and "failed" in text and "b.h5" in text


def test_a_check_names_it(mri, folder: Path, tmp_path: Path) -> None:
    code, text, _ = mri("batch", folder, "-o", tmp_path / "out", "--check")
    assert code == 1 and text.strip().endswith(f"3 inputs, 1 not there: {folder / 'b.h5'}")
    code, text, _ = mri("batch", folder, "-o", tmp_path / "out", "--check", "--json")
    assert code == 1 and json.loads(text) == {"inputs": 3, "missing": [str(folder / "b.h5")]}
