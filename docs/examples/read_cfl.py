"""A reader of scans: BART's pairs of files, X.hdr with the sizes and X.cfl with the samples."""

from pathlib import Path

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.nifti import affine_of
from mri_d3gm.io.sampling import sampling_of
from mri_d3gm.io.scan import Scan

MAGIC = b"# Dimensions"
READ, PHASE, COIL, SLICE = 0, 1, 3, 13  # of BART's sixteen axes, the first one fastest in the file


def is_cfl(path: Path) -> bool:
    """Whether a file is X.cfl or X.hdr of such a pair."""
    header = path.with_suffix(".hdr")
    return path.suffix in (".cfl", ".hdr") and header.is_file() and header.read_bytes().startswith(MAGIC)


def read_cfl(path: Path, crop: bool = True) -> Scan:
    """The Cartesian scan of a pair of files; readout oversampling stays, because the header does not tell of it."""
    header, data = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    try:
        sizes = [int(word) for word in header.read_text().splitlines()[1].split()]
        sizes += [1] * (16 - len(sizes))
        array = np.memmap(data, np.complex64, "r", shape=tuple(sizes), order="F")
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a whole pair of .hdr and .cfl ({error}); copy both files again") from error
    others = [axis for axis in range(16) if axis not in (READ, PHASE, COIL, SLICE)]
    if any(sizes[axis] > 1 for axis in others):
        raise InputError(f"{path}: sizes {sizes}; only the axes read, phase, coil and slice may be longer than 1")
    kspace = array.squeeze(tuple(others)).transpose(3, 2, 0, 1)  # slices, coils, rows, cols
    if not np.isfinite(kspace).all() or not kspace.any():
        raise InputError(f"{path}: k-space holds NaN or Inf, or zeros alone")
    mask, limits = sampling_of(next(one for one in kspace if one.any()), None)
    slices, coils, rows, cols = kspace.shape
    return Scan(
        name=str(path),
        slices=slices,
        coils=coils,
        rows=rows,
        cols=cols,
        recon_shape=(rows, cols),
        mask=mask,
        limits=limits,
        voxel_mm=(1.0, 1.0, 1.0),
        affine=affine_of((slices, rows, cols), (1.0, 1.0, 1.0), ""),
        oversampled=False,
        warnings=("the file holds no voxel size: it is set to 1 mm",),
        files=(header, data),
        read=lambda index: np.ascontiguousarray(kspace[index]),
    )
