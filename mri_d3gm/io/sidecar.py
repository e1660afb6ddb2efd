"""JSON beside a volume that says how it was made."""

import json
import math
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path


def _plain(value: Any) -> Any:
    """Numbers that JSON can hold: numpy scalars to Python's, NaN and Inf to null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_sidecar(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record as indented JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(_plain(record), indent=2) + "\n")


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The record of a sidecar; InputError where the file is not JSON."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a sidecar of mri-d3gm; --overwrite replaces it") from error
