"""Images of readouts: lines sorted, averaged and put into place."""

from threading import Lock
from typing import NamedTuple

import numpy as np

from mri_d3gm.io.images.nifti import affine_of
from mri_d3gm.io.raw.epi import Ghost, ghost_of, without_ghost
from mri_d3gm.io.raw.patient import Place
from mri_d3gm.io.raw.readouts import Readouts
from mri_d3gm.io.raw.receivers import Receivers
from mri_d3gm.io.scan import Limits, centre, ifft1c, remove_oversampling

AT_ONCE = 256  # readouts whose oversampling is removed together


class Axis(NamedTuple):
    """A phase-encode axis: its entries, the counter at the centre of k-space, the entries (first, end) that were encoded, and
    what becomes of it in the image: mm between voxels, and how many of them are kept.
    """

    size: int
    middle: int
    encoded: tuple[int, int]
    spacing: float
    kept: int

    def entries(self, counter: np.ndarray) -> np.ndarray:
        """Where counters lie."""
        return counter.astype(np.int64) - self.middle + self.size // 2

    def limits(self) -> Limits:
        """The encoded entries, None where they are all."""
        return None if self.encoded == (0, self.size) else self.encoded


class Sorted(NamedTuple):
    """What all images of a scan share: readouts, those that are data, the readout's length before and after oversampling is
    removed, both phase-encode axes, receivers, where the slices are, and of which length and centre each readout is, (n,) int,
    with the rows that one of them measures, (kinds, kept) bool.
    """

    readouts: Readouts
    data: np.ndarray
    rows: int
    kept: int
    lines: Axis
    partitions: Axis
    receivers: Receivers
    place: Place
    kind: np.ndarray
    covers: np.ndarray

    @property
    def solid(self) -> bool:
        """Whether the scan is 3-D."""
        return self.partitions.size > 1

    @property
    def slices(self) -> int:
        """How many there are, 1 where the scan is 3-D."""
        return 1 if self.solid else len(self.place.slices)

    def groups(self, numbers: np.ndarray) -> np.ndarray:
        """Which slice, in the order of positions, readouts are of, -1 for none; 0 where the scan is 3-D."""
        if self.solid:
            return np.zeros(len(numbers), int)
        order, slices = np.argsort(self.place.slices), self.readouts.slice[numbers]
        held = np.array(self.place.slices)[order]
        at = np.searchsorted(held, slices).clip(max=len(held) - 1)
        return np.where(held[at] == slices, order[at], -1)

    def shape(self) -> tuple[int, int]:
        """(rows, cols) of an image's k-space."""
        return (self.lines.size, self.partitions.size) if self.solid else (self.kept, self.lines.size)

    def entries(self, numbers: np.ndarray) -> np.ndarray:
        """Where readouts lie among lines, or among lines x partitions."""
        lines = self.lines.entries(self.readouts.line[numbers])
        if not self.solid:
            return lines
        return lines * self.partitions.size + self.partitions.entries(self.readouts.partition[numbers])

    def counts(self, numbers: np.ndarray) -> np.ndarray:
        """How often each sample was measured, (rows, cols) int; of an asymmetric echo the rows that it has."""
        entries, kind = self.entries(numbers), self.kind[numbers]
        if self.solid:
            return np.bincount(entries, minlength=self.lines.size * self.partitions.size).reshape(self.shape())
        counted = np.zeros(self.shape(), np.int64)
        for one in np.unique(kind):
            counted += np.outer(self.covers[one], np.bincount(entries[kind == one], minlength=self.lines.size))
        return counted


