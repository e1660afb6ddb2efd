"""Which images readouts make: frames and parts, by the counters that count and by where each lies in the patient."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.lines import split
from mri_d3gm.io.raw.patient import away, told
from mri_d3gm.io.raw.readouts import COUNTERS, Readouts

INCOMPLETE = 0.5  # a frame with fewer than that of the others' lines is named, the last one left out
NAMED = 5  # frames with few lines, or images, that are named
TURNED = 5.0  # degrees from which on images are of another orientation
MOVED = 0.9  # of a slice's thickness: slices are not nearer to each other than that
ALIKE = 0.4  # of it, where counters are all alike: a header may take all slices, two or more, for one thick one
IN_PLANE = 10.0  # mm by which motion correction may move a slice in its plane
SLAB = 0.25  # of a slab, by which head motion may move it while it is measured
SEEN = 0.05, 0.1  # mm and degrees from which on a change of place is said
DAY = 86400.0  # seconds, after which scanners' clocks begin anew
MIXED = (
    "readouts whose counters are all alike, that of averages too, are averaged; where they are different images, as user "
    "counters may say, the result mixes them"
)


class Series(NamedTuple):
    """What frames are, the frame of each readout, (n,) int, -1 of none, the counter's value in each frame; by entities the
    numbers of each part's readouts, and which readouts lie where the part does, (n,) bool; what to say of them.
    """

    frame_axis: str
    frame: np.ndarray
    values: np.ndarray
    parts: dict[str, np.ndarray]
    beside: dict[str, np.ndarray]
    warnings: tuple[str, ...]

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.values)


class _Counted(NamedTuple):
    """Numbers of readouts of data, the slice of each, 0 in 3-D scans, and of each counter its values and which each has."""

    numbers: np.ndarray
    slice: np.ndarray
    found: dict[str, tuple[np.ndarray, np.ndarray]]

    def keys(self, counters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Combinations of counters, (keys, counters), and which each readout has."""
        sizes = [len(self.found[counter][0]) for counter in counters] or [1]
        places = [self.found[counter][1] for counter in counters] or [np.zeros(len(self.numbers), int)]
        keys, which = np.unique(np.ravel_multi_index(places, sizes), return_inverse=True)
        return np.stack(np.unravel_index(keys, sizes), 1), which

    def groups(self, counters: Sequence[str]) -> np.ndarray:
        """Which slice of which combination of counters each readout is of."""
        return self.keys(counters)[1] * (int(self.slice.max()) + 1) + self.slice


def series_of(name: str, readouts: Readouts, data: np.ndarray, voxel: Sequence[float], slab: float | None) -> Series:
    """Frames and parts of `data`, (n,) bool, by the counters that count; voxel: its edges in mm; slab: of a 3-D scan, mm.

    A counter whose images lie further apart than a voxel, or are turned, makes parts, not frames. InputError where counters
    make more images than there are readouts, and where readouts of one image lie apart.
    """
    numbers = np.flatnonzero(data)
    found = {counter: np.unique(readouts.counters[counter][numbers], return_inverse=True) for counter in COUNTERS}
    slices, slice_ = np.unique(readouts.slice[numbers] * (slab is None), return_inverse=True)
    every = _Counted(numbers, slice_, found)
    several = [counter for counter, (values, _) in found.items() if len(values) > 1]
    axis, moving = _axis(readouts, every, several, max(voxel))
    frame, values, said = _frames(numbers, data, axis, found)
    others = [counter for counter in several if counter != axis]
    keys, part = every.keys(others)
    if len(keys) * len(values) * len(slices) > len(numbers):
        raise InputError(f"{name}: its counters make more images than it has readouts; the file is damaged")
    alike = _alike(readouts, every)
    _check_together(name, readouts, every, several, (voxel[2] * (ALIKE if alike else MOVED), min(voxel), slab))
    if moving:
        said.append(f"images differ in place or orientation by {' and '.join(moving)}: each is a file of its own")
    said += [*_moved(readouts, every, moving), *([MIXED] if alike else [])]
    parts, beside = {}, {}
    for key, chosen in zip(keys.tolist(), split(numbers, part, len(keys)), strict=True):
        if (frame[chosen] >= 0).any():
            entities = _entities(dict(zip(others, key, strict=False)))
            own = (readouts.counters[counter] == readouts.counters[counter][chosen[0]] for counter in moving)
            parts[entities], beside[entities] = chosen, np.logical_and.reduce([np.ones_like(data), *own])
    return Series(axis if len(values) > 1 else "", frame, values, parts, beside, tuple(said))


