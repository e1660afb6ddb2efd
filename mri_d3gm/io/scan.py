"""A scan before its data are read: what every reader of k-space returns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError

Limits = tuple[int, int] | None
VOXEL, APART = (0.01, 100.0), (0.01, 1000.0)  # mm of a voxel's edges in plane, and between slices, that can be


@dataclass(frozen=True)
class Reading:
    """How a file is read, where it leaves a choice.

    crop: remove readout oversampling. key: name of the k-space in a file of several arrays. axes: names of its axes, such as
    "coils,rows,cols", of AXES. voxel_mm: (row, column, slice spacing) where the file holds none. measurement: which of several
    in one file, from 1; the last if None.
    """

    crop: bool = True
    key: str | None = None
    axes: str | None = None
    voxel_mm: tuple[float, float, float] | None = None
    measurement: int | None = None


PLAIN = Reading()
AXES = ("rows", "cols", "slices", "coils", "frames", "other")


@dataclass(frozen=True)
class Scan:
    """Cartesian k-space, image by image.

    name: for messages. Images are numbered frame after frame, and in a frame slice after slice: frame * slices + slice.
    coils, rows, cols: what `read(image)` returns, (coils, rows, cols) complex64, readout oversampling removed; recon_shape:
    (rows, cols) of the image that is written, the central part. mask: bool (1, cols), (rows, 1) or (rows, cols) of an
    undersampled scan, None of a fully sampled one; masks: that of an image where images differ, and mask is what any of them
    measured. limits, row_limits: (first, end) columns and rows that were encoded, None for all. voxel_mm: (row, column, slice
    spacing); affine: from (column, row, slice) of the image to mm (RAS); position_known: whether that is the patient's. files:
    what was read, for hashing. read_reference: the file's own reconstruction of an image, recon_shape float32, or None; noise:
    a noise scan (coils, samples) complex, the deviation of the noise, or None. frame_axis: what frames are (repetition, phase,
    echo); time_step: seconds between them, None where unknown; contrasts: as of `Image`, where frames differ in more than time;
    blank: images of which nothing was measured, as far as the reader knows. calibration: lines that were measured for the coil
    maps alone, as `read` gives them, zero elsewhere; coil_maps: maps that the file holds, (coils of the file, rows, cols) of an
    image. coil_matrix: (coils, coils of the file), what became of these where some are left out or noise whitens them, else
    None. parts: of a file with more axes than frames, a scan for each of the others, by BIDS entities (echo-1); this one is
    the first. number: of an image, which its draws depend on, its place if None; of raw data by the scanner's counters, so
    that it is known before the whole scan is. facts: what the file says of itself, by name, for `info`; study: what it says of
    patient and study, by DICOM's keywords, which stays out of logs, messages and sidecars.
    """

    name: str
    slices: int
    coils: int
    rows: int
    cols: int
    recon_shape: tuple[int, int]
    mask: np.ndarray | None
    limits: Limits
    voxel_mm: tuple[float, float, float]
    affine: np.ndarray
    oversampled: bool
    warnings: tuple[str, ...]
    files: tuple[Path, ...]
    read: Callable[[int], np.ndarray]
    read_reference: Callable[[int], np.ndarray] | None = None
    noise: np.ndarray | float | None = None
    position_known: bool = False
    row_limits: Limits = None
    frames: int = 1
    frame_axis: str = ""
    time_step: float | None = None
    contrasts: tuple[Mapping[str, Any], ...] = ()
    blank: frozenset[int] = frozenset()
    masks: Callable[[int], np.ndarray] | None = None
    calibration: Callable[[int], np.ndarray] | None = None
    coil_maps: Callable[[int], np.ndarray] | None = None
    coil_matrix: np.ndarray | None = None
    number: Callable[[int], int] | None = None
    parts: Mapping[str, "Scan"] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def file_coils(self) -> int:
        """Coils of the file, those that are left out among them."""
        return self.coils if self.coil_matrix is None else self.coil_matrix.shape[1]

    def own_masks(self, images: Iterable[int] | None = None) -> list[np.ndarray]:
        """Masks of some of its images, of all by default; one where they do not differ, none of a fully sampled scan. Images of
        which nothing was measured have none.
        """
        if self.mask is None or self.masks is None:
            return [] if self.mask is None else [self.mask]
        chosen = range(self.frames * self.slices) if images is None else images
        return [self.masks(index) for index in chosen if index not in self.blank] or [self.mask]

    def outside(self) -> np.ndarray | None:
        """Entries that were not encoded, (1, cols) or (rows, cols) bool; None where all were."""
        if self.limits is None and self.row_limits is None:
            return None
        columns = _beyond(self.cols, self.limits)[None]
        return columns if self.row_limits is None else columns | _beyond(self.rows, self.row_limits)[:, None]


def checked_voxel(name: str, voxel_mm: Sequence[float]) -> tuple[float, float, float]:
    """Row, column and slice spacing in mm; InputError for what no scan has, such as sizes in metres."""
    limits = zip(voxel_mm, (VOXEL, VOXEL, APART), strict=False)
    if len(voxel_mm) != 3 or not all(least <= size <= most for size, (least, most) in limits):
        said = ", ".join(f"{size:g}" for size in voxel_mm)
        raise InputError(
            f"{name}: a voxel size of {said}: row, column and slice spacing in mm are needed; is it in another unit?"
        )
    rows, cols, slices = map(float, voxel_mm)
    return rows, cols, slices


def _beyond(size: int, limits: Limits) -> np.ndarray:
    """Places of an axis outside of limits, (size,) bool."""
    first, end = limits or (0, size)
    places = np.arange(size)
    return (places < first) | (places >= end)


def centre(array: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Central part of an axis, where fastMRI's center_crop takes it."""
    start = (array.shape[axis] - size) // 2
    return np.moveaxis(np.moveaxis(array, axis, 0)[start : start + size], 0, axis)


