"""Where the image of raw data lies in the patient, from the position and direction vectors of its readouts."""

from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.readouts import Readouts

TO_RAS = np.array([-1.0, -1.0, 1.0])  # raw data count towards left, posterior and head
UNEVEN = 0.05  # mm by which slices may be off even spacing before it is said


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

    InputError for slices of several orientations.
    """
    numbers = np.flatnonzero(data)
    counters, first_of_each = np.unique(readouts.slice[numbers], return_index=True)
    firsts = numbers[first_of_each]
    read, phase, normal = (_unit(vectors[firsts]) for vectors in (readouts.read, readouts.phase, readouts.normal))
    normal = np.where(np.isnan(normal), np.cross(read, phase), normal)
    position = readouts.position[firsts] * TO_RAS
    flat = np.eye(3)
    usable = np.isfinite([read, phase, normal, position]).all() and not _skewed(read[0], phase[0], normal[0])
    frames = np.stack([read, phase, normal], 1)
    if usable and np.abs(frames - frames[0]).max() > 1e-3:
        count = len(np.unique(np.round(normal, 2), axis=0))
        raise InputError(f"{name}: slices of {count} orientations; only parallel slices make a volume")
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


def away(readouts: Readouts, numbers: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far readouts lie from the first of their group in mm, and by how many degrees they are turned against it, (n,) each.

    numbers: which readouts; groups: of each. What is unknown counts as 0.
    """
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    position = readouts.position[numbers].astype(np.float64)
    mm = np.linalg.norm(position - position[first[which]], axis=1)
    turned = np.zeros(len(numbers))
    for vectors in (readouts.read, readouts.phase, readouts.normal):
        unit = _unit(vectors[numbers])
        chord = np.linalg.norm(unit - unit[first[which]], axis=1)
        turned = np.fmax(turned, np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))))
    return np.nan_to_num(mm, posinf=0.0), turned


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors (n, 3) in RAS, NaN for what is none."""
    with np.errstate(all="ignore"):
        vectors = vectors.astype(np.float64) * TO_RAS
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.where(np.abs(length - 1) < 0.05, vectors / length, np.nan)


def _skewed(read: np.ndarray, phase: np.ndarray, normal: np.ndarray) -> bool:
    """Whether three unit vectors are not at right angles."""
    return max(abs(read @ phase), abs(read @ normal), abs(phase @ normal)) > 0.01
