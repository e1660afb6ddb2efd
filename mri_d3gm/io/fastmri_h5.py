"""Reader of fastMRI-layout HDF5: kspace (slices[, coils], rows, cols), rows the readout; lazy, slice by slice."""

from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.hdf5 import dataset, opened, text_attribute, values
from mri_d3gm.io.header import encoded_columns, fit_axis, parse_header
from mri_d3gm.io.named_h5 import read_named_h5
from mri_d3gm.io.nifti import affine_of
from mri_d3gm.io.sampling import Sampling, lines_of, outside_is_sampled, sampling_of_images
from mri_d3gm.io.scan import PLAIN, Limits, Reading, Scan, remove_oversampling

REFERENCES = ("reconstruction_rss", "reconstruction_esc")


def is_fastmri(path: Path) -> bool:
    """Whether a file is HDF5 with a dataset kspace."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with opened(path) as file:
        return file.get("kspace", getlink=True) is not None  # without following a link


def read_fastmri(path: Path, how: Reading = PLAIN) -> Scan:
    """Check a file and describe it; InputError for what cannot be used. One whose k-space is named, or its axes, is read so."""
    if how.key is not None or how.axes is not None:
        return read_named_h5(path, how)
    name = str(path)
    with opened(path) as file:
        kspace = _kspace(file, name)
        rows, cols = kspace.shape[-2:]
        kept, recon, voxel, limits, warnings = _geometry(file, rows, cols, how)
        first = _first_signal(kspace, name)
        if limits is not None and outside_is_sampled(first, limits):
            limits = None
        sampling = _given(file, name, kspace.shape, limits)
        if sampling is None:
            sampling = sampling_of_images(map(_pattern, kspace), limits) or Sampling(None, limits)
            if sampling.limits is not None and sampling.limits != limits:
                start, end = sampling.limits
                warnings.append(f"columns outside {start} to {end - 1} are empty and count as not encoded")
        masks = sampling.masks
        if kept != rows and any(one is not None and one.shape[0] > 1 for one in (sampling.mask, *(masks or ()))):
            raise InputError(f"{name}: its mask has rows, so readout oversampling cannot be removed; use --no-crop")
        acquisition = text_attribute(file, "acquisition")
        coils, own = kspace.shape[1] if kspace.ndim == 4 else 1, _reference(file, (kspace.shape[0], *recon))
        shape = (kspace.shape[0], *recon)
    return Scan(
        name=name,
        slices=shape[0],
        coils=coils,
        rows=kept,
        cols=cols,
        recon_shape=recon,
        mask=sampling.mask,
        limits=sampling.limits,
        voxel_mm=voxel,
        affine=affine_of(shape, voxel, acquisition),
        oversampled=kept != rows,
        warnings=tuple(warnings),
        files=(Path(path),),
        read=lambda index: _read_slice(path, index, coils, kept),
        read_reference=None if own is None else lambda index: _read_own(path, own, index),
        masks=None if masks is None else masks.__getitem__,
    )


def _kspace(file: h5py.File, name: str) -> h5py.Dataset:
    kspace = dataset(file, "kspace")
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
    file: h5py.File, rows: int, cols: int, how: Reading
) -> tuple[int, tuple[int, int], tuple[float, float, float], Limits, list[str]]:
    """Rows kept, shape of the image, voxel size, encoded columns, warnings: what the header says of rows x cols."""
    xml = dataset(file, "ismrmrd_header")
    try:
        if xml is None:
            raise ValueError("there is none")
        header = parse_header(np.ravel(values(xml, 0 if xml.ndim else None))[0])
    except (ValueError, TypeError, IndexError) as error:
        size = "unknown and set to 1 mm" if how.voxel_mm is None else "as --voxel says"
        text = f"ismrmrd_header cannot be used ({str(error)[:100]}): voxel size is {size}, nothing is cropped"
        return rows, (rows, cols), how.voxel_mm or (1.0, 1.0, 1.0), None, [text]
    encoded, recon = header.encoded, header.recon
    sizes = [
        fit_axis(size, (encoded.matrix[axis], encoded.fov[axis]), (recon.matrix[axis], recon.fov[axis]))
        for axis, size in enumerate((rows, cols))
    ]
    voxel = (sizes[0][0], sizes[1][0], recon.fov[2] / recon.matrix[2])
    limits = encoded_columns(header.lines, cols)
    kept = sizes[0][1] if how.crop else rows
    return kept, (kept, sizes[1][1] if how.crop else cols), voxel, limits, []


def _first_signal(kspace: h5py.Dataset, name: str) -> np.ndarray:
    """The middle slice, (..., rows, cols), or the first that is not zero."""
    for index in (len(kspace) // 2, *range(len(kspace))):
        data = values(kspace, index)
        if np.any(data):
            _check_finite(data, name, index)
            return data
    raise InputError(f"{name}: kspace is all zeros")


def _check_finite(data: np.ndarray, name: str, index: int) -> None:
    if not np.isfinite(data).all():
        raise InputError(f"{name}: kspace of slice {index} holds NaN or Inf")


def _pattern(data: np.ndarray) -> np.ndarray:
    """Where some coil of k-space ([coils,] rows, cols) has a sample, bool (rows, cols)."""
    return (data != 0).reshape(-1, *data.shape[-2:]).any(0)


def _given(file: h5py.File, name: str, shape: tuple[int, ...], limits: Limits) -> Sampling | None:
    """What the file's mask says, of all slices or slice by slice; None where it measures all that was encoded."""
    slices, (rows, cols) = shape[0], shape[-2:]
    mask = _mask(file, name, slices, rows, cols)
    if mask is None or np.broadcast_to(mask, (len(mask), rows, cols))[..., slice(*(limits or (None,)))].all():
        return None
    return Sampling(lines_of(np.asarray(mask.any(0))), limits, None if len(mask) == 1 else [lines_of(one) for one in mask])


