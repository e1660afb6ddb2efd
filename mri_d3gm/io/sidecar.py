"""JSON next to a volume that says how it was made."""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path

VOLUME = re.compile(r"\.nii\.gz$", re.IGNORECASE)
# what a map's or preview's name has and its result's has not; the last two are of BIDS derivatives
ADDED = re.compile(r"(_std|_phase|_preview\.png|_report\.html|_dicom|\.json)$|_phase(?=_desc-)|Std(?=_[0-9A-Za-z]+$)")


def _plain(value: Any) -> Any:
    """What JSON can hold: numpy's scalars and arrays to Python's, paths to text, NaN and Inf to null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_sidecar(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record as indented JSON with sorted keys, whole or not at all; numbers that are not finite are null."""
    text = json.dumps(_plain(record), indent=2, sort_keys=True, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The record of a sidecar; InputError where the file cannot be read or is not one JSON object."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a sidecar of mri-d3gm; --overwrite replaces it") from error
    return record


def is_result(path: str | Path, option: str | None = None) -> bool:
    """Whether a sidecar beside a file says that this software wrote it: a result, or its std map, phase, preview or DICOM.

    option: of results themselves only those of the command that alone has this option.
    """
    folder, name = Path(path).parent, Path(path).name
    stem = VOLUME.sub("", name)
    preview = name.removesuffix(".png") if "_desc-" in name else name
    for owner in {name, stem, preview, ADDED.sub("", stem)}:
        with suppress(InputError):
            record = read_sidecar(folder / f"{owner}.json")
            software, options = record.get("Software"), record.get("Options")
            if isinstance(software, dict) and "mri-d3gm" in software and isinstance(options, dict):
                return option is None or option in options or owner not in (name, stem)
    return False


def without_results(place: str, files: Sequence[str], option: str | None = None) -> list[str]:
    """The files of a folder or a glob that this software did not write, option as in `is_result`; InputError where it wrote
    them all.
    """
    others = [file for file in files if not is_result(file, option)]
    if files and not others:
        raise InputError(f"{place}: holds results of mri-d3gm alone, which are left out; name the files to use them")
    return others
