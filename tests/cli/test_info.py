"""mri-d3gm info: what a file holds, without the libraries that reconstruct."""

import json
import subprocess
import sys

import nibabel
import numpy as np
from scans import four_coils, write_scan

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
