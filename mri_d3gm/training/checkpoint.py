"""A training's folder: whose it is, and the state in it, written atomically and read without pickle's power to run code."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch

from mri_d3gm.errors import InputError, in_a_line
from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.runs.names import Outputs, check_writable, make_folder

SHOWN = 60


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers and strings of `state` to `path`, whole or not at all; InputError where the disk is full."""
    with atomic_path(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # PyTorch's word for it
            raise InputError(f"{path}: cannot be written ({in_a_line(error)}); is the disk full?") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """State written by `save_checkpoint`; InputError where the file is not one."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: not a training checkpoint ({type(error).__name__}); move it away") from error


def resumed(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The state in `folder`, empty for a new run; InputError where it is of a run with other options, or weights lack theirs.

    Options that only one of the two knows, as between versions, are not compared; older checkpoints hold none.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        if (folder / "weights.safetensors").exists():
            raise InputError(f"{folder}: holds weights without checkpoint.pt, of which training is unknown; give another -o")
        return {}
    state = load_checkpoint(path)
    for name, was in state.get("options", {}).items():
        if name in options and options[name] != was:
            now = options[name]
            told = f": {json.dumps(was)} there, {json.dumps(now)} here"
            said = f"{name}{told}" if len(told) < SHOWN else name
            raise InputError(
                f"{folder}: holds another training, which differs in {said}; give another -o, or remove the folder"
            )
    return state


def diverged(folder: Path, step: int, fault: str) -> NoReturn:
    """Raise the InputError of a training in `folder` that cannot go on."""
    kept = (folder / "checkpoint.pt").exists()
    other = " and another -o (the checkpoint from before is kept)" if kept else ""
    raise InputError(f"{folder}: the training diverged by step {step}, {fault}; give a smaller train#trainer#lr{other}")


def check_folder(folder: Path) -> None:
    """InputError where a training could not write its files; nothing is made."""
    check_writable(Outputs(*(folder / name for name in ("weights.safetensors", "checkpoint.pt", "log.csv"))))


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """`folder`, made where it is missing, for this block alone; the system gives it free when the process ends, however.

    InputError where it cannot be written or another training is at work in it. Without locks (Windows, some network drives)
    nobody is kept out.
    """
    check_folder(folder)
    make_folder(folder / "checkpoint.pt")
    try:
        lock = open(folder / ".lock", "a")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}; choose another place") from error
    with lock:
        if os.name == "posix":
            _lock(lock.fileno(), folder)
        yield


def _lock(file: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{folder}: another training is at work here; wait for its end, or give another -o") from error
    except OSError:
        pass
