"""The scan that the readouts of a raw format are: 2-D slices or a 3-D slab, frames, and parts for further counters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.header import Encoding, fit_axis
from mri_d3gm.io.raw.lines import Axis, Lines, Sorted, affine_at, kinds_of, split
from mri_d3gm.io.raw.patient import place
from mri_d3gm.io.raw.readouts import COUNTERS, Readouts
from mri_d3gm.io.raw.receivers import receivers
from mri_d3gm.io.raw.series import NAMED, Series, series_of, time_step
from mri_d3gm.io.raw.usable import check, check_filled
from mri_d3gm.io.sampling import lines_of, misses_centre
from mri_d3gm.io.scan import Reading, Scan


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
    check(name, readouts, encoding, data)
    rows = _rows(readouts, encoding, data)
    spacing, kept = _fit(encoding, 0, rows)
    kept = kept if how.crop else rows
    lines = _axis(name, "lines", readouts.line[data], encoding, 1, said)
    partitions = _axis(name, "partitions", readouts.partition[data], encoding, 2, said)
    check_filled(name, readouts, data, lines, partitions)
    readouts = _fitting(readouts, rows, lines, partitions, said)
    thickness, solid = encoding.recon.fov[2] / encoding.recon.matrix[2], partitions.size > 1
    edges = spacing, lines.spacing, partitions.spacing if solid else thickness
    series = series_of(name, readouts, data, edges, partitions.spacing * partitions.kept if solid else None)
    central = _from_the_centre(readouts, data, lines, partitions)
    found = receivers(readouts, data, central, encoding.noise_bandwidth, heard)
    kind, covers = kinds_of(readouts, rows, kept)
    if len(np.unique(kind[data])) > 1:
        said.append("readouts differ in length or centre: each is placed by its own centre")
    if solid and not covers[kind[data]].all():
        said.append("the echo is asymmetric: a 3-D scan is zero-filled along the readout")
    readers: dict[bytes, Lines] = {}
    scans = {}
    echoes = np.unique(readouts.counters["contrast"][np.concatenate([*series.parts.values()])])
    for entities, beside in series.beside.items():
        if (key := beside.tobytes()) not in readers:
            placed = place(name, readouts, data & beside, thickness)
            every = Sorted(readouts, data, rows, kept, lines, partitions, found, placed, kind, covers)
            readers[key] = Lines(every, beside)
        scan = _scan(path, readers[key], series, entities, how, spacing)
        scan = replace(scan, contrasts=_contrasts(series, encoding.echo_times))
        times = _echo_time(readouts, series, entities, encoding) if len(echoes) > 1 else {}
        own = dict(facts or {}) | times | _thickness(encoding, scan, solid=solid)
        scans[entities] = replace(scan, facts={name: fact for name, fact in own.items() if fact != ""}, study=dict(study or {}))
    said += [word for reader in readers.values() for word in reader.every.place.warnings]
    said += [*found.warnings, *series.warnings, *(word for scan in scans.values() for word in scan.warnings)]
    scans = {entities: replace(scan, warnings=tuple(dict.fromkeys(said))) for entities, scan in scans.items()}
    first = next(iter(scans.values()))
    return replace(first, parts=scans) if len(scans) > 1 else first


def _contrasts(series: Series, times: Sequence[float]) -> tuple[Mapping[str, float], ...]:
    """The echo time of each frame where frames are echoes, as far as it is known."""
    if series.frame_axis != "contrast":
        return ()
    return tuple({"EchoTime": times[echo]} if echo < len(times) else {} for echo in series.values.tolist())


def _echo_time(readouts: Readouts, series: Series, entities: str, encoding: Encoding) -> dict[str, object]:
    """The echo times of a part; '' where they are not known."""
    echoes = series.values if series.frame_axis == "contrast" else readouts.counters["contrast"][series.parts[entities]][:1]
    known = [encoding.echo_times[echo] for echo in echoes if echo < len(encoding.echo_times)]
    return {"TE (ms)": ", ".join(f"{time:g}" for time in known) if len(known) == len(echoes) else ""}


def _thickness(encoding: Encoding, scan: Scan, *, solid: bool) -> dict[str, object]:
    """The thickness of 2-D slices, unless the header counts all slices for one or they would overlap by half."""
    (*_, count), (*_, thick) = encoding.recon
    apart = scan.voxel_mm[2] if scan.slices > 1 else thick
    return {} if solid or count > 1 or thick > 2 * apart else {"slice thickness (mm)": round(thick, 4)}


def _without_centre(measured: Sequence[np.ndarray], slices: int) -> tuple[str, ...]:
    """What to say of images that were not measured near the centre of k-space."""
    missed = {id(one): one.any() and misses_centre(one) for one in measured}
    places = [divmod(image, slices) for image, one in enumerate(measured) if missed[id(one)]]
    if not places:
        return ()
    several = len(measured) > slices
    words = ((f"slice {index}" * (slices > 1), f"frame {frame}" * several) for frame, index in places[:NAMED])
    named = ", ".join(" of ".join(filter(None, both)) for both in words)
    which = f"{len(places)} of {len(measured)} images lack" if len(measured) > 1 else "the image lacks"
    where = f" ({named})" if named else ""
    return (f"{which} the centre of k-space{where}: the object's brightness and shape are not known there",)


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


def _fitting(readouts: Readouts, rows: int, lines: Axis, partitions: Axis, said: list[str]) -> Readouts:
    """Readouts without those of calibration that lie beyond the matrix, or are longer than it."""
    places = ((lines, lines.entries(readouts.line)), (partitions, partitions.entries(readouts.partition)))
    fits = np.logical_and.reduce([(place >= 0) & (place < axis.size) for axis, place in places if axis.size > 1])
    fits = fits & (readouts.samples <= rows)
    if not fits[readouts.calibration].all():
        said.append("calibration lines beyond the encoded matrix are not used")
    return replace(readouts, calibration=readouts.calibration & fits)


def _from_the_centre(readouts: Readouts, data: np.ndarray, lines: Axis, partitions: Axis) -> np.ndarray:
    """Numbers of the readouts of data, those nearest to the centre of k-space first."""
    numbers = np.flatnonzero(data)
    away = [
        abs(counter[numbers].astype(np.int64) - axis.middle)
        for counter, axis in ((readouts.line, lines), (readouts.partition, partitions))
    ]
    return numbers[np.argsort(away[0] + away[1], kind="stable")]


class Part(NamedTuple):
    """The images of a part: numbers of the readouts of each slice or, in 3-D, slab of each frame, what each of these measured,
    and what all did.
    """

    lines: Lines
    numbers: list[np.ndarray]
    measured: list[np.ndarray]
    union: np.ndarray

    @property
    def slices(self) -> int:
        """Images of a frame."""
        every = self.lines.every
        return every.kept if every.solid else every.slices

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
        calibrating = self.lines.calibrating
        return self.lines.image(calibrating[self.group(image) % len(calibrating)], image % self.slices)

    def number(self, image: int) -> int:
        """The image's number by the scanner's counters."""
        every, chosen = self.lines.every, self.numbers[self.group(image)]
        if len(chosen) == 0:
            return image
        return _number(every.readouts, int(chosen[0]), image % self.slices if every.solid else None)


def _scan(path: Path, lines: Lines, series: Series, entities: str, how: Reading, spacing: float) -> Scan:
    """The scan of a part, of whose volumes nothing else is told; spacing: mm between rows of the readout."""
    every, readouts, count = lines.every, lines.every.readouts, lines.every.slices
    chosen = series.parts[entities]
    frame = series.frame[chosen]
    numbers = split(chosen, np.where(frame < 0, -1, frame * count + every.groups(chosen)), series.frames * count)
    measured, repeats = _sampled(every, numbers)
    different = list({id(one): one for one in measured if one.any()}.values())
    if not different:
        raise InputError(f"{path}: no readout measures anything of the matrix that its header declares; it is damaged")
    union = np.logical_or.reduce([np.broadcast_to(one, every.shape()) for one in different])
    part = Part(lines, numbers, measured, union)
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
        warnings=_without_centre(measured, count),
        files=(path,),
        read=part.read,
        noise=None if every.receivers.sigma is None else every.receivers.sigma / repeats**0.5,
        position_known=every.place.known,
        frames=series.frames,
        frame_axis=series.frame_axis,
        time_step=time_step(readouts.time, series.frame, chosen) if series.frame_axis == "repetition" else None,
        blank=frozenset(image for image in range(series.frames * part.slices) if not measured[part.group(image)].any()),
        masks=None if len(different) == 1 else part.mask,
        calibration=part.calibration if lines.apart else None,
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
