import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mri_d3gm.errors import InputError
from mri_d3gm.io import atomic
from mri_d3gm.io.atomic import atomic_folder, atomic_path
from mri_d3gm.io.image import make_image
from mri_d3gm.io.preview import write_preview
from mri_d3gm.io.save_image import save_image
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.training.checkpoint import save_checkpoint


def test_appears_whole_with_usual_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.parent == tmp_path and temporary.name.endswith(".nii.gz")
    usual = tmp_path / "usual"
    usual.touch()
    assert target.read_text() == "new" and sorted(os.listdir(tmp_path)) == ["a.nii.gz", "usual"]
    assert target.stat().st_mode == usual.stat().st_mode


def test_what_it_holds_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(file: int) -> None:
        assert os.fstat(file).st_size == 3 and target.read_text() == "old"
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="quota"), atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


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


@pytest.mark.parametrize("place", [atomic_path, atomic_folder])
def test_what_libraries_put_around_the_systems_words_is_left_out(place: Callable[..., Any], tmp_path: Path) -> None:
    """As pydicom does, with the traceback in its text."""
    with pytest.raises(InputError) as found, place(tmp_path / "a"):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OSError(f"With tag got exception: {error}\nTraceback (most recent call last):\n  File") from error
    assert str(found.value) == f"{tmp_path / 'a'}: cannot be written: No space left on device; choose another place"
    assert not any(tmp_path.iterdir())


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


def own_mode(path: Path) -> None:
    """As a writer that makes its file anew for its owner alone."""
    with atomic_path(path) as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)


PRODUCTS: dict[str, Callable[[Path], None]] = {
    "a.nii.gz": lambda path: save_image(path, make_image("a", np.ones((3, 4, 5)), np.eye(4), ()), 1, ""),
    "a.png": lambda path: write_preview(path, {"a": np.ones((8, 8))}, "a"),
    "a.json": lambda path: write_sidecar(path, {}),
    "a.safetensors": lambda path: save_weights(path, Denoiser(options={"blocks": 1, "features": 8}), {"steps": 1}),
    "a.pt": lambda path: save_checkpoint(path, {"a": torch.ones(2)}),
    "a.bin": own_mode,
}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
@pytest.mark.parametrize("name", PRODUCTS)
def test_every_product_has_the_permissions_of_a_new_file(tmp_path: Path, name: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        PRODUCTS[name](tmp_path / name)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


KILLED = """
import os, signal, sys
from mri_d3gm.io.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.nii.gz", "a.json", "a"])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=False)
    assert len(list(tmp_path.glob(".writing-*"))) == 1 and not (tmp_path / name).exists()
    with atomic_path(tmp_path / "b.json") as temporary:
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == ["b.json"]


def test_what_others_are_writing_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    kept = [
        f".writing-{atomic.place()}-{os.getppid()}-0123456789ab.nii.gz",  # a process that runs
        f".writing-{atomic.place()}-{os.getpid()}-0123456789ab.nii.gz",
        f".writing-otherhost_1-{gone.pid}-0123456789ab.nii.gz",
        ".writing-0123456789ab.nii.gz",
        f".writing-{atomic.place()}-x-0123456789ab",
        "a.nii.gz",
    ]
    lost = f".writing-{atomic.place()}-{gone.pid}-0123456789ab.nii.gz"
    for name in (*kept, lost):
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "b.json"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "b.json"])
