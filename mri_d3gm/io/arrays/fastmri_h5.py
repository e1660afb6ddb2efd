"""Reader of fastMRI-layout HDF5: kspace (slices[, coils], rows, cols), rows the readout; lazy, slice by slice.

K-space that is not what it seems is mended, and said: see `fastmri_axes` and `plausible`.
"""

from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.fastmri_axes import (
    Axes,
    Counts,
    axes_of,
    check_finite,
    first_signal,
    slices_of_partitions,
    through_centre,
)
from mri_d3gm.io.arrays.hdf5 import as_numpy, dataset, opened, text_attribute, values
from mri_d3gm.io.arrays.named_arrays import Stored, as_complex
from mri_d3gm.io.arrays.named_h5 import read_named_h5
from mri_d3gm.io.arrays.plausible import GHOST, Oddities, is_ghosted, mended, mended_mask, oddities_of, turned, units, words
from mri_d3gm.io.given_mask import UNFIT, sampling_by_mask
from mri_d3gm.io.images.nifti import affine_of
from mri_d3gm.io.raw.header import CARTESIAN, counts_of, encoded_columns, encoding_of, facts_of, fit_axis, parse_xml
from mri_d3gm.io.sampling import Sampling, hull, is_of_lines, outside_is_sampled, pattern_of, sampling_of_images
from mri_d3gm.io.scan import PLAIN, Limits, Reading, Scan, checked_voxel, remove_oversampling

REFERENCES = ("reconstruction_rss", "reconstruction_esc")
OTHER_UNITS = 0.06  # by which a reference differs in size from the image that has its units, or is fitted to it, at most


