"""The scan that the readouts of a raw format are: 2-D slices or a 3-D slab, frames, and parts for further counters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.header import CARTESIAN, Encoding, fit_axis
from mri_d3gm.io.raw.lines import Axis, Lines, Sorted, affine_at, kinds_of, split
from mri_d3gm.io.raw.patient import place
from mri_d3gm.io.raw.readouts import Readouts
from mri_d3gm.io.raw.receivers import receivers
from mri_d3gm.io.sampling import lines_of
from mri_d3gm.io.scan import Reading, Scan

COUNTERS = ("repetition", "phase", "contrast", "set")  # that make further images; the first that counts makes frames
EMPTY, SHORT = 256, 16  # how many times more a matrix may hold than was measured, and the readout than its samples
INCOMPLETE = 0.5  # a last frame with fewer than that of the others' lines is left out


def scan_of_readouts(
    path: Path,
    readouts: Readouts,
    encoding: Encoding,
    how: Reading,
    *,
    warnings: Sequence[str] = (),
    facts: Mapping[str, object] | None = None,
    study: Mapping[str, str] | None = None,
    heard: np.ndarray | None = None,
) -> Scan:
    """The scan that readouts are; InputError, that names the file, for what cannot be reconstructed.

    Lines of calibration count as data where the encoding says that they are embedded, else they are for the coil maps alone.
    3-D scans become slices along the readout, with lines as rows and partitions as columns. facts, study: as in `Scan`;
    heard: as in `receivers`.
    """
    name, said = str(path), list(warnings)
    data = (readouts.imaging | readouts.calibration) if encoding.embedded else readouts.imaging
    _check(name, readouts, encoding, data)
    rows = _rows(readouts, encoding, data)
    spacing, kept = _fit(encoding, 0, rows)
    kept = kept if how.crop else rows
    lines = _axis(name, "lines", readouts.line[data], encoding, 1, said)
    partitions = _axis(name, "partitions", readouts.partition[data], encoding, 2, said)
    _check_filled(name, readouts, data, lines, partitions)
    readouts = _fitting(readouts, lines, partitions, said)
    placed = place(name, readouts, data, thickness=encoding.recon.fov[2] / encoding.recon.matrix[2])
    central = _from_the_centre(readouts, data, lines, partitions)
    found = receivers(readouts, data, central, encoding.noise_bandwidth, heard)
    every = Sorted(readouts, data, rows, kept, lines, partitions, found, placed, *kinds_of(readouts, rows, kept))
    if len(np.unique(every.kind[data])) > 1:
        said.append("readouts differ in length or centre: each is placed by its own centre")
    if every.solid and not every.covers[every.kind[data]].all():
        said.append("the echo is asymmetric: a 3-D scan is zero-filled along the readout")
    images = _images(name, readouts, data)
    said += [*placed.warnings, *found.warnings, *images.warnings]
    scans, reader = {}, Lines(every)
    for entities, numbers in images.parts.items():
        scan = _scan(path, reader, images, numbers, how, spacing)
        scans[entities] = replace(scan, warnings=tuple(said), facts=dict(facts or {}), study=dict(study or {}))
    first = next(iter(scans.values()))
    return replace(first, parts=scans) if len(scans) > 1 else first


def _check(name: str, readouts: Readouts, encoding: Encoding, data: np.ndarray) -> None:
    """InputError for scans that cannot be reconstructed."""
    if encoding.trajectory not in CARTESIAN:
        raise InputError(f"{name}: its trajectory is {encoding.trajectory}; only Cartesian scans can be reconstructed")
    if encoding.on_ramps:
        raise InputError(f"{name}: EPI that is sampled on the ramps of its gradient; resample its readouts evenly first")
    if not data.any():
        held = [kind for kind in ("noise", "calibration", "correction") if getattr(readouts, kind).any()]
        raise InputError(f"{name}: holds no imaging readouts{', only ' + ' and '.join(held) if held else ''}")
    count = len(np.unique(readouts.slice[data]))
    if count > 1 and np.ptp(readouts.partition[data]) > 0:
        raise InputError(f"{name}: is a 3-D scan of {count} slabs; only one slab can be reconstructed")
    turned = readouts.backwards[data]
    mixed = turned.any() and not turned.all() and not _one_way(readouts, data)
    if mixed and len(np.unique(readouts.backwards[readouts.correction])) < 2:
        raise InputError(f"{name}: lines are read both ways (EPI) and there are no navigators to correct their ghost")
    if min(encoding.encoded.matrix[:2]) < 8:
        raise InputError(f"{name}: its encoded matrix is {encoding.encoded.matrix}; at least 8 x 8 is needed")
    if encoding.encoded.matrix[0] > SHORT * readouts.samples[data].max():
        raise InputError(f"{name}: its header declares {encoding.encoded.matrix[0]} samples, but readouts are much shorter")


def _one_way(readouts: Readouts, data: np.ndarray) -> bool:
    """Whether each contrast is read one way, as the echoes of a bipolar gradient echo are."""
    ways = (
        readouts.backwards[data & (readouts.counters["contrast"] == one)] for one in np.unique(readouts.counters["contrast"])
    )
    return all(way.all() or not way.any() for way in ways)


def _fit(encoding: Encoding, axis: int, size: int) -> tuple[float, int]:
    encoded, recon = encoding.encoded, encoding.recon
    return fit_axis(size, (encoded.matrix[axis], encoded.fov[axis]), (recon.matrix[axis], recon.fov[axis]))


def _rows(readouts: Readouts, encoding: Encoding, data: np.ndarray) -> int:
    """Length of the readout; that of reconSpace where oversampling was removed before and the header still says the other."""
    (samples, *others), size = np.unique(readouts.samples[data]).tolist(), encoding.recon.matrix[0]
    cropped = not others and samples == size and (readouts.centre[data] == size // 2).all()
    return size if cropped and encoding.encoded.fov[0] > 1.05 * encoding.recon.fov[0] else encoding.encoded.matrix[0]


def _axis(name: str, what: str, counter: np.ndarray, encoding: Encoding, number: int, said: list[str]) -> Axis:
    """A phase-encode axis; what the header calls its centre lies there.

    Lines missing on one side of the centre count as encoded, as do those at the rim that are fewer than lie between others
    and within the header's limits. Limits that do not hold all lines are not used, and it is said.
    """
    size, limits = encoding.encoded.matrix[number], encoding.lines if number == 1 else encoding.partitions
    first, last = int(counter.min()), int(counter.max())
    if first == last and number == 2:
        return Axis(1, first, (0, 1), encoding.encoded.fov[number], 1)
    if limits is not None and not limits[0] <= first <= last <= limits[1]:
        said.append(
            f"{what} {first} to {last} are not within the header's limits: their centre is taken for that of the matrix"
        )
        limits = None
    middle = size // 2 if limits is None else limits[2]
    if middle - first > size // 2 or last - middle >= size - size // 2:
        raise InputError(
            f"{name}: {what} {first} to {last} around {middle} do not fit an encoded matrix of {size}; "
            "the header's encodingLimits or matrixSize are wrong"
        )
    if limits is not None:
        gap = int(np.diff(np.unique(counter)).max(initial=1))
        first, last = (limits[0] if first - limits[0] < gap else first), (limits[1] if limits[1] - last < gap else last)
    start, end = size // 2 - max(middle - first, last - middle), size // 2 + max(middle - first, last - middle + 1)
    spacing, kept = _fit(encoding, number, size)
    return Axis(size, middle, (0, size) if start <= 0 or end >= size else (start, end), spacing, kept)


def _fitting(readouts: Readouts, lines: Axis, partitions: Axis, said: list[str]) -> Readouts:
    """Readouts without those of calibration that lie beyond the matrix."""
    places = ((lines, lines.entries(readouts.line)), (partitions, partitions.entries(readouts.partition)))
    fits = np.logical_and.reduce([(place >= 0) & (place < axis.size) for axis, place in places if axis.size > 1])
    if not fits[readouts.calibration].all():
        said.append("calibration lines beyond the encoded matrix are not used")
    return replace(readouts, calibration=readouts.calibration & fits)


def _check_filled(name: str, readouts: Readouts, data: np.ndarray, lines: Axis, partitions: Axis) -> None:
    """InputError for a matrix of which next to nothing was measured."""
    places = lines.entries(readouts.line[data]) * partitions.size
    if partitions.size > 1:
        places += partitions.entries(readouts.partition[data])
    if lines.size * partitions.size > EMPTY * len(np.unique(places)):
        size = f"{lines.size} x {partitions.size}"
        raise InputError(f"{name}: its header declares {size} lines, of which next to none were measured; it is damaged")


def _from_the_centre(readouts: Readouts, data: np.ndarray, lines: Axis, partitions: Axis) -> np.ndarray:
    """Numbers of the readouts of data, those nearest to the centre of k-space first."""
    numbers = np.flatnonzero(data)
    away = [
        abs(counter[numbers].astype(np.int64) - axis.middle)
        for counter, axis in ((readouts.line, lines), (readouts.partition, partitions))
    ]
    return numbers[np.argsort(away[0] + away[1], kind="stable")]


class Images(NamedTuple):
    """What frames are, the frame of each readout, (n,) int, -1 of none, how many there are, the numbers of the readouts of each
    part by its entities, and what to say of them.
    """

    frame_axis: str
    frame: np.ndarray
    frames: int
    parts: dict[str, np.ndarray]
    warnings: tuple[str, ...]


def _images(name: str, readouts: Readouts, data: np.ndarray) -> Images:
    """Frames and parts by the counters that count; InputError where they make more images than there are readouts."""
    numbers = np.flatnonzero(data)
    found = {counter: np.unique(readouts.counters[counter][numbers], return_inverse=True) for counter in COUNTERS}
    several = [counter for counter, (values, _) in found.items() if len(values) > 1]
    frame, frames, said = np.where(data, 0, -1), 1, []
    if several:
        frame[numbers], frames = found[several[0]][1], len(found[several[0]][0])
        sizes = np.bincount(frame[numbers])
        if sizes[-1] < INCOMPLETE * sizes.max():
            said.append(f"{several[0]} {frames} has {sizes[-1]} of {sizes.max()} lines and is left out")
            frame[frame == frames - 1] = -1
            frames -= 1
    others = several[1:]
    keys = np.stack([found[counter][1] for counter in others], 1) if others else np.zeros((len(numbers), 1), int)
    keys, part = np.unique(keys, axis=0, return_inverse=True)
    if len(keys) * frames * len(np.unique(readouts.slice[numbers])) > len(numbers):
        raise InputError(f"{name}: its counters make more images than it has readouts; the file is damaged")
    entities = [_entities(dict(zip(others, key, strict=False))) for key in keys.tolist()]
    every = zip(entities, split(numbers, part.ravel(), len(keys)), strict=True)
    parts = {entity: chosen for entity, chosen in every if (frame[chosen] >= 0).any()}
    return Images(several[0] if frames > 1 else "", frame, frames, parts, tuple(said))


def _entities(numbers: Mapping[str, int]) -> str:
    """BIDS entities of a part: echo-2, rec-set1phase3."""
    rest = "".join(f"{name}{number + 1}" for name, number in numbers.items() if name != "contrast")
    echo = [f"echo-{numbers['contrast'] + 1}"] if "contrast" in numbers else []
    return "_".join([*echo, *([f"rec-{rest}"] if rest else [])])


class Part(NamedTuple):
    """The images of a part: numbers of the readouts of each slice or, in 3-D, slab of each frame, what each of these measured,
    what all did, and numbers of the calibration readouts of each slice or slab.
    """

    lines: Lines
    numbers: list[np.ndarray]
    measured: list[np.ndarray]
    union: np.ndarray
    calibrating: list[np.ndarray]

    @property
    def slices(self) -> int:
        """Images of a frame."""
        every = self.lines.every
        return every.kept if every.solid else len(every.place.slices)

    def group(self, image: int) -> int:
        """Which of `numbers` an image is of."""
        return image // self.slices if self.lines.every.solid else image

    def read(self, image: int) -> np.ndarray:
        """K-space of an image."""
        return self.lines.image(self.numbers[self.group(image)], image % self.slices)

    def mask(self, image: int) -> np.ndarray:
        """What was measured of an image; of an empty one as of all."""
        found = self.measured[self.group(image)]
        return found if found.any() else lines_of(self.union)

    def calibration(self, image: int) -> np.ndarray:
        """K-space of the calibration lines of an image."""
        return self.lines.image(self.calibrating[self.group(image) % len(self.calibrating)], image % self.slices)

    def number(self, image: int) -> int:
        """The image's number by the scanner's counters."""
        every, chosen = self.lines.every, self.numbers[self.group(image)]
        if len(chosen) == 0:
            return image
        return _number(every.readouts, int(chosen[0]), image % self.slices if every.solid else None)


def _scan(path: Path, lines: Lines, images: Images, chosen: np.ndarray, how: Reading, spacing: float) -> Scan:
    """The scan of a part, numbers of its readouts; spacing: mm between rows of the readout."""
    every, groups, readouts = lines.every, lines.every.groups, lines.every.readouts
    count = 1 if every.solid else len(every.place.slices)
    numbers = split(chosen, np.where(images.frame < 0, -1, images.frame * count + groups)[chosen], images.frames * count)
    measured, repeats = _sampled(every, numbers)
    different = list({id(one): one for one in measured if one.any()}.values())
    if not different:
        raise InputError(f"{path}: no readout measures anything of the matrix that its header declares; it is damaged")
    union = np.logical_or.reduce([np.broadcast_to(one, every.shape()) for one in different])
    calibrating = split(np.flatnonzero(readouts.calibration), groups[readouts.calibration], count)
    part = Part(lines, numbers, measured, union, calibrating)
    row_axis, col_axis = (every.lines, every.partitions) if every.solid else (None, every.lines)
    limits, row_limits = col_axis.limits(), None if row_axis is None else row_axis.limits()
    inside = union[slice(*(row_limits or (None,))), slice(*(limits or (None,)))]
    shape = (every.kept if row_axis is None else row_axis.kept, col_axis.kept) if how.crop else union.shape
    affine, voxel = affine_at(every, spacing, (shape[0], shape[1]))
    return Scan(
        name=str(path),
        slices=part.slices,
        coils=every.receivers.used,
        rows=union.shape[0],
        cols=union.shape[1],
        recon_shape=(shape[0], shape[1]),
        mask=None if len(different) == 1 and inside.all() else lines_of(union),
        limits=limits,
        row_limits=row_limits,
        voxel_mm=voxel,
        affine=affine,
        oversampled=every.kept != every.rows,
        warnings=(),
        files=(path,),
        read=part.read,
        noise=None if every.receivers.sigma is None else every.receivers.sigma / repeats**0.5,
        position_known=every.place.known,
        frames=images.frames,
        frame_axis=images.frame_axis,
        time_step=_time_step(readouts.time, images.frame, chosen) if images.frame_axis == "repetition" else None,
        masks=None if len(different) == 1 else part.mask,
        calibration=part.calibration if (readouts.calibration & ~every.data).any() else None,
        coil_matrix=every.receivers.matrix if every.receivers.changed else None,
        number=part.number,
    )


def _number(readouts: Readouts, one: int, along: int | None) -> int:
    """A number below 2 ** 62 of the image that a readout is of, by the scanner's counters; along: its place in a 3-D scan."""
    number = int(readouts.slice[one]) if along is None else along
    for name, first, bits in zip(COUNTERS, (16, 32, 42, 52), (16, 10, 10, 10), strict=True):
        number += int(readouts.counters[name][one]) % 2**bits << first
    return number


def _sampled(every: Sorted, numbers: Sequence[np.ndarray]) -> tuple[list[np.ndarray], float]:
    """What each image measured, (rows | 1, cols | 1) bool, one array for all that are alike; and how often, most of all."""
    kinds: dict[tuple[tuple[int, ...], bytes], np.ndarray] = {}
    measured, repeats = [], []
    for chosen in numbers:
        counts = every.counts(chosen)
        mask = lines_of(counts > 0)
        measured.append(kinds.setdefault((mask.shape, mask.tobytes()), mask))
        if mask.any():
            repeats.append(np.median(counts[counts > 0]))
    return measured, float(np.median(repeats)) if repeats else 1.0


def _time_step(time: np.ndarray, frame: np.ndarray, part: np.ndarray) -> float | None:
    """Seconds between the first readouts of neighbouring frames, None where unknown."""
    begins = [time[chosen].min() for chosen in split(part, frame[part], int(frame.max()) + 1) if len(chosen)]
    step = float(np.median(np.diff(begins))) if len(begins) > 1 else 0.0
    return step if step > 0 else None
