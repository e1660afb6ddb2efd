"""Which pictures files, folders and globs stand for."""

from pathlib import Path

import pytest

from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import picture_files


def test_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.tiff", "d.txt", ".hidden.png", "inner/e.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = f"{tmp_path}/"
    assert picture_files([root + "d.txt"]) == [root + "d.txt"]
    assert picture_files([str(tmp_path)]) == [root + name for name in ("a.JPG", "b.png", "c.tiff")]
    assert picture_files([root + "*.png", str(tmp_path)]) == [root + name for name in ("b.png", "a.JPG", "c.tiff")]
    assert picture_files([root + "**/*.webp"]) == [root + "inner/e.webp"]


@pytest.mark.parametrize("pattern", ["*.gif", "empty", "none/*.png"])
def test_patterns_without_pictures(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no such picture"):
        picture_files([f"{tmp_path}/{pattern}"])


def test_a_missing_file_is_kept_to_be_reported(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    names = [f"{tmp_path}/{name}" for name in ("none.png", "a.png", "none")]
    assert picture_files(names) == names


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch) -> None:
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        picture_files([str(tmp_path)])
