"""Reader of fastMRI-layout HDF5: kspace (slices[, coils], rows, cols), rows the readout; lazy, slice by slice."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.header import encoded_columns, fit_axis, parse_header
from mri_d3gm.io.sampling import Limits, sampling_of

REFERENCES = ("reconstruction_rss", "reconstruction_esc")


@dataclass(frozen=True)
class Scan:
    """What is known of a file before its data are read.

    rows, cols: k-space of a slice after oversampling is removed; recon_shape: of the image that is written.
    mask: bool (1, cols), (rows, 1) or (rows, cols) of an undersampled file, None of a fully sampled one; limits:
    (first, end) columns that the scan encoded, None for all; voxel_mm: (row, column, slice spacing); reference: name
    of the file's own reconstruction of recon_shape, or None; has_noise: whether there is a noise scan.
    """

    path: str
    slices: int
    coils: int
    rows: int
    cols: int
    recon_shape: tuple[int, int]
    mask: np.ndarray | None
    limits: Limits
    voxel_mm: tuple[float, float, float]
    acquisition: str
    oversampled: bool
    reference: str | None
    has_noise: bool
    warnings: tuple[str, ...]


def scan_hash(path: str | Path) -> str:
    """sha256 of the file, hex; InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


@contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if not Path(path).is_file():
        raise InputError(f"{path}: is a folder or device, not a file; fastMRI-layout .h5 is needed")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        text = " ".join(str(error).split())
        if "truncated" in text or "file read failed" in text or "addr overflow" in text:
            raise InputError(f"{path}: the file is truncated; copy or download it again") from error
        if "file signature not found" in text:
            raise InputError(f"{path}: not an HDF5 file; fastMRI-layout .h5 is needed") from error
        raise InputError(f"{path}: cannot be read: {text}") from error


def _dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A dataset of this very file; links elsewhere, external storage and virtual datasets are refused."""
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{file.filename}: {name} is a link to another place; put the data into the file itself")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{file.filename}: {name} is a {type(dataset).__name__.lower()}, not a dataset")
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{file.filename}: {name} is stored in another file; put the data into the file itself")
    return dataset


def open_scan(path: str | Path, crop: bool = True) -> Scan:
    """Check a file and describe it; crop=False keeps readout oversampling. InputError for what cannot be used."""
    name = str(path)
    with _opened(path) as file:
        kspace = _kspace(file, name)
        rows, cols = kspace.shape[-2:]
        kept, recon, voxel, limits, warnings = _geometry(file, rows, cols, crop)
        first = _first_signal(kspace, name)
        mask = _mask(file, name, rows, cols)
        if mask is None or np.broadcast_to(mask, (rows, cols))[:, slice(*(limits or (None,)))].all():
            mask, padded = sampling_of(first, limits)
            if padded not in (None, limits):
                warnings.append(f"columns outside {padded[0]} to {padded[1] - 1} are empty and count as not encoded")
            limits = padded
        if mask is not None and mask.shape[0] > 1 and kept != rows:
            raise InputError(f"{name}: its mask has rows, so readout oversampling cannot be removed; use --no-crop")
        acquisition = file.attrs.get("acquisition", "")
        return Scan(
            path=name,
            slices=kspace.shape[0],
            coils=kspace.shape[1] if kspace.ndim == 4 else 1,
            rows=kept,
            cols=cols,
            recon_shape=recon,
            mask=mask,
            limits=limits,
            voxel_mm=voxel,
            acquisition=acquisition.decode() if isinstance(acquisition, bytes) else str(acquisition),
            oversampled=kept != rows,
            reference=_reference(file, (kspace.shape[0], *recon)),
            has_noise=_dataset(file, "noise") is not None,
            warnings=tuple(warnings),
        )


def _kspace(file: h5py.File, name: str) -> h5py.Dataset:
    kspace = _dataset(file, "kspace")
    if kspace is None:
        raise InputError(f"{name}: no dataset kspace; fastMRI's layout is needed")
    shape = kspace.shape or ()
    if kspace.dtype.kind != "c" or kspace.dtype.itemsize not in (8, 16):
        raise InputError(f"{name}: kspace is {kspace.dtype}; complex64 or complex128 is needed")
    if len(shape) not in (3, 4):
        raise InputError(f"{name}: kspace has shape {shape}; (slices, rows, cols) or (slices, coils, rows, cols) is needed")
    if 0 in shape or min(shape[-2:]) < 8:
        raise InputError(f"{name}: kspace has shape {shape}; at least one slice of 8 x 8 is needed")
    return kspace


def _geometry(
    file: h5py.File, rows: int, cols: int, crop: bool
) -> tuple[int, tuple[int, int], tuple[float, float, float], Limits, list[str]]:
    """Rows kept, shape of the image, voxel size, encoded columns, warnings: what the header says of rows x cols."""
    dataset = _dataset(file, "ismrmrd_header")
    try:
        if dataset is None:
            raise ValueError("there is none")
        header = parse_header(np.ravel(dataset[()])[0])
    except (ValueError, TypeError) as error:
        text = f"ismrmrd_header cannot be used ({error}): voxel size is unknown and set to 1 mm, nothing is cropped"
        return rows, (rows, cols), (1.0, 1.0, 1.0), None, [text]
    encoded, recon = header.encoded, header.recon
    sizes = [
        fit_axis(size, (encoded.matrix[axis], encoded.fov[axis]), (recon.matrix[axis], recon.fov[axis]))
        for axis, size in enumerate((rows, cols))
    ]
    voxel = (sizes[0][0], sizes[1][0], recon.fov[2] / recon.matrix[2])
    limits = encoded_columns(header.limits, cols)
    kept = sizes[0][1] if crop else rows
    return kept, (kept, sizes[1][1] if crop else cols), voxel, limits, []


def _first_signal(kspace: h5py.Dataset, name: str) -> np.ndarray:
    """The middle slice, (..., rows, cols), or the first that is not zero."""
    for index in (len(kspace) // 2, *range(len(kspace))):
        data = kspace[index]
        if np.any(data):
            _check_finite(data, name, index)
            return data
    raise InputError(f"{name}: kspace is all zeros")


def _check_finite(data: np.ndarray, name: str, index: int) -> None:
    if not np.isfinite(data).all():
        raise InputError(f"{name}: kspace of slice {index} holds NaN or Inf")


def _mask(file: h5py.File, name: str, rows: int, cols: int) -> np.ndarray | None:
    """The file's mask as bool (1, cols), (rows, 1) or (rows, cols), None where there is none."""
    dataset = _dataset(file, "mask")
    if dataset is None:
        return None
    shape = dataset.shape or ()
    if dataset.dtype.kind not in "biuf":
        raise InputError(f"{name}: mask is {dataset.dtype}; booleans or numbers are needed")
    if shape != (rows, 1):
        shape = tuple(size for size in shape if size != 1)
    if shape not in ((cols,), (rows, cols), (rows, 1)):
        raise InputError(f"{name}: mask has shape {dataset.shape}, but kspace has {rows} rows and {cols} columns")
    mask = np.atleast_2d(dataset[()].reshape(shape) != 0)
    if not mask.any():
        raise InputError(f"{name}: mask measures nothing")
    if (mask == mask[:1]).all():
        return mask[:1]
    return mask[:, :1] if (mask == mask[:, :1]).all() else mask