def cropped(images: np.ndarray, scan: Scan) -> np.ndarray:
    """Images (..., rows, cols) to the scan's recon_shape."""
    return centre(centre(images, scan.recon_shape[0], -2), scan.recon_shape[1], -1)


def fft1c(image: np.ndarray, axis: int) -> np.ndarray:
    """Centred orthonormal FFT along an axis."""
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, axes=axis), axis=axis, norm="ortho"), axes=axis)


def ifft1c(kspace: np.ndarray, axis: int) -> np.ndarray:
    """Centred orthonormal inverse FFT along an axis."""
    return np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, axes=axis), axis=axis, norm="ortho"), axes=axis)


def fft2c(image: np.ndarray) -> np.ndarray:
    """Centred orthonormal FFT along rows and columns."""
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))


def ifft2c(kspace: np.ndarray) -> np.ndarray:
    """Centred orthonormal inverse FFT along rows and columns."""
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))


def remove_oversampling(kspace: np.ndarray, rows: int) -> np.ndarray:
    """K-space (..., all rows, cols) of the central `rows` rows of the image: centred orthonormal FFT along rows."""
    return fft1c(centre(ifft1c(kspace, -2), rows, -2), -2)


def chosen_part(scan: Scan, part: int | str | None) -> Scan:
    """A part of a scan by its number from 1 or its name; InputError for none of them. Without, the first, with a warning that
    names all.
    """
    names = list(scan.parts)
    if part is None:
        if len(names) < 2:
            return scan
        text = f"the file holds {len(names)} parts, {', '.join(names)}: this is {names[0]} alone; part= chooses another"
        return replace(scan, warnings=(*scan.warnings, text))
    known = {str(number): name for number, name in enumerate(names, 1)} | {name: name for name in names}
    if str(part) not in known:
        held = f"one of {', '.join(names)}, or a number from 1, is needed" if names else "there are no parts; leave it out"
        raise InputError(f"{scan.name}: part {part!r}: {held}")
    return scan.parts[known[str(part)]]


def read_reference(scan: Scan, index: int) -> np.ndarray | None:
    """Reference magnitude of one image, recon_shape float32; None where the scan is undersampled.

    The file's own reconstruction where it holds one of that shape, else the root sum of squares of the full k-space.
    """
    if scan.mask is not None:
        return None
    if scan.read_reference is not None:
        return scan.read_reference(index)
    magnitude = np.linalg.norm(ifft2c(scan.read(index).astype(np.complex128)), axis=0)
    with np.errstate(over="ignore"):
        return cropped(magnitude, scan).astype(np.float32)


def slices_of(affine: np.ndarray, chosen: range, axis: int = 2) -> np.ndarray:
    """Affine of the slices `chosen` along an axis, which stay where they were in space; a step makes them further apart."""
    moved = affine.copy()
    moved[:3, 3] += affine[:3, axis] * chosen.start
    moved[:3, axis] *= chosen.step
    return moved
