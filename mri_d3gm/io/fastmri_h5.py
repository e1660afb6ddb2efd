"""Reader of fastMRI-layout HDF5: kspace (slices[, coils], rows, cols), rows the readout; lazy, slice by slice."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.header import Header, parse_header

REFERENCES = ("reconstruction_rss", "reconstruction_esc")


@dataclass(frozen=True)
class Scan:
    """What is known of a file before its data are read.

    rows, cols: k-space of a slice after oversampling is removed; recon_shape: of the image that is written.
    mask: bool (1, cols) or (rows, cols) of an undersampled file, else None; limits: (first, end) columns that the scan
    encoded, None for all; voxel_mm: (row spacing, column spacing, slice spacing).
    """

    path: str
    slices: int
    coils: int
    rows: int
    cols: int
    recon_shape: tuple[int, int]
    mask: np.ndarray | None
    limits: tuple[int, int] | None
    voxel_mm: tuple[float, float, float]
    acquisition: str
    oversampled: bool
    warnings: tuple[str, ...]


def scan_hash(path: str | Path) -> str:
    """sha256 of the file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder, not a file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        text = str(error)
        if "truncated" in text:
            raise InputError(f"{path}: the file is truncated; copy or download it again") from error
        if "file signature not found" in text:
            raise InputError(f"{path}: not an HDF5 file; fastMRI-layout .h5 is needed") from error
        raise InputError(f"{path}: cannot be read: {error.strerror or text}") from error


def _dataset(file: h5py.File, name: str, path: str) -> h5py.Dataset | None:
    """A dataset of this very file; links elsewhere, external storage and virtual datasets are refused."""
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{path}: {name} is a link to another place; put the data into the file itself")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path}: {name} is a group, not a dataset")
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{path}: {name} is stored in another file; put the data into the file itself")
    return dataset


def open_scan(path: str | Path, crop: bool = True) -> Scan:
    """Check a file and describe it; crop=False keeps readout oversampling. InputError for what cannot be used."""
    name = str(path)
    with _opened(path) as file:
        kspace = _dataset(file, "kspace", name)
        if kspace is None:
            raise InputError(f"{name}: no dataset kspace; fastMRI's layout is needed")
        if kspace.dtype not in (np.complex64, np.complex128):
            raise InputError(f"{name}: kspace is {kspace.dtype}, not complex64 or complex128")
        if kspace.ndim not in (3, 4):
            raise InputError(f"{name}: kspace has {kspace.ndim} axes; (slices, rows, cols) or (slices, coils, rows, cols)")
        if 0 in kspace.shape or min(kspace.shape[-2:]) < 8:
            raise InputError(f"{name}: kspace has shape {kspace.shape}; at least one slice of 8 x 8 is needed")
        shape = kspace.shape
        warnings: list[str] = []
        header = _header(file, name)
        if header is None:
            warnings.append("no ismrmrd_header: voxel size is unknown and set to 1 mm")
        first = _first_signal(kspace, name)
        limits = _limits(header, shape[-1])
        mask, limits = _mask(file, name, first, limits)
        geometry = _geometry(header, shape[-2], shape[-1], crop)
        rows, recon, voxel, oversampled = geometry
        if mask is not None and mask.shape[0] > 1 and rows != shape[-2]:
            raise InputError(f"{name}: a 2-D mask and readout oversampling cannot go together; use --no-crop")
        acquisition = file.attrs.get("acquisition", "")
        acquisition = acquisition.decode() if isinstance(acquisition, bytes) else str(acquisition)
    coils = shape[1] if len(shape) == 4 else 1
    return Scan(name, shape[0], coils, rows, shape[-1], recon, mask, limits, voxel, acquisition, oversampled, tuple(warnings))


def _header(file: h5py.File, name: str) -> Header | None:
    dataset = _dataset(file, "ismrmrd_header", name)
    return None if dataset is None else parse_header(dataset[()], name)


