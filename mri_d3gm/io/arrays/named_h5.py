"""Reader of HDF5 whose k-space has another name, shape or type than fastMRI's; axes in numpy's order."""

from pathlib import Path

import h5py

from mri_d3gm.io.arrays.array_names import may_be_kspace, scan_of_arrays
from mri_d3gm.io.arrays.hdf5 import held, opened, stored_datasets
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan


def is_named_h5(path: Path) -> bool:
    """Whether a file is HDF5 without fastMRI's header or kspace, with an array that may be k-space."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with opened(path) as file:
        kspace = held(file, "kspace")
        usual = kspace is not None and kspace.dtype.kind == "c" and kspace.ndim in (3, 4)
        if usual or held(file, "ismrmrd_header") is not None:
            return False
        return any(may_be_kspace(name, array) for name, array in stored_datasets(path).items())


def read_named_h5(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file; InputError for what cannot be used."""
    with reading(path):
        return scan_of_arrays(path, stored_datasets(path), how, "C")
