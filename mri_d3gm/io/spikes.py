"""Spikes of k-space: samples that a discharge in the scanner room made far larger than those around them.

A peak of an object is no narrower than that at the centre, its mirror image is a peak as well, and all coils see it. So neither
gratings nor images that fill the field of view are taken for spikes. Nothing is judged near the centre, nor where it has no
peak, as in noise alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mri_d3gm.io.scan import Scan

BLOCK, NEAREST = 16, 288  # side of a block, and how many samples a peak is compared with
LARGE = 10.0  # times the mean of its block, and of the centre times the median
RANK = 16  # of the sample a peak is compared with: where oversampling was removed a spike has some large ones around itself
LEAST = 8.0  # times that sample; 19 images of 15 scans of organs and phantoms reach 3.2 at most
NARROWER = 2.0  # times as large, by this measure, as the centre
WIDE, COMMON = 0.2, 2.0  # parts of a peak beside it and in its mirror image, and its size in other coils, that are an object's
MOST = 64  # samples of an image that are looked at


class Spike(NamedTuple):
    """A sample of k-space (coils, rows, cols), and how many times larger it is than what lies around it."""

    coil: int
    row: int
    col: int
    times: float


def spikes_of(kspace: np.ndarray) -> list[Spike]:
    """Spikes of the k-space of an image, (coils, rows, cols) complex, zero where not measured; the largest first."""
    size = np.abs(kspace)
    rows, cols = (slice(length // 2 - length // 8, length // 2 + length // 8 + 1) for length in size.shape[1:])
    found, limits = [], [_limit(one, rows, cols) for one in size]
    for coil, row, col in _large(size, rows, cols):
        times = _times(size[coil], row, col)
        if times > limits[coil] and not _is_the_objects(size, coil, row, col):
            found.append(Spike(coil, row, col, times))
    return sorted(found, key=lambda spike: -spike.times)


def without_spikes(kspace: np.ndarray) -> tuple[np.ndarray, list[Spike]]:
    """K-space (coils, rows, cols) with zeros in place of its spikes, the array itself where it has none; and these."""
    spikes = spikes_of(kspace)
    if spikes:
        kspace = kspace.copy()
        kspace[tuple(np.array([spike[:3] for spike in spikes]).T)] = 0
    return kspace, spikes


def mended(scan: Scan) -> Scan:
    """A scan whose images, and lines measured for the coil maps alone, are read without their spikes."""

    def clean(read: Callable[[int], np.ndarray]) -> Callable[[int], np.ndarray]:
        return lambda index: without_spikes(read(index))[0]

    calibration = None if scan.calibration is None else clean(scan.calibration)
    return replace(scan, read=clean(scan.read), calibration=calibration)


def words(found: Sequence[tuple[str, Spike]]) -> str:
    """What is said of spikes, of which each has the name of its image, such as slice 3; the strongest is described,
    its coil counted from one.
    """
    where, spike = max(found, key=lambda one: one[1].times)
    count = (
        f"{len(found)} samples of k-space are spikes and were" if len(found) > 1 else "a sample of k-space is a spike and was"
    )
    place = f"{where}, coil {spike.coil + 1}, row {spike.row}, column {spike.col}"
    first = "the largest" if len(found) > 1 else "it"
    return f"{count} set to zero: {first} ({place}) is {spike.times:.0f} times its surroundings; look for sparks at the scanner"


def _large(size: np.ndarray, rows: slice, cols: slice) -> list[list[int]]:
    """Places of magnitudes (coils, rows, cols) far above the mean of their block, but for those of the centre (rows, cols)."""
    padded = np.pad(size, [(0, 0), *((0, -length % BLOCK) for length in size.shape[1:])])
    tiles = padded.reshape(len(size), padded.shape[1] // BLOCK, BLOCK, -1, BLOCK)
    total = tiles.sum((2, 4), np.float64, keepdims=True)
    count = np.count_nonzero(tiles, (2, 4), keepdims=True)
    large = (tiles * (count - 1) > LARGE * (total - tiles)).reshape(padded.shape)[:, : size.shape[1], : size.shape[2]]
    large[:, rows, cols] = False
    places = np.argwhere(large)
    return places[np.argsort(-size[large], kind="stable")[:MOST]].tolist()


def _limit(size: np.ndarray, rows: slice, cols: slice) -> float:
    """How large a spike is at least among magnitudes (rows, cols); infinite where the central ones have no peak."""
    inner = size[rows, cols]
    row, col = (int(place) for place in np.unravel_index(inner.argmax(), inner.shape))
    within = 0 < row < inner.shape[0] - 1 and 0 < col < inner.shape[1] - 1
    if not within or inner[row, col] < LARGE * np.median(size[size > 0]):
        return np.inf
    return max(LEAST, NARROWER * _times(size, rows.start + row, cols.start + col))


def _is_the_objects(size: np.ndarray, coil: int, row: int, col: int) -> bool:
    """Whether a peak of magnitudes (coils, rows, cols) is wide or mirrored, or, where that cannot be told, in most coils."""
    one = size[coil]
    beside = _around(one, row, col)
    if max(beside[:, 0].max(), beside[:, 2].max()) > WIDE * one[row, col]:
        return True
    mirror = _around(one, *(2 * (length // 2) - place for length, place in zip(one.shape, (row, col), strict=True)))
    if mirror[1, 1]:
        return bool(mirror.max() > WIDE * one[row, col])
    others = [_times(other, row, col) for other in np.delete(size, coil, 0)]
    return not others or float(np.median(others)) > COMMON


def _around(size: np.ndarray, row: int, col: int) -> np.ndarray:
    """The 3 x 3 magnitudes (rows, cols) at a place, opposite edges joined."""
    near = (np.arange(place - 1, place + 2) % length for length, place in zip(size.shape, (row, col), strict=True))
    return size[np.ix_(*near)]


def _times(size: np.ndarray, row: int, col: int) -> float:
    """How many times larger a magnitude (rows, cols) is than that of rank RANK of the nearest ones; 0 where there are few."""
    rows, cols = (np.square(np.arange(length) - place) for length, place in zip(size.shape, (row, col), strict=True))
    known = size > 0
    away, around = (rows[:, None] + cols)[known], size[known]
    if len(around) <= NEAREST:
        return 0.0
    around = around[np.argpartition(away, NEAREST)[: NEAREST + 1]]
    return float(size[row, col] / np.partition(around, -1 - RANK)[-1 - RANK])
