"""A volume as the images of a DICOM series: where each lies in the patient, and how its values are stored."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import frames_of_slices

# directions (LPS) of increasing column and row as radiologists look at images, by the axis nearest to the slices' normal
UPRIGHT = (((0, 1, 0), (0, 0, -1)), ((1, 0, 0), (0, 0, -1)), ((1, 0, 0), (0, 1, 0)))
LARGEST = 32767  # stored value: the same whether a viewer takes 16 bits for signed or not
SKEWED = 1e-4
SHIFTED = 0.005  # of the distance of slices, by which they may be shifted in plane
DIM = 10.0  # windows that are narrower lie below what viewers can set
BRIGHT = 99.5  # percentile at the upper end of the window, as in previews


class Planes(NamedTuple):
    """Images (times, slices, rows, columns) float32, slices along their normal; positions: of the first voxel of each slice,
    (slices, 3); directions: of increasing column and of increasing row, (2, 3); spacing: between rows, columns and slices;
    all in mm, LPS. time_step: s between times, None where unknown; contrasts: as of `Image`.
    """

    images: np.ndarray
    positions: np.ndarray
    directions: np.ndarray
    spacing: tuple[float, float, float]
    time_step: float | None = None
    contrasts: tuple[Mapping[str, Any], ...] = ()

    @property
    def corners(self) -> np.ndarray:
        """The smallest and the largest coordinates of its voxels, (2, 3), mm, LPS."""
        rows, columns = (np.array([0, size - 1]) for size in self.images.shape[2:])
        across = columns[:, None] * self.directions[0] * self.spacing[1]
        down = rows[:, None] * self.directions[1] * self.spacing[0]
        every = (self.positions[:, None, None] + across[:, None] + down).reshape(-1, 3)
        return np.stack([every.min(0), every.max(0)])


def check_planes(name: str, affine: np.ndarray, axis: int) -> None:
    """InputError where rows and columns of the slices across an axis are not at right angles, which DICOM cannot say."""
    first, second = np.delete(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0), axis, axis=1).T
    if abs(first @ second) > SKEWED:
        raise InputError(f"{name}: its rows and columns are not at right angles, which DICOM cannot hold; resample it first")


def sheared(affine: np.ndarray, axis: int) -> bool:
    """Whether slices across an axis are shifted against each other in their plane."""
    step, (first, second) = affine[:3, axis], np.delete(affine[:3, :3], axis, axis=1).T
    normal = np.cross(first, second)
    across = step @ normal / np.linalg.norm(normal)
    return bool(np.sqrt(max(0.0, step @ step - across**2)) > SHIFTED * np.linalg.norm(step))


def planes_of(name: str, array: np.ndarray, affine: np.ndarray, axis: int) -> Planes:
    """The slices of (i, j, k[, t]) across an axis, turned by quarters and mirrored to lie as radiologists look at them.

    affine: from voxel to mm, RAS; no voxel moves in the patient. name: for messages. InputError as of `check_planes`.
    """
    check_planes(name, affine, axis)
    frames = frames_of_slices(array, axis)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    inner = [other for other in range(3) if other != axis]
    vectors, step, first = lps[:3, inner].T, lps[:3, axis], lps[:3, 3].copy()
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors / lengths[:, None]
    wanted = np.array(UPRIGHT[int(np.abs(np.cross(*units)).argmax())], float)
    if abs(units[0] @ wanted[0]) < abs(units[1] @ wanted[0]):
        units, lengths, frames = units[::-1], lengths[::-1], frames.swapaxes(2, 3)
    for place in range(2):
        if units[place] @ wanted[place] < 0:
            first = first + units[place] * lengths[place] * (frames.shape[2 + place] - 1)
            units = units * np.where(np.arange(2) == place, -1, 1)[:, None]
            frames = np.flip(frames, 2 + place)
    positions = first + np.arange(frames.shape[1])[:, None] * step
    normal = np.cross(*units)
    if step @ normal < 0:
        positions, frames = positions[::-1], np.flip(frames, 1)
    spacing = float(lengths[1]), float(lengths[0]), abs(float(step @ normal))
    return Planes(np.ascontiguousarray(frames.swapaxes(2, 3)), positions, units, spacing)


class Scale(NamedTuple):
    """How values are shown: times 10 ** power, between low and high, which are in the values' own units."""

    power: int
    low: float
    high: float


def scale_of(images: np.ndarray) -> Scale:
    """One window over all images: from 0, or the smallest value below it, to the 99.5th percentile.

    Values so small that viewers could not set the window are multiplied by a power of ten.
    """
    low, high = min(0.0, float(images.min())), float(np.percentile(images, BRIGHT))
    high = high if high > low else float(images.max())
    width = high - low
    power = 0 if width >= DIM or width == 0 else 3 - math.floor(math.log10(width))
    return Scale(power, low, high if width else low + 1)


def stored(images: np.ndarray, power: int) -> tuple[np.ndarray, float, float]:
    """Values times 10 ** power as uint16 of up to 32767, and slope and intercept back to them, as DICOM's text holds them."""
    from pydicom.valuerep import format_number_as_ds

    values = images.astype(np.float64) * 10.0**power
    intercept = min(0.0, float(values.min()))
    intercept = float(format_number_as_ds(intercept))
    span = float(values.max()) - intercept
    slope = float(format_number_as_ds(span / LARGEST)) if span > 0 else 1.0
    return np.clip(np.rint((values - intercept) / slope), 0, 65535).astype(np.uint16), slope, intercept