def _reference(file: h5py.File, shape: tuple[int, ...]) -> str | None:
    """Name of the first real-valued reconstruction of the given shape."""
    for name in REFERENCES:
        dataset = _dataset(file, name)
        if dataset is not None and dataset.shape == shape and dataset.dtype.kind in "fiu":
            return name
    return None


def _centre(data: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Central part of an axis, where fastMRI's center_crop takes it."""
    start = (data.shape[axis] - size) // 2
    return np.moveaxis(np.moveaxis(data, axis, 0)[start : start + size], 0, axis)


def remove_oversampling(kspace: np.ndarray, rows: int) -> np.ndarray:
    """K-space (..., all rows, cols) of the central `rows` rows of the image: centred orthonormal FFT along rows."""
    image = np.fft.ifft(np.fft.ifftshift(kspace, axes=-2), axis=-2, norm="ortho")
    image = _centre(np.fft.fftshift(image, axes=-2), rows, -2)
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, axes=-2), axis=-2, norm="ortho"), axes=-2)


def read_slice(scan: Scan, index: int) -> np.ndarray:
    """K-space of one slice, (coils, rows, cols) complex64, readout oversampling removed; InputError for NaN or Inf."""
    with _opened(scan.path) as file:
        data = file["kspace"][index]
    with np.errstate(over="ignore"):
        data = data.astype(np.complex64).reshape(scan.coils, *data.shape[-2:])
    _check_finite(data, scan.path, index)
    if data.shape[-2] != scan.rows:
        data = remove_oversampling(data, scan.rows)
    return np.ascontiguousarray(data)


def crop_to_recon(image: np.ndarray, scan: Scan) -> np.ndarray:
    """An image (..., rows, cols) to the header's reconSpace."""
    return _centre(_centre(image, scan.recon_shape[0], -2), scan.recon_shape[1], -1)


def read_reference(scan: Scan, index: int) -> np.ndarray | None:
    """Reference magnitude of one slice, recon_shape float32; None where the file is undersampled.

    The file's own reconstruction where it holds one of that shape, else the root sum of squares of the full k-space.
    """
    if scan.mask is not None:
        return None
    if scan.reference is not None:
        with _opened(scan.path) as file:
            own = np.asarray(file[scan.reference][index], np.float32)
        if not np.isfinite(own).all():
            raise InputError(f"{scan.path}: {scan.reference} of slice {index} holds NaN or Inf")
        return own
    kspace = read_slice(scan, index).astype(np.complex128)
    shifted = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho")
    magnitude = np.linalg.norm(np.fft.fftshift(shifted, axes=(-2, -1)), axis=0)
    return crop_to_recon(magnitude, scan).astype(np.float32)


def read_noise(scan: Scan) -> np.ndarray | None:
    """The file's noise scan as it is stored, (coils, samples) complex, or None."""
    if not scan.has_noise:
        return None
    with _opened(scan.path) as file:
        return np.asarray(file["noise"][()])
