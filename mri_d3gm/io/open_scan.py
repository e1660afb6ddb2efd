"""Which reader opens which k-space: files by their content, and arrays."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.bart_cfl import is_cfl, read_cfl
from mri_d3gm.io.arrays.broken_coils import without_broken_coils
from mri_d3gm.io.arrays.calgary_campinas import is_calgary_campinas, read_calgary_campinas
from mri_d3gm.io.arrays.fastmri_h5 import is_fastmri, read_fastmri
from mri_d3gm.io.arrays.matlab import is_matlab, read_matlab
from mri_d3gm.io.arrays.named_arrays import Named, make_scan, stored
from mri_d3gm.io.arrays.named_h5 import is_named_h5, read_named_h5
from mri_d3gm.io.arrays.numpy_arrays import is_numpy, read_numpy
from mri_d3gm.io.image import reading
from mri_d3gm.io.raw.foreign import FOREIGN
from mri_d3gm.io.raw.ismrmrd_raw import is_ismrmrd, read_ismrmrd
from mri_d3gm.io.raw.twix import read_twix
from mri_d3gm.io.raw.twix_file import is_twix
from mri_d3gm.io.scan import PLAIN, Reading, Scan


class ScanReader(NamedTuple):
    """A format: whether a file's content is of it, reading it, the endings by which its files are found in folders, and whether
    its reader leaves out broken coils itself.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path, Reading], Scan]
    endings: tuple[str, ...]
    knows_coils: bool = False


SCAN_READERS = {
    "ISMRMRD": ScanReader(is_ismrmrd, read_ismrmrd, (".h5", ".mrd"), True),
    "BART": ScanReader(is_cfl, read_cfl, (".cfl",)),
    "MATLAB": ScanReader(is_matlab, read_matlab, (".mat",)),
    "NumPy": ScanReader(is_numpy, read_numpy, (".npy", ".npz")),
    "Calgary-Campinas": ScanReader(is_calgary_campinas, read_calgary_campinas, ()),
    "HDF5": ScanReader(is_named_h5, read_named_h5, ()),
    "Siemens twix": ScanReader(is_twix, read_twix, (".dat",), True),
    "fastMRI": ScanReader(is_fastmri, read_fastmri, (".h5", ".hdf5")),
}


def scan_endings() -> tuple[str, ...]:
    """Endings of all formats of scans, each once."""
    return tuple(dict.fromkeys(ending for reader in SCAN_READERS.values() for ending in reader.endings))


def open_scan(path: str | Path, how: Reading = PLAIN) -> Scan:
    """Check and describe a file by the first of SCAN_READERS that knows its content; InputError for what cannot be used.

    Where none does, the last reader with its ending says what is wrong, or fastMRI's.
    """
    target = Path(path)
    if target.is_file():
        with reading(path), target.open("rb"):
            pass
        for reader in SCAN_READERS.values():
            with reading(path):
                if reader.recognises(target):
                    return _read(reader, target, how)
        for known in FOREIGN:
            if known.recognises(target):
                raise InputError(f"{path}: {known.message}")
        for reader in reversed(SCAN_READERS.values()):
            if target.name.lower().endswith(reader.endings):
                with reading(path):
                    return _read(reader, target, how)
    return read_fastmri(target, how)


def _read(reader: ScanReader, path: Path, how: Reading) -> Scan:
    """The scan of a file, guarded and without broken coils."""
    scan = guarded(reader.read(path, how))
    return scan if reader.knows_coils else without_broken_coils(scan)


def guarded(scan: Scan) -> Scan:
    """A scan whose data are read, later, with errors of one line, whatever its reader meets in a damaged file."""

    def told(read: Callable[[int], Any]) -> Callable[[int], Any]:
        def one(index: int) -> Any:
            with reading(scan.name):
                return read(index)

        return one

    late = ("read", "read_reference", "masks", "calibration", "coil_maps")
    found: dict[str, Any] = {name: told(read) for name in late if (read := getattr(scan, name)) is not None}
    return replace(scan, **found, parts={name: guarded(part) for name, part in scan.parts.items()})


def scan_of_array(
    kspace: np.ndarray,
    mask: np.ndarray | None = None,
    noise: np.ndarray | float | None = None,
    voxel_mm: np.ndarray | Sequence[float] = (1.0, 1.0, 1.0),
) -> Scan:
    """The scan of k-space (slices, coils, rows, cols), (slices, rows, cols) of one coil or (rows, cols), complex, rows the
    readout; InputError for other arrays.

    mask: bool or numbers (cols,), (1, cols), (rows, 1) or (rows, cols), what was measured; found from the zeros of each
    slice without.
    noise, voxel_mm: as in `Scan`.
    """
    data = np.asarray(kspace)
    if data.dtype.kind != "c" or data.ndim not in (2, 3, 4) or 0 in data.shape or min(data.shape[-2:]) < 8:
        raise InputError(
            f"kspace: {data.dtype} of shape {data.shape}; complex (slices, coils, rows, cols), (slices, rows, cols) or "
            "(rows, cols) of at least 8 x 8 is needed"
        )
    with np.errstate(over="ignore"):
        data = data.reshape(-1, data.shape[1] if data.ndim == 4 else 1, *data.shape[-2:]).astype(np.complex64)
    if not np.isfinite(data).all():
        raise InputError("kspace: holds NaN, Inf or numbers too large for complex64")
    rows, cols = data.shape[-2:]
    voxel = np.asarray(voxel_mm)
    if voxel.shape != (3,) or voxel.dtype.kind not in "iuf" or not ((voxel > 0) & (voxel < np.inf)).all():
        raise InputError(f"voxel_mm {voxel_mm}: three positive numbers, row, column and slice spacing in mm, are needed")
    first, second, third = (float(size) for size in voxel)
    measured = None
    if mask is not None:
        if (mask := np.asarray(mask)).dtype.kind not in "biuf" or not np.isfinite(mask).all():
            raise InputError(f"mask: {mask.dtype}; booleans or finite numbers are needed")
        mask = np.atleast_2d(mask != 0)
        if mask.shape not in ((1, cols), (rows, 1), (rows, cols)) or not mask.any():
            wanted = f"(cols,), (rows, 1) or {(rows, cols)} is needed"
            raise InputError(f"mask: shape {mask.shape}, {int(mask.sum())} measured; {wanted}")
        measured = Named(stored(mask), ("rows", "cols"))
    named = Named(stored(data), ("slices", "coils", "rows", "cols"))
    scan = make_scan("kspace", named, (first, second, third), mask=measured)
    known = None if noise is None else _checked_noise(np.asarray(noise), data.shape[1])
    return without_broken_coils(replace(scan, noise=known))


def _checked_noise(noise: np.ndarray, coils: int) -> np.ndarray | float:
    """A deviation as a number, or a noise scan; InputError for others."""
    if noise.ndim == 0 and noise.dtype.kind in "iuf" and 0 <= noise < np.inf:
        return float(noise)
    if noise.ndim == 2 and noise.dtype.kind == "c" and len(noise) == coils and noise.size and np.isfinite(noise).all():
        return noise
    raise InputError(
        f"noise: {noise.dtype} of shape {noise.shape}; a deviation, or a complex noise scan ({coils}, samples), is needed"
    )
