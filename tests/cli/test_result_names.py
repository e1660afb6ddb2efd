"""Names of results: of inputs that would share one, and where a link leads nowhere."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from photographs import photograph
from scans import phantom

from mri_d3gm.errors import InputError
from mri_d3gm.runs.names import check_writable, make_folder
from mri_d3gm.tasks import sr

VOLUME = nibabel.Nifti1Image(300 * phantom(3, 16, 20).transpose(1, 2, 0), np.eye(4))


def written(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*.*") if file.is_file() and file.suffix in (".gz", ".png")}


@pytest.mark.parametrize(
    "names",
    [("X.nii", "X.nii.gz"), ("one.nii.gz/X.nii.gz", "two.h5/X.nii.gz"), ("a.json/X.nii", "a.json/X.nii.gz", "b.png/X.nii")],
)
def test_results_of_one_name_lie_apart_whatever_endings_their_folders_have(names: tuple[str, ...], mri, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nibabel.save(VOLUME, tmp_path / name)
    inputs = [tmp_path / name for name in names]
    code, _, error = mri("sr", *inputs, "-o", tmp_path / "o", "--method", "cubic", "--scale", 2)
    assert code == 0, error
    assert len([name for name in written(tmp_path / "o") if name.endswith("X_sr.nii.gz")]) == len(names)


def test_pictures_too(mri, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).mkdir()
        photograph(tmp_path / name / "X.png")
    inputs = [tmp_path / name / "X.png" for name in ("one.png", "two.png")]
    code, _, error = mri("restore", *inputs, "-o", tmp_path / "o", "--task", "derain", "--method", "median")
    assert code == 0, error
    assert written(tmp_path / "o") == {"one.png/X.png", "two.png/X.png"}


@pytest.mark.parametrize("below", ["", "further"])
def test_a_link_to_nowhere_is_called_so(below: str, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    folder = tmp_path / "out" / below
    for refuse in (lambda: make_folder(folder / "a.csv"), lambda: check_writable(sr.names_of("a.nii.gz", folder))):
        with pytest.raises(InputError, match="out: is a link to nowhere"):
            refuse()
