"""A reader of scans: X.raw with complex64 samples, and X.json with their shape and the size of a voxel."""

import json
import math
from pathlib import Path

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.named_arrays import Named, Stored, make_scan
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan

AXES = ("frames", "slices", "coils", "rows", "cols")  # the last one fastest; rows is the readout


def is_raw(path: Path) -> bool:
    """Whether a file is X.raw of such a pair."""
    return path.suffix == ".raw" and path.with_suffix(".json").is_file()


def read_raw(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a pair of files; InputError for what cannot be used."""
    about = path.with_suffix(".json")
    with reading(about):
        header = json.loads(about.read_text())
        shape = tuple(int(header["shape"][axis]) for axis in AXES)
        row, column, spacing = (float(size) for size in header["voxel_mm"])
    if min(shape) < 1 or path.stat().st_size != 8 * math.prod(shape):
        raise InputError(f"{path}: {path.stat().st_size} bytes are not those of {shape} samples; copy both files again")
    array = Stored(shape, np.dtype(np.complex64), lambda index: np.memmap(path, np.complex64, "r", shape=shape)[index])
    return make_scan(str(path), Named(array, AXES), (row, column, spacing), files=(path, about))
