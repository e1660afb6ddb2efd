"""Raw data of other scanners: one line that says which converter makes ISMRMRD of them."""

from pathlib import Path

import h5py
import pytest
from io_files import error_of

from mri_d3gm.io.open_scan import open_scan


@pytest.mark.parametrize("ending", [".raw", ".lab", ".list", ".data", ".RAW"])
def test_philips(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"scan{ending}"
    path.write_bytes(b"# === DATA DESCRIPTION FILE ===\n" * 40)
    assert "philips_to_ismrmrd" in error_of(open_scan, path)


@pytest.mark.parametrize("name", ["P12345.7", "scan.bin"])
def test_ge_p_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\0" * 34 + b"GE_MED_NMR" + b"\0" * 4000)
    assert "ge_to_ismrmrd" in error_of(open_scan, path)


def test_ge_scan_archives(tmp_path: Path) -> None:
    path = tmp_path / "ScanArchive_ABC_20200101_120000000.h5"
    with h5py.File(path, "w") as file:
        file["a"] = 1
    assert "ge_to_ismrmrd" in error_of(open_scan, path)


def test_a_dat_file_that_is_no_twix(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"text " * 4000)
    assert "does not begin like Siemens raw data" in error_of(open_scan, path)
