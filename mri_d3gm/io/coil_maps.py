"""Coil maps that a user gives."""

from pathlib import Path

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.hdf5 import dataset, opened, values
from mri_d3gm.io.scan import Scan


def read_coil_maps(path: str | Path, scan: Scan, index: int) -> np.ndarray:
    """Maps of one slice from the dataset `coil_maps` of an HDF5 file, (coils, rows, cols) or one such set a slice."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file for --coil-maps")
    with opened(path, "HDF5 with a dataset coil_maps") as file:
        maps, exchanged = dataset(file, "coil_maps"), (scan.file_coils, scan.slices)
        if maps is not None and maps.ndim == 4 and maps.shape[:2] == exchanged != exchanged[::-1]:
            raise InputError(f"{path}: coil_maps {maps.shape} have coils before slices; exchange these axes")
        if maps is None or (maps.ndim == 4 and len(maps) <= index):
            raise InputError(f"{path}: no dataset coil_maps for slice {index}; give maps of every slice, or of one for all")
        array = values(maps, index if maps.ndim == 4 else None)
    return np.asarray(array)


def coil_maps_of(scan: Scan, path: str | Path | None, index: int) -> np.ndarray | None:
    """Checked maps of an image: of the file `path`, or else of the scan's own file, or None."""
    if path is not None:
        return checked_coil_maps(read_coil_maps(path, scan, index % scan.slices), scan, str(path))
    return None if scan.coil_maps is None else checked_coil_maps(scan.coil_maps(index), scan, scan.name)


def exchanged_coil_maps(given: np.ndarray | str | Path, scan: Scan, index: int) -> np.ndarray | None:
    """Checked maps that a slice would have if slices and coils of an array or file were exchanged; None where it cannot be.

    given: a file's, or an array that is checked already.
    """
    maps = np.zeros(0)
    if isinstance(given, np.ndarray):
        maps = given[:, index : index + 1] if given.ndim == 4 and scan.coil_matrix is None else maps
    else:
        with opened(given) as file:
            held = dataset(file, "coil_maps")
            if held is not None and held.ndim == 4 and held.shape[1] > index:
                maps = values(held, (slice(None), slice(index, index + 1)))
    if maps.ndim != 4 or not 1 < len(maps) == scan.slices == scan.file_coils:
        return None
    try:
        return checked_coil_maps(maps[:, 0], scan)
    except InputError:
        return None


def checked_coil_maps(maps: np.ndarray, scan: Scan, name: str = "coil_maps") -> np.ndarray:
    """Maps (coils of the file, rows, cols) of a scan's slice as maps of the scan's coils, which may be fewer and whitened,
    complex64 with S^H S = 1 where any coil sees anything.

    InputError for other shapes, for real numbers and for NaN or Inf.
    """
    maps = np.asarray(maps)
    wanted = (scan.file_coils, scan.rows, scan.cols)
    if maps.shape != wanted or not np.iscomplexobj(maps):
        raise InputError(f"{name}: coil_maps must be complex of shape {wanted}, found {maps.dtype} {maps.shape}")
    with np.errstate(all="ignore"):
        maps = maps if scan.coil_matrix is None else np.tensordot(scan.coil_matrix, maps, 1)
        size = np.linalg.norm(maps, axis=0, keepdims=True)
    peak = size.max()
    if not 0 < peak < np.inf:
        raise InputError(f"{name}: coil_maps hold NaN or Inf, or only zeros")
    seen = size > 1e-12 * peak
    return np.where(seen, maps / np.where(seen, size, 1), 0).astype(np.complex64)
