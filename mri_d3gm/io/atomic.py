"""Files and folders that appear whole or not at all."""

import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mri_d3gm.errors import InputError


def _reason(error: OSError) -> str:
    """In one line; a library may have put its own words around the system's, and a traceback behind them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return (str(error).strip().splitlines() or ["unknown"])[0]


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name next to `path`, with its ending, that becomes `path` if the block succeeds.

    The file gets the permissions of any new file, whatever the block's writer sets. Nothing is left behind on any
    exception; what a killed process of this host left in the folder is removed. InputError where the folder cannot be
    written or the disk is full.
    """
    target = Path(path)
    temporary = _temporary(target)
    try:
        temporary.touch(exist_ok=False)
        usual = _permissions(temporary)
        _sweep(target.parent, os.getpid())
        yield temporary
        if _permissions(temporary) != usual:  # safetensors makes its file anew, for its owner alone
            temporary.chmod(usual)
        _kept(temporary)
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {_reason(error)}; choose another place") from error
    finally:
        # where the folder itself cannot be used there is no temporary file either
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all, as `atomic_path` does."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder next to `path` that becomes `path`, where there is none yet, if the block succeeds.

    Nothing is left behind on any exception. InputError where it cannot be written or the disk is full.
    """
    target = Path(path)
    temporary = _temporary(target)
    try:
        temporary.mkdir()
        _sweep(target.parent, os.getpid())
        yield temporary
        temporary.rename(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {_reason(error)}; choose another place") from error
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, or a folder and what it holds; what is not there or cannot be removed stays so."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def set_aside(paths: Iterable[Path]) -> Iterator[None]:
    """Files and folders out of the way of a block that writes them anew: after an exception they come back."""
    aside: dict[Path, Path] = {}
    try:
        for path in filter(Path.exists, paths):
            aside[path] = path.replace(_temporary(path))
        yield
    except BaseException:
        for path, place in aside.items():
            place.replace(path)
        raise
    for place in aside.values():
        remove(place)


def _temporary(path: Path) -> Path:
    """A name of this process next to `path`, with its ending."""
    ending = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix
    return path.with_name(f".writing-{place()}-{os.getpid()}-{secrets.token_hex(6)}{ending}")


def _kept(path: Path) -> None:
    """Wait until a file is on the disk: else a machine that dies may keep the name and lose what it holds."""
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@cache
def place() -> str:
    """Where a process number means one process: the host, and on Linux the namespace, as containers may share a name."""
    name = re.sub("[^A-Za-z0-9]", "_", socket.gethostname())
    with suppress(OSError):
        name += f"_{os.stat('/proc/self/ns/pid').st_ino}"
    return name


@cache
def _sweep(folder: Path, _: int) -> None:
    """Remove temporary files and folders in a folder whose process is gone; once a folder and process."""
    if os.name != "posix":  # elsewhere asking for a process may end it
        return
    for left in folder.glob(f".writing-{place()}-*"):
        number = left.name.removeprefix(f".writing-{place()}-").partition("-")[0]
        if number.isdecimal() and not runs(int(number)):
            remove(left)


def runs(process: int) -> bool:
    """Whether a process of this host is there."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        pass
    return True
