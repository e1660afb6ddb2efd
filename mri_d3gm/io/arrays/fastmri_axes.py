"""What the axes of a file's kspace are: slices, coils, rows, cols, unless the header or the data say otherwise."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.hdf5 import dataset, opened, values
from mri_d3gm.io.arrays.named_arrays import as_complex, stored
from mri_d3gm.io.arrays.plausible import SIDE, like_coils, profile, spread
from mri_d3gm.io.raw.header import Encoding, fit_axis
from mri_d3gm.io.scan import fft1c, ifft1c

Finish = Callable[[np.ndarray], np.ndarray]


class Counts(NamedTuple):
    """What the header says: its first encoding, None without a header; how many slices and coils there are, None if unsaid."""

    encoding: Encoding | None
    slices: int | None = None
    coils: int | None = None


class Axes(NamedTuple):
    """How images lie in kspace: how many there are, of how many coils; partitions: whether the first axis is one of k-space;
    take: one of them, (coils, rows, cols), as it is stored; said: what to tell the user.
    """

    images: int
    coils: int
    partitions: bool
    take: Callable[[h5py.Dataset, int], np.ndarray]
    said: tuple[str, ...] = ()


def samples(kspace: h5py.Dataset, index: int | tuple[int | slice, ...] | None = None) -> np.ndarray:
    """All of kspace, or a part of it, as complex numbers, of records of two numbers too."""
    found = as_complex(stored(values(kspace, index)))
    assert found is not None
    return found.read(())


def axes_of(kspace: h5py.Dataset, header: Counts, name: str) -> Axes:
    """Axes of kspace (slices[, coils], rows, cols); coils may come first, and the first axis may be one of k-space."""
    count, coils = kspace.shape[0], kspace.shape[1] if kspace.ndim == 4 else 1
    plain = Axes(count, coils, False, lambda data, index: samples(data, index).reshape(coils, *data.shape[-2:]))
    if count == 1:
        return plain
    gathered = _gathers(kspace, first_signal(kspace, plain, name)[1])
    if header.encoding is not None and header.encoding.partitions not in (None, (0, 0, 0)) and (header.slices or 1) == 1:
        return plain._replace(partitions=True) if gathered < 0.5 else plain
    if gathered < 0.2 and count >= 8:
        doubt = "its slices look like the partitions of a 3-D scan's k-space, of which the header does not tell"
        return plain._replace(said=(doubt,))
    return _coils_first(kspace, header, plain)


def first_signal(kspace: h5py.Dataset, axes: Axes, name: str) -> tuple[int, np.ndarray]:
    """Number and data of the middle image, or of the first that is not zero."""
    for index in (axes.images // 2, *range(axes.images)):
        data = axes.take(kspace, index)
        if np.any(data):
            check_finite(data, name, index)
            return index, data
    raise InputError(f"{name}: kspace is all zeros")


def check_finite(data: np.ndarray, name: str, index: int) -> None:
    """InputError where an image's k-space is not."""
    if not np.isfinite(data).all():
        raise InputError(f"{name}: kspace of slice {index} holds NaN or Inf")


def through_centre(kspace: h5py.Dataset, first: np.ndarray, axis: int) -> np.ndarray:
    """A few lines of every image (of the first axis), along an axis, through the place of most energy of one of them, `first`,
    in its strongest coil: (images, 3, lines).
    """
    coil = int(np.argmax(np.square(np.abs(first), dtype=np.float64).sum((1, 2))))
    peak = int(profile(first[coil], -1 if axis == -2 else -2).argmax())
    near, whole = slice(max(0, peak - 1), peak + 2), slice(None)
    place = (whole, coil) if kspace.ndim == 4 else (whole,)
    lines = samples(kspace, (*place, near, whole) if axis == -1 else (*place, whole, near))
    return lines if axis == -1 else lines.swapaxes(-2, -1)


def _gathers(kspace: h5py.Dataset, first: np.ndarray) -> float:
    """How much energy gathers along the first axis as compared to its Fourier transform: little below 1 means k-space."""
    lines = through_centre(kspace, first, -1)
    lines = lines[lines.any((1, 2))]
    if len(lines) < 2 or not np.isfinite(lines).all():
        return 1.0
    along = (lines / np.abs(lines).max()).transpose(1, 2, 0)
    return spread(along, -1) / spread(fft1c(along, -1), -1)


