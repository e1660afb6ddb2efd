"""Reader of Calgary-Campinas' multi-channel .h5: slices along the readout, each of them 2-D k-space of two phase-encode axes.

kspace: float, (slices, rows, cols, 2 coils), real and imaginary part of each coil in turn. The inverse transform along the
readout is done already. The centre of k-space is in the middle of the array, but that of the image is where numpy.fft.ifft2
without shifts has it (https://sites.google.com/view/calgary-campinas-dataset), so the images are shifted by half of the matrix.
"""

from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.io.arrays.hdf5 import dataset, held, opened, stored_datasets
from mri_d3gm.io.arrays.named_arrays import Index, Named, Stored, joined, make_scan
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan


def is_calgary_campinas(path: Path) -> bool:
    """Whether a file is HDF5 with a real-valued kspace of few, evenly many last entries, and more than two."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with opened(path) as file:
        kspace = held(file, "kspace")
        if kspace is None or kspace.ndim != 4 or kspace.dtype.kind != "f":
            return False
        _, rows, cols, channels = kspace.shape
        return channels % 2 == 0 and 2 < channels < min(rows, cols) / 2


def read_calgary_campinas(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file; InputError for what cannot be used."""
    with reading(path):
        with opened(path) as file:
            dataset(file, "kspace")  # of a size that it can have
        array = stored_datasets(path)["kspace"]
        slices, rows, cols, channels = array.shape
        half = _half_a_turn(rows)[:, None, None] * _half_a_turn(cols)[:, None]

        def read(index: Index) -> np.ndarray:
            part = array.read((*index[:3], slice(None)))
            return (joined(part[..., ::2], part[..., 1::2]) * half)[..., index[3]]

        kspace = Stored((slices, rows, cols, channels // 2), np.dtype(np.complex64), read)
        named = Named(kspace, ("slices", "rows", "cols", "coils"))
        facts = {"Array": "kspace", "Layout": "Calgary-Campinas"}
        return make_scan(str(path), named, how.voxel_mm, files=(path,), facts=facts)


def _half_a_turn(size: int) -> np.ndarray:
    """The phase in k-space that shifts an image of `size` entries by size // 2, complex64."""
    return np.exp(2j * np.pi * (np.arange(size) - size // 2) * (size // 2) / size).astype(np.complex64)
