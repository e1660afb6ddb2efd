"""Where the image of raw data lies in the patient, from the position and direction vectors of its readouts."""

from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.readouts import Readouts

TO_RAS = np.array([-1.0, -1.0, 1.0])  # raw data count towards left, posterior and head
UNEVEN = 0.05  # mm by which slices may be off even spacing before it is said
PARALLEL = 1e-3  # by which directions of slices may differ


class Away(NamedTuple):
    """How far readouts lie from another one: mm in all and across its plane, all of them where that is unknown, and degrees."""

    mm: np.ndarray
    across: np.ndarray
    degrees: np.ndarray


class Place(NamedTuple):
    """Slice counters in the order of their positions; whether that is the patient's; unit vectors of readout, phase encode and
    across, the centre of the first slice or of the slab, and from slice to slice, all RAS in mm; what to say of them.
    """

    slices: tuple[int, ...]
    known: bool
    read: np.ndarray
    phase: np.ndarray
    normal: np.ndarray
    centre: np.ndarray
    step: np.ndarray
    warnings: tuple[str, ...] = ()


def place(name: str, readouts: Readouts, data: np.ndarray, thickness: float) -> Place:
    """Where the readouts `data`, (n,) bool, are; thickness: mm of a slice, their distance where there is one or no position.

    InputError for slices that are not parallel.
    """
    numbers = np.flatnonzero(data)
    numbers = numbers[np.argsort(~told(readouts, numbers), kind="stable")]
    counters, first_of_each = np.unique(readouts.slice[numbers], return_index=True)
    firsts = numbers[first_of_each]
    read, phase, normal = directions = _directions(readouts, firsts)
    position = readouts.position[firsts] * TO_RAS
    flat = np.eye(3)
    usable = np.isfinite([read, phase, normal, position]).all() and not _skewed(read[0], phase[0], normal[0])
    if usable and np.abs(directions - directions[:, :1]).max() > PARALLEL:
        turned = _angles(directions, directions[:, :1]).max()
        raise InputError(f"{name}: slices are turned by up to {turned:.1f} degrees; only parallel slices make a volume")
    together = len(counters) > 1 and not np.ptp(position, axis=0).any()
    if together or not usable:
        found = "all slices have one position" if usable else "no usable position and directions"
        text = f"{found} in the file: slices are ordered by their numbers"
        step = thickness * flat[2]
        return Place(tuple(counters.tolist()), False, flat[0], flat[1], flat[2], np.zeros(3), step, (text,))
    order = np.argsort(position @ normal[0], kind="stable")
    position, said = position[order], []
    step = thickness * normal[0]
    if len(counters) > 1:
        step = (position[-1] - position[0]) / (len(counters) - 1)
        off = np.abs(position - position[0] - np.arange(len(counters))[:, None] * step).max()
        if step @ normal[0] < 1e-3:
            raise InputError(f"{name}: {len(counters)} slices lie in one plane; they are no volume")
        if off > UNEVEN:
            said.append(f"slices are not evenly spaced: positions are up to {off:.2f} mm off")
    slices = tuple(counters[order].tolist())
    return Place(slices, True, read[0], phase[0], normal[0], position[0], step, tuple(said))


def told(readouts: Readouts, numbers: np.ndarray) -> np.ndarray:
    """Which readouts say where they lie, (n,) bool; a position of zeros without any direction says nothing."""
    position = readouts.position[numbers]
    vectors = (position, *(of[numbers] for of in (readouts.read, readouts.phase, readouts.normal)))
    return np.isfinite(position).all(1) & np.logical_or.reduce([vector.any(1) for vector in vectors])


def away(readouts: Readouts, numbers: np.ndarray, groups: np.ndarray) -> Away:
    """How far readouts lie from the first of their group that says where it lies; what is unknown counts as 0.

    numbers: which readouts; groups: of each.
    """
    known = told(readouts, numbers)
    order = np.argsort(~known, kind="stable")
    _, first, which = np.unique(groups[order], return_index=True, return_inverse=True)
    against = np.empty(len(numbers), int)
    against[order] = order[first[which]]
    position = np.where(known[:, None], readouts.position[numbers] * TO_RAS, 0.0)
    moved = np.where(known[:, None], position - position[against], 0.0)
    directions = _directions(readouts, numbers)
    mm, across = np.linalg.norm(moved, axis=1), np.abs((moved * directions[2][against]).sum(1))
    degrees = np.nan_to_num(_angles(directions, directions[:, against])).max(0)
    return Away(mm, np.where(np.isnan(across), mm, across), degrees)


def _directions(readouts: Readouts, numbers: np.ndarray) -> np.ndarray:
    """Unit vectors (3, n, 3) of readout, phase encode and across in RAS; NaN where unknown."""
    read, phase, normal = (_unit(vectors[numbers]) for vectors in (readouts.read, readouts.phase, readouts.normal))
    return np.stack([read, phase, np.where(np.isnan(normal), np.cross(read, phase), normal)])


def _angles(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors (..., 3)."""
    return np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(some - others, axis=-1) / 2, 1)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) in RAS, NaN for what is none."""
    with np.errstate(all="ignore"):
        vectors = vectors.astype(np.float64) * TO_RAS
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.where(np.abs(length - 1) < 0.05, vectors / length, np.nan)


def _skewed(read: np.ndarray, phase: np.ndarray, normal: np.ndarray) -> bool:
    """Whether three unit vectors are not at right angles."""
    return max(abs(read @ phase), abs(read @ normal), abs(phase @ normal)) > 0.01