def _mask(file: h5py.File, name: str, slices: int, rows: int, cols: int) -> np.ndarray | None:
    """The file's mask as bool (slices | 1, rows | 1, cols | 1), None where there is none."""
    stored = dataset(file, "mask")
    if stored is None:
        return None
    shape = stored.shape or ()
    if stored.dtype.kind not in "biuf":
        raise InputError(f"{name}: mask is {stored.dtype}; booleans or numbers are needed")
    if shape != (rows, 1):
        shape = tuple(size for size in shape if size != 1)
    fitting = {(cols,): (1, 1, cols), (rows, cols): (1, rows, cols), (rows, 1): (1, rows, 1)}
    fitting = {(slices, cols): (slices, 1, cols), (slices, rows, cols): (slices, rows, cols)} | fitting
    if shape not in fitting:
        raise InputError(f"{name}: mask has shape {stored.shape}, but kspace has {rows} rows and {cols} columns")
    numbers = values(stored).reshape(fitting[shape])
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: mask holds NaN or Inf; booleans or numbers are needed")
    if not numbers.any((1, 2)).all():
        raise InputError(f"{name}: mask measures nothing")
    return np.asarray(numbers != 0)


def _reference(file: h5py.File, shape: tuple[int, ...]) -> str | None:
    """Name of the first real-valued reconstruction of the given shape."""
    for name in REFERENCES:
        own = dataset(file, name)
        if own is not None and own.shape == shape and own.dtype.kind in "fiu":
            return name
    return None


def _read_slice(path: Path, index: int, coils: int, rows: int) -> np.ndarray:
    """K-space of one slice, (coils, rows, cols) complex64, readout oversampling removed; InputError for NaN or Inf."""
    with opened(path) as file:
        data = values(_kspace(file, str(path)), index)
    with np.errstate(over="ignore"):
        data = data.astype(np.complex64).reshape(coils, *data.shape[-2:])
    _check_finite(data, str(path), index)
    return np.ascontiguousarray(data if data.shape[-2] == rows else remove_oversampling(data, rows))


def _read_own(path: Path, name: str, index: int) -> np.ndarray:
    """One slice of the file's own reconstruction, float32."""
    with opened(path) as file:
        own = np.asarray(file[name][index], np.float32)
    if not np.isfinite(own).all():
        raise InputError(f"{path}: {name} of slice {index} holds NaN or Inf")
    return own
