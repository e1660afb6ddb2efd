"""A reader of scans: a line that names the format, a line of JSON with shape and voxel size, and complex64 samples."""

import json
import math
from pathlib import Path

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.named_arrays import Named, Stored, make_scan
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan

MAGIC, LONGEST = b"k-space samples\n", 2000  # bytes of the second line, at most
AXES = ("frames", "slices", "coils", "rows", "cols")  # the last one fastest; rows is the readout


def is_samples(path: Path) -> bool:
    """Whether the content begins with the name of the format."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_samples(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file; InputError for what cannot be used."""
    with reading(path), path.open("rb") as file:
        file.seek(len(MAGIC))
        header = json.loads(file.readline(LONGEST))
        shape = tuple(int(header["shape"][axis]) for axis in AXES)
        row, column, spacing = (float(size) for size in header["voxel_mm"])
        start = file.tell()
    if min(shape) < 1 or path.stat().st_size != start + 8 * math.prod(shape):
        raise InputError(f"{path}: {path.stat().st_size} bytes are not those of {shape} samples; copy the file again")
    array = Stored(shape, np.dtype(np.complex64), lambda index: np.memmap(path, np.complex64, "r", start, shape)[index])
    return make_scan(str(path), Named(array, AXES), (row, column, spacing), files=(path,))