def _first_signal(kspace: h5py.Dataset, name: str) -> np.ndarray:
    """The middle slice, (..., rows, cols), or the first that is not zero."""
    order = [len(kspace) // 2, *range(len(kspace))]
    for index in order:
        data = kspace[index]
        if np.any(data):
            return data
    raise InputError(f"{name}: kspace is all zeros")


def _limits(header: Header | None, cols: int) -> tuple[int, int] | None:
    """Columns inside the header's encoding limits, None where they are all."""
    if header is None or header.limits is None:
        return None
    first, last, centre = header.limits
    start = max(0, cols // 2 - centre + first)
    end = min(cols, cols // 2 - centre + last + 1)
    return None if (start, end) == (0, cols) or end - start < 8 else (start, end)


def _mask(
    file: h5py.File, name: str, kspace: np.ndarray, limits: tuple[int, int] | None
) -> tuple[np.ndarray | None, tuple[int, int] | None]:
    """The file's sampling: from its mask, else from its zero columns; empty columns at the edges are limits."""
    rows, cols = kspace.shape[-2:]
    dataset = _dataset(file, "mask", name)
    if dataset is not None:
        mask = np.squeeze(dataset[()]).astype(bool)
        if mask.shape not in ((cols,), (rows, cols)):
            raise InputError(f"{name}: mask has shape {dataset.shape}, kspace has {rows} rows and {cols} columns")
        if not mask.any():
            raise InputError(f"{name}: mask measures nothing")
        return np.atleast_2d(mask), limits
    sampled = np.abs(kspace).reshape(-1, rows, cols).max(0) > 0
    columns = sampled.any(0)
    start, end = limits or (0, cols)
    inside = np.flatnonzero(columns[start:end]) + start
    start, end = int(inside[0]), int(inside[-1]) + 1
    limits = limits if (start, end) == (0, cols) else (start, end)
    if not columns[start:end].all():
        return columns[None], limits
    if sampled[:, start:end].mean() < 0.9:
        return sampled, limits
    return None, limits


def _geometry(
    header: Header | None, rows: int, cols: int, crop: bool
) -> tuple[int, tuple[int, int], tuple[float, float, float], bool]:
    """Rows after oversampling is removed, shape of the image, voxel size, whether oversampling was removed."""
    if header is None:
        return rows, (rows, cols), (1.0, 1.0, 1.0), False
    encoded, recon = header.encoded, header.recon
    spacing = encoded.fov[0] / rows, encoded.fov[1] / cols, recon.fov[2] / recon.matrix[2]
    wanted = round(recon.fov[0] / spacing[0])
    oversampled = crop and wanted < rows
    if not crop:
        return rows, (rows, cols), spacing, False
    kept = wanted if oversampled else rows
    return kept, (min(kept, recon.matrix[0]), min(cols, recon.matrix[1])), spacing, oversampled


def _transform(data: np.ndarray, inverse: bool) -> np.ndarray:
    function = np.fft.ifft if inverse else np.fft.fft
    shifted = function(np.fft.ifftshift(data, axes=-2), axis=-2, norm="ortho")
    return np.fft.fftshift(shifted, axes=-2)


def _centre(data: np.ndarray, size: int, axis: int) -> np.ndarray:
    start = (data.shape[axis] - size) // 2
    return data.take(range(start, start + size), axis=axis)


def read_slice(scan: Scan, index: int) -> np.ndarray:
    """K-space of one slice, (coils, rows, cols) complex64, readout oversampling removed."""
    with _opened(scan.path) as file:
        data = file["kspace"][index]
    if not np.isfinite(data).all():
        raise InputError(f"{scan.path}: kspace of slice {index} holds NaN or Inf")
    data = data.reshape(scan.coils, *data.shape[-2:])
    if data.shape[-2] != scan.rows:
        data = _transform(_centre(_transform(data, inverse=True), scan.rows, -2), inverse=False)
    return np.ascontiguousarray(data, np.complex64)


def crop_to_recon(image: np.ndarray, scan: Scan) -> np.ndarray:
    """An image (rows, cols) to the header's reconSpace."""
    return _centre(_centre(image, scan.recon_shape[0], 0), scan.recon_shape[1], 1)


def read_reference(scan: Scan, index: int) -> np.ndarray | None:
    """Reference magnitude (rows, cols) float32 of a fully sampled slice at k-space size or reconSpace's; else None.

    The file's own reconstruction where it holds one of fitting size, else the root sum of squares of the full k-space.
    """
    if scan.mask is not None:
        return None
    with _opened(scan.path) as file:
        for name in REFERENCES:
            dataset = _dataset(file, name, scan.path)
            if dataset is not None and dataset.shape == (scan.slices, *scan.recon_shape):
                return np.asarray(dataset[index], np.float32)
    kspace = read_slice(scan, index)
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho")
    magnitude = np.linalg.norm(np.fft.fftshift(shifted, axes=(-2, -1)), axis=0)
    return crop_to_recon(magnitude.astype(np.float32), scan)


def read_noise(scan: Scan) -> np.ndarray | None:
    """The file's noise scan (coils, samples), or None."""
    with _opened(scan.path) as file:
        dataset = _dataset(file, "noise", scan.path)
        return None if dataset is None else np.asarray(dataset[()])
