"""Training state on disk: written atomically, read without pickle's power to run code."""

from pathlib import Path
from typing import Any

import torch

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers and strings of `state` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """State written by `save_checkpoint`; InputError where the file is not one."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: not a training checkpoint ({type(error).__name__}); move it away") from error
