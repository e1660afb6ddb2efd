import errno
import os
import resource
from pathlib import Path

import pytest

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path


def test_appears_whole_with_usual_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.parent == tmp_path and temporary.name.endswith(".nii.gz")
    usual = tmp_path / "usual"
    usual.touch()
    assert target.read_text() == "new" and sorted(os.listdir(tmp_path)) == ["a.nii.gz", "usual"]
    assert target.stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_old_file(tmp_path: Path, kind: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(kind), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise kind
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_disk_full_is_one_clear_line(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: No space left on device"), atomic_path(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_limit_of_file_size(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(InputError, match="cannot be written"), atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "none" / "a.txt", tmp_path / "file" / "a.txt", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot be written") as error, atomic_path(target) as temporary:
            temporary.write_text("x")
        assert "\n" not in str(error.value) and str(target) in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