def is_fastmri(path: Path) -> bool:
    """Whether a file is HDF5 with a dataset kspace."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with opened(path) as file:
        link = file.get("kspace", getlink=True)  # without following it
        raw = isinstance(link, h5py.HardLink) and isinstance(file["kspace"], h5py.Group)
        return link is not None and not (raw and {"data", "xml"} <= set(file["kspace"]))


def read_fastmri(path: Path, how: Reading = PLAIN) -> Scan:
    """Check a file and describe it; InputError for what cannot be used. One whose k-space is named, or its axes, is read so."""
    if how.key is not None or how.axes is not None:
        return read_named_h5(path, how)
    name = str(path)
    with opened(path) as file:
        kspace = _kspace(file, name)
        header, facts, said = _header(file, how)
        axes = axes_of(kspace, header, name)
        index, first = first_signal(kspace, axes, name)
        if axes.partitions:
            index = int(np.square(np.abs(through_centre(kspace, first, -1)), dtype=np.float64).sum((1, 2)).argmax())
            first = axes.take(kspace, index)
        found = oddities_of(first)
        rows, cols = kspace.shape[-2:]
        kept, recon, voxel, limits = _geometry(name, header, (rows, cols), how)
        warnings = [*said, *axes.said, *words(found)]
        if is_ghosted(mended(first, found)):
            warnings.append(GHOST)
        sampling, said = _sampling(file, kspace, axes, found, (index, first), limits)
        sampling, more = _without_rows(sampling, name, kept != rows)
        count, read = axes.images, _reader(path, axes, found, kept)
        if axes.partitions and header.encoding is not None:
            finish = partial(_finished, found=found, kept=kept)
            count, read, slices = slices_of_partitions(path, kspace, header.encoding, first, finish, all(found.halves))
            warnings += slices
        acquisition = text_attribute(file, "acquisition")
        own, unused = _reference(file, (count, *recon), sampling.mask is None)
        warnings += unused
        factor = 1.0
        if own is not None and sampling.mask is None and not axes.partitions:
            factor, doubts = _compared(file, own, index, mended(first, found))
            warnings += doubts
    return Scan(
        name=name,
        slices=count,
        coils=axes.coils,
        rows=kept,
        cols=cols,
        recon_shape=recon,
        mask=sampling.mask,
        limits=sampling.limits,
        voxel_mm=voxel,
        affine=affine_of((count, *recon), voxel, acquisition),
        oversampled=kept != rows,
        warnings=(*warnings, *said, *more),
        files=(Path(path),),
        read=read,
        read_reference=None if own is None else lambda index: _read_own(path, own, index, factor),
        masks=None if sampling.masks is None else sampling.masks.__getitem__,
        blank=sampling.blank,
        facts={"format": "fastMRI", **({"acquisition": acquisition} if acquisition else {}), **facts},
    )


def _kspace(file: h5py.File, name: str) -> h5py.Dataset:
    kspace = dataset(file, "kspace")
    if kspace is None:
        raise InputError(f"{name}: no dataset kspace; fastMRI's layout is needed")
    shape = kspace.shape or ()
    numbers = as_complex(Stored(shape, kspace.dtype, kspace.__getitem__), pairs=True)
    if numbers is None or numbers.dtype.itemsize not in (8, 16) or not as_numpy(kspace):
        raise InputError(f"{name}: kspace is {kspace.dtype}; complex64 or complex128 is needed")
    if numbers.shape != shape:
        held = f"kspace is {kspace.dtype} of shape {shape}, pairs of floats"
        raise InputError(f"{name}: {held}; save it complex, or give --key kspace, which reads them without the header")
    if len(shape) not in (3, 4):
        raise InputError(f"{name}: kspace has shape {shape}; (slices, rows, cols) or (slices, coils, rows, cols) is needed")
    if 0 in shape or min(shape[-2:]) < 8:
        raise InputError(f"{name}: kspace has shape {shape}; at least one slice of 8 x 8 is needed")
    return kspace


def _header(file: h5py.File, how: Reading) -> tuple[Counts, dict[str, Any], list[str]]:
    """What the header says, facts of scanner and sequence, and what to say of it."""
    xml = dataset(file, "ismrmrd_header")
    try:
        if xml is None:
            raise ValueError("there is none")
        root = parse_xml(np.ravel(values(xml, 0 if xml.ndim else None))[0])
        encoding = encoding_of(root, 0)
    except (ValueError, TypeError, IndexError) as error:
        size = "unknown and set to 1 mm" if how.voxel_mm is None else "as --voxel says"
        text = f"ismrmrd_header cannot be used ({str(error)[:100]}): voxel size is {size}, nothing is cropped"
        return Counts(None), {}, [text]
    said = []
    if encoding.trajectory not in CARTESIAN:
        said.append(f"the header calls the trajectory {encoding.trajectory}: kspace is taken for Cartesian all the same")
    return Counts(encoding, *counts_of(root)), facts_of(root), said


def _geometry(
    name: str, header: Counts, shape: tuple[int, int], how: Reading
) -> tuple[int, tuple[int, int], tuple[float, float, float], Limits]:
    """Rows kept, shape of the image, voxel size, encoded columns: what the header says of k-space of a shape (rows, cols)."""
    rows, cols = shape
    if header.encoding is None:
        return rows, shape, checked_voxel(name, how.voxel_mm or (1.0, 1.0, 1.0)), None
    encoded, recon = header.encoding.encoded, header.encoding.recon
    sizes = [
        fit_axis(size, (encoded.matrix[axis], encoded.fov[axis]), (recon.matrix[axis], recon.fov[axis]))
        for axis, size in enumerate(shape)
    ]
    voxel = (sizes[0][0], sizes[1][0], recon.fov[2] / recon.matrix[2])
    limits = hull(encoded_columns(header.encoding.lines, cols), cols)
    kept = sizes[0][1] if how.crop else rows
    return kept, (kept, sizes[1][1] if how.crop else cols), voxel, limits


def _sampling(
    file: h5py.File, kspace: h5py.Dataset, axes: Axes, found: Oddities, image: tuple[int, np.ndarray], limits: Limits
) -> tuple[Sampling, list[str]]:
    """What was measured, and what to say of it: by the file's mask, or by the zeros of each image where it has none, or one
    that is full or of other images. image: number and data of one with signal, as it is stored.
    """
    name, shape, (index, first), said = file.filename, kspace.shape[-2:], image, list[str]()
    images = [index] if axes.partitions else range(axes.images)

    def pattern(number: int) -> np.ndarray:
        return pattern_of(mended(axes.take(kspace, number), found))

    if limits is not None and outside_is_sampled(mended(first, found), limits):
        limits = None
    mask = _mask(file, name, axes.images, shape, index, pattern_of(first))
    if mask is not None and found != Oddities():
        mask = mended_mask(mask, found)
    if mask is not None and not np.broadcast_to(mask, (len(mask), *shape))[..., slice(*(limits or (None,)))].all():
        if axes.partitions and not (mask == mask[:1]).all():
            raise InputError(f"{name}: its mask differs from partition to partition: they are undersampled too")
        if len(mask) > 1 or axes.partitions or not _differ(kspace, axes, first):
            known, doubts = sampling_by_mask(name, mask, limits, pattern, images, index)
            if known is not None:
                return known, doubts
        said.append(UNFIT)
    sampling = sampling_of_images(map(pattern, images), limits) or Sampling(None, limits)
    if sampling.limits is not None and sampling.limits != limits:
        start, end = sampling.limits
        said.append(f"columns outside {start} to {end - 1} are empty and count as not encoded")
    return sampling, said


def _differ(kspace: h5py.Dataset, axes: Axes, first: np.ndarray) -> bool:
    """Whether some images measured other columns than others, by a look at a few rows of each."""
    if kspace.shape[0] != axes.images:
        return False
    columns = np.any(through_centre(kspace, first, -1) != 0, 1)
    columns = columns[np.any(columns, 1)]
    return bool((columns != columns[:1]).any())


def _without_rows(sampling: Sampling, name: str, oversampled: bool) -> tuple[Sampling, list[str]]:
    """Sampling of a scan whose readout oversampling is removed, which no mask of rows survives, and what to say of it.

    The rows of a partial echo count as measured; InputError for other masks of rows.
    """
    every = [] if sampling.mask is None else [sampling.mask] if sampling.masks is None else list(sampling.masks)
    of_rows = [one for one in every if one.shape[0] > 1]
    if not of_rows or not oversampled:
        return sampling, []
    for one in of_rows:
        rows = np.flatnonzero(one.any(1))
        if not is_of_lines(one) or not len(one) / 2 <= len(rows) == rows[-1] + 1 - rows[0]:
            raise InputError(f"{name}: its mask has rows, so readout oversampling cannot be removed; use --no-crop")
    lines = np.flatnonzero(np.any([one.any(1) for one in of_rows], 0))
    text = f"rows outside {lines[0]} to {lines[-1]} are empty (partial echo) and count as zeros; --no-crop makes them missing"
    columns = [np.any(one, 0)[None] for one in every]
    union = reduce(np.logical_or, columns)
    if all(one.all() for one in columns):
        return Sampling(None, sampling.limits), [text]
    masks = None if sampling.masks is None else [one | np.zeros_like(union) for one in columns]
    return Sampling(union, sampling.limits, masks, sampling.blank), [text]


def _mask(
    file: h5py.File, name: str, images: int, shape: tuple[int, int], index: int, pattern: np.ndarray
) -> np.ndarray | None:
    """The file's mask as bool (images | 1, rows | 1, cols | 1), None where there is none.

    Where its shape is both (rows, cols) and (images, cols) it is what the pattern (rows, cols) fits that image `index` was
    measured by; (rows, cols) where both or none do.
    """
    stored, (rows, cols) = dataset(file, "mask"), shape
    if stored is None:
        return None
    if stored.dtype.kind not in "biuf":
        raise InputError(f"{name}: mask is {stored.dtype}; booleans or numbers are needed")
    forms = {(cols,): (1, 1, cols), (rows, cols): (1, rows, cols), (rows, 1): (1, rows, 1)}
    each = {(images, cols): (images, 1, cols), (images, rows, cols): (images, rows, cols), (images, rows, 1): (images, rows, 1)}
    given = stored.shape or ()
    short = tuple(size for size in given if size != 1)
    wanted = [form for known in (forms, each) for form in (known.get(given) or known.get(short),) if form is not None]
    if not wanted:
        raise InputError(f"{name}: mask has shape {stored.shape}, but kspace has {rows} rows and {cols} columns")
    numbers = values(stored)
    if not np.isfinite(numbers).all():
        raise InputError(f"{name}: mask holds NaN or Inf; booleans or numbers are needed")
    masks = [(numbers != 0).reshape(form) for form in wanted]
    fitting = [mask for mask in masks if not (pattern & ~mask[index if len(mask) > 1 else 0]).any()]
    mask = (fitting or masks)[0]
    if not mask.any((1, 2)).all():
        raise InputError(f"{name}: mask measures nothing")
    return mask


def _reference(file: h5py.File, shape: tuple[int, ...], full: bool) -> tuple[str | None, list[str]]:
    """Name of the first real-valued reconstruction of the given shape, and what to say of one that is not used. full: whether
    k-space is fully sampled.
    """
    others = []
    for name in REFERENCES:
        own = dataset(file, name)
        if own is not None and own.shape == shape and own.dtype.kind in "fiu":
            return name, [] if full else [f"{name} is not used: k-space is undersampled, and only a full one is scored"]
        if own is not None:
            others.append(f"{name} is {own.dtype} of shape {own.shape}, not real of shape {shape}")
    scored = "scores are against the image of kspace" if full else "k-space is undersampled, and nothing is scored"
    return None, [f"{'; '.join(others)}, and is not used: {scored}"] if others else []


def _compared(file: h5py.File, own: str, index: int, kspace: np.ndarray) -> tuple[float, list[str]]:
    """The factor that puts the file's own reconstruction into the units of its k-space (coils, rows, cols), and what to say
    where the two differ in these, or one lies another way.
    """
    reference = np.asarray(file[own][index], np.float32)
    way = turned(reference, kspace)
    if way is not None:
        return 1.0, [f"{own} is the image of kspace {way}: do not trust scores against it"]
    factor = units(reference, kspace)
    if abs(factor - 1) <= OTHER_UNITS:
        return 1.0, []
    return factor, [f"{own} is in other units than the image of kspace: it is multiplied by {factor:.4g}"]


def _reader(path: Path, axes: Axes, found: Oddities, rows: int) -> Callable[[int], np.ndarray]:
    """What reads an image, (coils, rows, cols) complex64, readout oversampling removed; InputError for NaN or Inf."""

    def read(index: int) -> np.ndarray:
        with opened(path) as file:
            data = axes.take(_kspace(file, str(path)), index)
        with np.errstate(over="ignore"):
            data = data.astype(np.complex64)
        check_finite(data, str(path), index)
        return _finished(data, found, rows)

    return read


def _finished(data: np.ndarray, found: Oddities, kept: int) -> np.ndarray:
    """K-space (..., all rows, cols) as it is stored, mended and without readout oversampling."""
    data = mended(data, found)
    return np.ascontiguousarray(data if data.shape[-2] == kept else remove_oversampling(data, kept), np.complex64)


def _read_own(path: Path, name: str, index: int, factor: float) -> np.ndarray:
    """One slice of the file's own reconstruction, float32, multiplied by a factor."""
    with opened(path) as file:
        own = np.asarray(file[name][index], np.float32) * np.float32(factor)
    if not np.isfinite(own).all():
        raise InputError(f"{path}: {name} of slice {index} holds NaN or Inf")
    return own