def _axis(readouts: Readouts, every: _Counted, several: Sequence[str], limit: float) -> tuple[str, list[str]]:
    """The counter that makes frames, '' for none, and those whose images lie apart."""

    def apart(counters: Sequence[str], first: Sequence[str]) -> bool:
        """Whether the first readouts of the images of some counters lie apart from those that others have."""
        at = known[np.unique(every.groups(counters)[known], return_index=True)[1]]
        found = away(readouts, every.numbers[at], every.groups(first)[at])
        return bool(found.mm.max(initial=0) > limit or found.degrees.max(initial=0) > TURNED)

    known = np.flatnonzero(told(readouts, every.numbers))
    moving = [counter for counter in several if apart([counter], [])]
    if several and apart(several, moving):
        moving = list(several)
    return next((counter for counter in several if counter not in moving), ""), moving


def _frames(
    numbers: np.ndarray, data: np.ndarray, axis: str, found: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The frame of each readout, the counter's value in each frame, and what to say of those with few lines."""
    frame = np.where(data, 0, -1)
    if not axis:
        return frame, np.zeros(1, int), []
    values, frame[numbers] = found[axis]
    sizes = np.bincount(frame[numbers])
    usual = int(sizes.max() if len(sizes) < 3 else np.median(sizes))
    few = np.flatnonzero(sizes < INCOMPLETE * usual)
    last = len(sizes) - 1
    said = [f"{axis} {place + 1} has {sizes[place]} of {usual} lines" for place in few if place != last][:NAMED]
    if last in few:
        said.append(f"{axis} {last + 1} has {sizes[last]} of {usual} lines and is left out")
        frame[frame == last] = -1
        values = values[:-1]
    return frame, values, said


def _check_together(
    name: str, readouts: Readouts, every: _Counted, several: Sequence[str], limits: tuple[float, float, float | None]
) -> None:
    """InputError where readouts of one image lie apart; limits, mm: across a 2-D slice, the shortest edge of a voxel, and of
    3-D scans the slab.
    """
    across, edge, slab = limits
    found = away(readouts, every.numbers, every.groups(several))
    if slab is None:
        in_plane = np.sqrt(np.maximum(found.mm**2 - found.across**2, 0))
        moved = np.maximum(found.across / across, in_plane / IN_PLANE)
    else:
        moved = found.mm / max(edge, SLAB * slab)
    if moved.max() >= 1 or found.degrees.max() > TURNED:
        worst = every.numbers[int((moved + found.degrees / TURNED).argmax())]
        raise InputError(
            f"{name}: readouts of slice {readouts.slice[worst]} lie up to {found.mm.max():.1f} mm and "
            f"{found.degrees.max():.0f} degrees apart, and no counter tells them apart: they are different images; give each "
            "its own slice or repetition counter"
        )


def _moved(readouts: Readouts, every: _Counted, moving: Sequence[str]) -> list[str]:
    """What to say of images that share a place and do not quite lie there."""
    mm, _, degrees = away(readouts, every.numbers, every.groups(moving))
    if mm.max() <= SEEN[0] and degrees.max() <= SEEN[1]:
        return []
    return [
        f"positions of a slice differ by up to {mm.max():.1f} mm and {degrees.max():.1f} degrees, as motion correction makes "
        "them: the first stands for all"
    ]


def _alike(readouts: Readouts, every: _Counted) -> bool:
    """Whether readouts have all counters alike, that of averages too."""
    alone = readouts.imaging[every.numbers] & ~readouts.calibration[every.numbers]
    chosen = every.numbers[alone]
    counters = (readouts.line, readouts.partition, readouts.average)
    stacked = np.stack([every.groups(COUNTERS)[alone], *(counter[chosen].astype(np.int64) for counter in counters)])
    order = np.lexsort(stacked)
    return bool((np.diff(stacked[:, order], axis=1) == 0).all(0).any())


def _entities(numbers: Mapping[str, int]) -> str:
    """BIDS entities of a part: echo-2, rec-set1phase3."""
    rest = "".join(f"{name}{number + 1}" for name, number in numbers.items() if name != "contrast")
    echo = [f"echo-{numbers['contrast'] + 1}"] if "contrast" in numbers else []
    return "_".join([*echo, *([f"rec-{rest}"] if rest else [])])


def time_step(time: np.ndarray, frame: np.ndarray, part: np.ndarray) -> float | None:
    """Seconds between the first readouts of neighbouring frames, None where unknown; midnight may lie between them."""
    late = time[part].max() - DAY / 2
    time = np.where((time > 0) & (time < late), time + DAY, time)
    begins = [time[chosen].min() for chosen in split(part, frame[part], int(frame.max()) + 1) if len(chosen)]
    step = float(np.median(np.diff(begins))) if len(begins) > 1 else 0.0
    return step if step > 0 else None


def without_slices(wanted: int | None, found: int) -> list[str]:
    """What to say of slices that a protocol counts and a file has no readouts of."""
    if wanted is None or not 0 < found < wanted:
        return []
    return [f"the protocol has {wanted} slices, and the file holds readouts of {found}: the scan, or the file, was broken off"]
