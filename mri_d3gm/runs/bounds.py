"""The bounds that were measured for the weights of a run."""

import json
from pathlib import Path

from mri_d3gm.metrics.bound import Bound
from mri_d3gm.networks.files import weights_files
from mri_d3gm.runs.record import files_hash, weights_file
from mri_d3gm.settings import Recon

SAMPLING = ("method", "steps", "samples", "solver", "tau", "trust")  # options that the spread of draws depends on


def bounds_of(settings: Recon, coils: int) -> dict[str, Bound]:
    """By `slice` and `scan`, of X-bound.json beside the weights X.safetensors; scans of one coil have bounds of their own.

    Empty where there is none, where it is that of other weights, or where other options than the defaults decide the draws.
    """
    files, usual = weights_files(weights_file(settings)), Recon()
    file = Path(files[0]).with_name(f"{files[0].stem}-bound.json")
    if any(getattr(settings, name) != getattr(usual, name) for name in SAMPLING) or not file.is_file():
        return {}
    record = json.loads(file.read_text())
    if record["weights"] != [files_hash([each]) for each in files]:
        return {}
    return {name: Bound(**bound) for name, bound in record["one" if coils == 1 else "several"].items()}