def kinds_of(readouts: Readouts, rows: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Of which length and centre each readout is, (n,) int, and the rows that each of those measures, (kinds, kept) bool.

    Where oversampling is removed the row next to what an asymmetric echo lacks is mixed with it and counts as lacking.
    """
    kinds, kind = np.unique(np.stack([readouts.samples, readouts.centre], 1), axis=0, return_inverse=True)
    before, after = kinds[:, 1], kinds[:, 0] - kinds[:, 1]
    middle, ratio, edge = kept // 2, kept / rows, int(kept != rows)
    first = np.where(before >= rows // 2, 0, middle - np.floor(before * ratio + 1e-6) + edge)
    end = np.where(after >= rows - rows // 2, kept, middle + np.ceil(after * ratio - 1e-6) - edge)
    places = np.arange(kept)
    return kind.ravel(), (places >= first[:, None]) & (places < end[:, None])


def split(numbers: np.ndarray, keys: np.ndarray, count: int) -> list[np.ndarray]:
    """Numbers whose key is 0, 1, ... count - 1, in their order; keys: of each of them."""
    order = np.argsort(keys, kind="stable")
    return np.split(numbers[order], np.searchsorted(keys[order], np.arange(count + 1)))[1:-1]


class Lines:
    """Reads images of a sorted scan; of a 3-D scan the frame that was read last stays transformed along the readout.

    beside: which readouts lie where the images do, (n,) bool. calibrating: of those for calibration the numbers for each slice
    or slab; apart: whether some are no data.
    """

    def __init__(self, every: Sorted, beside: np.ndarray) -> None:
        self.every, self.lock = every, Lock()
        numbers = np.flatnonzero(every.readouts.calibration & beside)
        self.calibrating = split(numbers, every.groups(numbers), every.slices)
        self.apart = not every.data[numbers].all()
        self.held: tuple[np.ndarray, np.ndarray] | None = None

    def image(self, numbers: np.ndarray, place: int) -> np.ndarray:
        """K-space (coils, rows, cols) complex64 of readouts; place: of a 3-D scan, along the readout."""
        if not self.every.solid:
            return self._gathered(numbers, processed(self.every, numbers))
        with self.lock:
            if self.held is None or not np.array_equal(self.held[0], numbers):
                self.held = None  # before the next takes its place, which may be as large as memory allows
                self.held = numbers, processed(self.every, numbers)
            along = self.held[1]
        return self._gathered(numbers, along[..., place])

    def _gathered(self, numbers: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Lines (count, coils[, rows]) averaged at their places."""
        counts, entries = self.every.counts(numbers), self.every.entries(numbers)
        shape = (counts.size,) if self.every.solid else counts.shape[::-1]
        whole = np.zeros((shape[0], *lines.shape[1:]), np.complex64)
        if len(np.unique(entries)) == len(entries):
            whole[entries] = lines
        else:
            np.add.at(whole, entries, lines)
        image = np.ascontiguousarray(np.moveaxis(whole, 0, -1)).reshape(-1, *counts.shape)
        return image / np.maximum(counts, 1).astype(np.float32)


def processed(every: Sorted, numbers: np.ndarray) -> np.ndarray:
    """Readouts (count, coils, kept) complex64: whitened, forwards, placed by their centres, oversampling removed; of a 3-D scan
    transformed along the readout, else zero where not measured.
    """
    lines = np.zeros((len(numbers), every.receivers.used, every.kept), np.complex64)
    ghost = _ghost(every, numbers)
    for first in range(0, len(numbers), AT_ONCE):
        few = numbers[first : first + AT_ONCE]
        full = placed(every, few)
        if ghost is not None:
            full = without_ghost(full, every.readouts.backwards[few], ghost)
        if every.solid:
            lines[first : first + AT_ONCE] = centre(ifft1c(full, -1), every.kept, -1)
            continue
        short = full if every.kept == every.rows else remove_oversampling(full[..., None], every.kept)[..., 0]
        lines[first : first + AT_ONCE] = short * every.covers[every.kind[few]][:, None]
    return lines


def _ghost(every: Sorted, numbers: np.ndarray) -> Ghost | None:
    """The ghost of an image of lines played both ways, from the navigators of its time, of its slice, or of any."""
    readouts = every.readouts
    turned = readouts.backwards[numbers]
    if turned.all() or not turned.any():
        return None
    of_slice = readouts.correction & (readouts.slice == readouts.slice[numbers[0]])
    of_frame = of_slice & (readouts.counters["repetition"] == readouts.counters["repetition"][numbers[0]])
    for navigators in (of_frame, of_slice, readouts.correction):
        ways = readouts.backwards[navigators]
        if ways.any() and not ways.all():
            return ghost_of(placed(every, np.flatnonzero(navigators)), ways)
    return None


def placed(every: Sorted, numbers: np.ndarray) -> np.ndarray:
    """Readouts (count, coils, rows) complex64 of the oversampled matrix, whitened, forwards, zero where not sampled."""
    readouts, rows = every.readouts, every.rows
    full = np.zeros((len(numbers), every.receivers.used, rows), np.complex64)
    for kind in np.unique(every.kind[numbers]):
        chosen = np.flatnonzero(every.kind[numbers] == kind)
        samples, middle = (int(values[numbers[chosen[0]]]) for values in (readouts.samples, readouts.centre))
        data = every.receivers.white(readouts.load(numbers[chosen]))
        turned = readouts.backwards[numbers[chosen]]
        data[turned] = data[turned, :, ::-1]
        start = rows // 2 - middle
        skipped, end = max(0, -start), min(rows, start + samples)
        full[chosen, :, max(0, start) : end] = data[..., skipped : skipped + end - max(0, start)]
    return full


def affine_at(every: Sorted, spacing: float, shape: tuple[int, int]) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Affine from (column, row, slice) of an image of `shape` (rows, cols) to mm (RAS), and (row, column, slice spacing).

    spacing: mm between samples of the readout. The centre of k-space's field of view is the position in the file.
    """
    where, lines, partitions = every.place, every.lines, every.partitions
    along = every.rows // 2 - (every.rows - every.kept) // 2
    middles = [lines.size // 2, along]
    sizes, spans = (lines.size, every.kept), [lines.spacing * where.phase, spacing * where.read]
    voxel, third, at = (spacing, lines.spacing, float(np.linalg.norm(where.step))), where.step, 0.0
    if every.solid:
        middles, sizes = [partitions.size // 2, lines.size // 2], (partitions.size, lines.size)
        spans = [partitions.spacing * where.normal, lines.spacing * where.phase]
        voxel, third, at = (lines.spacing, partitions.spacing, spacing), spacing * where.read, float(along)
    if not where.known:
        count = every.kept if every.solid else len(where.slices)
        return affine_of((count, *shape), voxel, ""), voxel
    cut = [middle - (size - kept) // 2 for middle, size, kept in zip(middles, sizes, (shape[1], shape[0]), strict=True)]
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*spans, third], 1)
    affine[:3, 3] = where.centre - affine[:3, :3] @ np.array([*cut, at])
    return affine, voxel
