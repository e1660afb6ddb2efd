"""Reader of MATLAB's .mat, version 5 to 7.3; axes in MATLAB's order, as size() gives them and `array_names` infers them.

Version 7.3 is HDF5 with reversed axes. CMRxRecon's arrays (kspace_full, kspace_single_sub04 and so on; kx, ky, coils, slices,
frames, without coils in those called single) are known by their names, of https://cmrxrecon.github.io.
"""

import re
from pathlib import Path

import h5py

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.array_names import kspace_of, scan_of_arrays
from mri_d3gm.io.arrays.hdf5 import held, opened, stored_datasets
from mri_d3gm.io.arrays.matlab_v5 import is_v5, stored_variables
from mri_d3gm.io.arrays.named_arrays import Stored
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan

CMRXRECON = r"kspace_(single_)?(full|sub\d+)"


def is_matlab(path: Path) -> bool:
    """Whether a file is of version 5 to 7.3."""
    return path.is_file() and (is_v5(path) or _is_v73(path))


def _is_v73(path: Path) -> bool:
    """HDF5 behind MATLAB's text, or with MATLAB's attribute on a variable."""
    if not h5py.is_hdf5(path):
        return False
    with path.open("rb") as file:
        if file.read(10) == b"MATLAB 7.3":
            return True
    with opened(path) as file:
        return any(item is not None and "MATLAB_class" in item.attrs for item in (held(file, name) for name in file))


def read_matlab(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file; InputError for what cannot be used."""
    with reading(path):
        if is_v5(path):
            return scan_of_arrays(path, stored_variables(path), how, "F")
        if not h5py.is_hdf5(path):
            raise InputError(f"{path}: not a .mat of version 5 to 7.3, or a damaged one; write it again with save -v7.3")
        arrays = {name: reversed_axes(array) for name, array in stored_datasets(path).items()}
        key, array = kspace_of(str(path), arrays, how.key)
        known = re.fullmatch(CMRXRECON, key, re.IGNORECASE)
        if known is None or len(array.shape) > 5:
            return scan_of_arrays(path, arrays, how, "F")
        axes = ("rows", "cols", *(() if known[1] else ("coils",)), "slices", "frames")
        return scan_of_arrays(path, arrays, how, "F", axes[: len(array.shape)], "phase")


def reversed_axes(array: Stored) -> Stored:
    """An array with its axes the other way round; one of references is a cell."""
    packed = "cell" if array.dtype.kind == "O" else ""
    return Stored(array.shape[::-1], array.dtype, lambda index: array.read(index[::-1]).T, packed)
