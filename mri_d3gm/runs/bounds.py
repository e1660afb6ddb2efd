"""The bounds that were measured for the weights of a run."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.metrics.bound import LEAST, Bound
from mri_d3gm.networks.files import weights_files
from mri_d3gm.runs.record import files_hash, weights_file
from mri_d3gm.settings import Recon

SAMPLING = ("method", "steps", "samples", "solver", "tau", "trust")  # options that the spread of draws depends on
SIZES = ((), (len(LEAST) + 1,), (), (len(LEAST),), (len(LEAST),), ())  # of the parts of a bound


def bounds_of(settings: Recon, coils: int) -> dict[str, Bound]:
    """By `slice` and `scan`, of X-bound.json beside the weights X.safetensors; scans of one coil have bounds of their own.

    Empty where there is none, where it is that of other weights, or where other options than the defaults decide the draws.
    InputError for a file that holds something else.
    """
    files, usual = weights_files(weights_file(settings)), Recon()
    file = Path(files[0]).with_name(f"{files[0].stem}-bound.json")
    if any(getattr(settings, name) != getattr(usual, name) for name in SAMPLING) or not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        found = {kind: {name: _bound(record[kind][name]) for name in ("slice", "scan")} for kind in ("one", "several")}
        measured_for = record["weights"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{file}: no bound of weights, or a damaged one; copy it again, or move it away") from error
    return found["one" if coils == 1 else "several"] if measured_for == [files_hash([each]) for each in files] else {}


def _bound(parts: dict[str, Any]) -> Bound:
    """TypeError or ValueError for parts that are not those of a bound."""
    bound = Bound(**parts)
    arrays = [np.array(part) for part in bound]
    if tuple(array.shape for array in arrays) != SIZES or any(array.dtype.kind not in "if" for array in arrays):
        raise ValueError(parts)
    return bound