def _coils_first(kspace: h5py.Dataset, header: Counts, plain: Axes) -> Axes:
    """With coils on the first axis where header and data agree on it, or the data of all four axes alone; told where of three
    axes the header says nothing.
    """
    count, second, known = plain.images, plain.coils, header.coils
    if known == second and second > 1:
        return plain
    centre = [slice(max(0, size // 2 - SIDE // 2), size // 2 + SIDE // 2) for size in kspace.shape[-2:]]
    across = samples(kspace, (slice(None), second // 2, *centre) if kspace.ndim == 4 else (slice(None), *centre))
    if not np.isfinite(across).all() or not like_coils(across):
        return plain
    within = second > 1 and like_coils(samples(kspace, (count // 2, slice(None), *centre)))
    if within or (second == 1 and known not in (None, count)):
        return plain
    if second == 1 and known is None:
        text = f"its {count} slices look like one slice as {count} coils see it; if so, give kspace as (1, {count}, rows, cols)"
        return plain._replace(said=(text,))
    said = (f"the {count} coils come before the slices in kspace: taken so",)
    if kspace.ndim == 3:
        return Axes(1, count, False, lambda data, index: samples(data), said)
    return Axes(second, count, False, lambda data, index: samples(data, (slice(None), index)), said)


def slices_of_partitions(
    path: Path, kspace: h5py.Dataset, encoding: Encoding, first: np.ndarray, finish: Finish, plain: bool
) -> tuple[int, Callable[[int], np.ndarray], list[str]]:
    """Slices of a 3-D scan: how many, reading one, and what to say; InputError where partitions are undersampled.

    finish: from k-space of one coil (slices, rows, cols) as it is stored to what is read. plain: k-space was made by an FFT of
    an image whose origin is its first voxel. The transform along partitions needs them all: slices are made when one is first
    asked for, and held.
    """
    name, count = str(path), kspace.shape[0]
    patterns = [np.any(through_centre(kspace, first, axis), 1) for axis in (-1, -2)]
    filled = np.flatnonzero(np.any(patterns[0], 1))
    alike = all((part[filled] == part[filled[:1]]).all() for part in patterns)
    if not alike or len(filled) != filled[-1] + 1 - filled[0] or len(filled) < count / 2:
        raise InputError(
            f"{name}: partitions (the first axis, kspace_encoding_step_2) are undersampled; transform kspace along the readout "
            "and give its planes as slices: (readout, coils, partitions, lines)"
        )
    said = [f"a 3-D scan: {count} partitions were transformed to slices"]
    if len(filled) < count:
        said.append(f"partitions that are empty count as zeros: {count - len(filled)} of {count}")
    encoded, recon = encoding.encoded, encoding.recon
    _, kept = fit_axis(count, (encoded.matrix[2], encoded.fov[2]), (recon.matrix[2], recon.fov[2]))
    lock, held = Lock(), list[np.ndarray]()

    def read(index: int) -> np.ndarray:
        with lock:
            if not held:
                held.append(_transformed(path, (count - kept) // 2, kept, finish, plain))
        return held[0][index]

    return kept, read, said


def _transformed(path: Path, start: int, kept: int, finish: Finish, plain: bool) -> np.ndarray:
    """All slices, (slices, coils, rows, cols) complex64, made coil by coil."""
    made = []
    with opened(path) as file:
        kspace = dataset(file, "kspace")
        assert kspace is not None
        for coil in range(kspace.shape[1] if kspace.ndim == 4 else 1):
            with np.errstate(over="ignore"):
                data = (samples(kspace, (slice(None), coil)) if kspace.ndim == 4 else samples(kspace)).astype(np.complex64)
            check_finite(data, str(path), 0)
            slices = ifft1c(data, 0)
            made.append(finish((np.fft.ifftshift(slices, 0) if plain else slices)[start : start + kept]))
    return np.stack(made, 1)
