"""Raw data of an analytic object, measured as a scanner does, and ISMRMRD files of them.

K-space is the Fourier integral of the object, exp(-2 pi i k r) with r in mm from the centre of slice or slab: no grid, and
nothing that a reader uses.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import ismrmrd
import ismrmrd.xsd as xsd
import numpy as np
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.serializers import XmlSerializer

SERIALIZER = XmlSerializer(context=XmlContext())  # ismrmrd's own builds a context each time, which takes most of the time
AXIAL = np.eye(3)  # read towards left, phase towards posterior, normal towards head
TICK = 0.0025
JUNK = 1e3  # what readouts hold that are no data


class Blob(NamedTuple):
    """A Gaussian of deviation `width` mm, a point where that is 0; position: mm, LPS."""

    position: tuple[float, float, float]
    width: float = 0.0
    value: complex = 1.0


class Coil(NamedTuple):
    """A coil whose sensitivity is a Gaussian around `position`, mm, LPS."""

    position: tuple[float, float, float]
    width: float
    value: complex = 1.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How an object is measured.

    matrix: encoded (readout without oversampling, lines, partitions); voxel: mm along each, the last the thickness of a 2-D
    slice; image: voxels that are kept, fewer than matrix where that is oversampled; interpolated: how many times more the
    header says. orientation: rows are read, phase and normal, LPS. slices: positions from `centre` along the normal in mm, in
    the order of acquisition; numbers: the counter of each. entries: (line, partition) from the centre, all if None, or a
    sequence of such for each repetition in turn; middles: counters of the centre; limits: of lines, if not what was measured.
    echo: samples before and from the centre on; discard: samples at both ends that are none. calibration: entries, with their
    own echo. counts: of average, contrast, phase, repetition, set; a contrast, phase, repetition or set is as bright as its
    number from 1. covariance: of the noise of readouts, (coils, coils); noise_samples: of a noise scan; dwell: microseconds of
    both. alternating: every second line is played backwards, `ghost` samples late and radians off. ramps: microseconds that
    the gradient rises, is flat, and until it is sampled. junk: flags of readouts that are no data. without: elements left out
    of the header.
    """

    matrix: tuple[int, int, int] = (16, 12, 1)
    voxel: tuple[float, float, float] = (3.0, 3.5, 4.0)
    image: tuple[int, int, int] | None = None
    interpolated: int = 1
    oversampling: int = 1
    orientation: np.ndarray = field(default_factory=lambda: AXIAL)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    positioned: bool = True
    slices: Sequence[float] = (0.0,)
    numbers: Sequence[int] | None = None
    entries: Sequence[Any] | None = None
    middles: tuple[int, int] | None = None
    limits: tuple[int, int, int] | None = None
    echo: tuple[int, int] | None = None
    discard: tuple[int, int] = (0, 0)
    calibration: Sequence[tuple[int, int]] = ()
    calibration_echo: tuple[int, int] | None = None
    embedded: bool = True
    coils: Sequence[Coil] = ()
    counts: dict[str, int] = field(default_factory=dict)
    covariance: np.ndarray | None = None
    noise_samples: int = 0
    dwell: tuple[float, float] = (5.0, 5.0)
    bandwidth: float = 1.0
    trajectory: str = "cartesian"
    alternating: bool = False
    ghost: tuple[float, float] = (0.0, 0.0)
    navigators: bool = False
    ramps: tuple[float, float, float] | None = None
    junk: Sequence[int] = ()
    vendor: str = "made"
    without: Sequence[str] = ()


class Shot(NamedTuple):
    """A readout (coils, samples): what it is for (imaging, calibration, both, noise, navigator, or a number of a flag), its
    counters, the sample that is the centre as if played forwards, where the centre of its slice is, when it was read, in
    seconds, and whether it was played backwards.
    """

    kind: str | int
    counters: dict[str, int]
    data: np.ndarray
    centre: int = 0
    position: np.ndarray = np.zeros(3)
    time: float = 0.0
    backwards: bool = False


def full(lines: Sequence[int], partitions: Sequence[int] = (0,)) -> list[tuple[int, int]]:
    """All entries of lines and partitions, from the centre."""
    return [(line, partition) for partition in partitions for line in lines]


def axis(size: int) -> range:
    """All entries of an axis, from its centre."""
    return range(-(size // 2), size - size // 2)


def signal(objects: Sequence[Blob], made: Protocol, centre: np.ndarray, wave: Sequence[np.ndarray]) -> np.ndarray:
    """K-space (coils, *wave) at wave numbers along read, phase and, of a 3-D scan, normal, in 1/mm, around a centre in mm.

    In units in which the orthonormal inverse FFT of the encoded matrix gives the object.
    """
    solid = made.matrix[2] > 1
    coils = made.coils or [Coil((0.0, 0.0, 0.0), np.inf)]
    found = np.zeros((len(coils), *map(len, wave)), complex)
    for (index, coil), blob in product(enumerate(coils), objects):
        place, around, power = np.array(blob.position), np.array(coil.position), blob.width**2 / (blob.width**2 + coil.width**2)
        power = 0.0 if np.isinf(coil.width) else power
        value = blob.value * coil.value
        if np.isfinite(coil.width):
            value = value * np.exp(-((place - around) ** 2).sum() / 2 / (blob.width**2 + coil.width**2))
        at = made.orientation @ (place + (around - place) * power - centre)
        width = blob.width * (1 - power) ** 0.5
        if not solid:
            value = value * (abs(at[2]) < made.voxel[2] / 2 if not width else np.exp(-(at[2] ** 2) / 2 / width**2))
        for number, (one, size) in enumerate(zip(wave, made.voxel, strict=False)):
            line = np.exp(-2j * np.pi * one * at[number] - 2 * (np.pi * width * one) ** 2)
            line *= (2 * np.pi) ** 0.5 * width / size if width else 1
            value = np.multiply.outer(value, line)
        found[index] += value
    return found / prod((made.matrix[0] * made.oversampling, *made.matrix[1:])) ** 0.5


def echo_of(made: Protocol, kind: str) -> tuple[int, int]:
    """Samples before the centre and from it on."""
    rows = made.matrix[0] * made.oversampling
    return (made.calibration_echo if kind == "calibration" else None) or made.echo or (rows // 2, rows - rows // 2)


def waves(made: Protocol, kind: str = "imaging", late: float = 0.0) -> list[np.ndarray]:
    """Wave numbers in 1/mm of a readout, all lines, and all partitions of a 3-D scan."""
    before, after = echo_of(made, kind)
    read = (np.arange(-before, after) + late) / (made.matrix[0] * made.voxel[0] * made.oversampling)
    rest = [np.array(axis(size)) / (size * mm) for size, mm in zip(made.matrix[1:], made.voxel[1:], strict=True)]
    return [read, *(rest if made.matrix[2] > 1 else rest[:1])]


def shots(objects: Sequence[Blob], made: Protocol, seed: int = 0) -> Iterator[Shot]:
    """All readouts in the order of their acquisition."""
    random = np.random.default_rng(seed)
    coils = max(1, len(made.coils))
    root = None if made.covariance is None else root_of(made.covariance)

    def noise(samples: int) -> np.ndarray:
        white = random.normal(0, 0.5**0.5, (2, coils, samples))
        return 0.0 if root is None else root @ (white[0] + 1j * white[1])

    if made.noise_samples:
        spectrum = np.fft.fft(noise(made.noise_samples), norm="ortho")
        spectrum[:, round(made.bandwidth * made.noise_samples) :] = 0
        yield Shot("noise", {}, np.fft.ifft(spectrum, norm="ortho") * (made.dwell[0] / made.dwell[1]) ** 0.5)
    planes = [np.array(made.centre) + offset * made.orientation[2] for offset in made.slices]
    lines = [_of_plane(objects, made, plane) for plane in planes]
    time, middles = 0.0, made.middles or (made.matrix[1] // 2, made.matrix[2] // 2)
    counted = ("repetition", "phase", "set", "contrast", "average")
    for numbers in product(*(range(made.counts.get(name, 1)) for name in counted)):
        counters = dict(zip(counted, numbers, strict=True))
        bright = prod(number + 1 for name, number in counters.items() if name != "average")
        for index, plane in enumerate(planes):
            place = counters | {"slice": index if made.numbers is None else made.numbers[index]}
            for order, (kind, line, partition) in enumerate(_plan(made, counters)):
                backwards = made.alternating and order % 2 == 1
                data = lines[index][kind == "calibration", backwards][..., line, partition] * bright
                data = data + noise(data.shape[-1])
                before = echo_of(made, kind)[0]
                step = {"kspace_encode_step_1": line + middles[0], "kspace_encode_step_2": partition + middles[1]}
                yield Shot(kind, place | step, data[:, ::-1] if backwards else data, before, plane, time, backwards)
                time += 2 * TICK


def shots_of(kspace: np.ndarray, made: Protocol, noise: np.ndarray | None = None) -> Iterator[Shot]:
    """Readouts of k-space (repetitions, slices, coils, samples, lines, partitions), of what is not zero in it.

    noise: a noise scan (coils, samples), which comes first.
    """
    if noise is not None:
        yield Shot("noise", {}, noise)
    for repetition, number in np.ndindex(kspace.shape[:2]):
        data, plane = kspace[repetition, number], np.array(made.centre) + made.slices[number] * made.orientation[2]
        for line, partition in np.argwhere(data.any((0, 1))).tolist():
            place = {"repetition": repetition, "slice": number}
            place |= {"kspace_encode_step_1": line, "kspace_encode_step_2": partition}
            yield Shot("imaging", place, data[:, :, line, partition], data.shape[1] // 2, plane)


def root_of(covariance: np.ndarray) -> np.ndarray:
    """A matrix that gives white noise this covariance, of which coils may be silent."""
    power, vectors = np.linalg.eigh(covariance)
    return vectors * power.clip(0) ** 0.5


def _of_plane(objects: Sequence[Blob], made: Protocol, plane: np.ndarray) -> dict[tuple[bool, bool], np.ndarray]:
    """K-space (coils, samples, lines, partitions) of a slice, by whether it is of calibration and played backwards. Lines and
    partitions count from the centre, those before it from the end.
    """
    found = {}
    for calibration, backwards in product((False, True), (False, True)):
        if (calibration and not made.calibration) or (backwards and not made.alternating):
            continue
        late, turned = made.ghost if backwards else (0.0, 0.0)
        kspace = signal(objects, made, plane, waves(made, "calibration" if calibration else "imaging", late))
        kspace = kspace.reshape(*kspace.shape[:2], *made.matrix[1:]) * np.exp(1j * turned)
        found[calibration, backwards] = np.fft.ifftshift(kspace, axes=(2, 3)).astype(np.complex64)
    return found


def _plan(made: Protocol, counters: dict[str, int]) -> list[tuple[str | int, int, int]]:
    """What is read of a slice, in order: kind, line and partition from the centre."""
    every = full(axis(made.matrix[1]), axis(made.matrix[2])) if made.entries is None else made.entries
    if made.entries is not None and isinstance(every[0][0], tuple):
        every = every[counters["repetition"] % len(every)]
    both = set(made.calibration) & set(every) if made.embedded else set()
    plan: list[tuple[str | int, int, int]] = [("navigator", 0, 0)] * 3 if made.navigators else []
    if made.embedded or not any(counters.values()):
        plan += [("calibration", *entry) for entry in made.calibration if entry not in both]
    plan += [(kind, 0, 0) for kind in made.junk]
    return plan + [("both" if entry in both else "imaging", *entry) for entry in every]


def write_ismrmrd(path: Path, objects: Sequence[Blob], made: Protocol, seed: int = 0) -> Path:
    """The ISMRMRD file of a measurement."""
    return write_ismrmrd_shots(path, shots(objects, made, seed), made)


def write_ismrmrd_shots(path: Path, every: Iterator[Shot], made: Protocol) -> Path:
    """The ISMRMRD file of readouts."""
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as file:
        file.write_xml_header(header_of(made))
    _append(path, every, made, 0)
    return path


def append_ismrmrd(path: Path, objects: Sequence[Blob], made: Protocol, seed: int = 0, encoding: int = 0) -> None:
    """Write the readouts of a measurement behind those of a file."""
    _append(path, shots(objects, made, seed), made, encoding)


def _append(path: Path, every: Iterator[Shot], made: Protocol, encoding: int) -> None:
    with ismrmrd.File(str(path), "a") as file:
        group = file["dataset"]
        while readouts := [_acquisition(shot, made, encoding) for shot in islice(every, 512)]:
            if group.has_acquisitions():
                group.acquisitions.extend(readouts)
            else:
                group.acquisitions = readouts


def _acquisition(shot: Shot, made: Protocol, encoding: int) -> ismrmrd.Acquisition:
    kinds = {
        "noise": [ismrmrd.ACQ_IS_NOISE_MEASUREMENT],
        "calibration": [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION],
        "both": [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING],
        "navigator": [ismrmrd.ACQ_IS_PHASECORR_DATA],
        "imaging": [],
    }
    flags = [shot.kind] if isinstance(shot.kind, int) else kinds[shot.kind]
    data = np.full_like(shot.data, JUNK) if isinstance(shot.kind, int) else shot.data
    before, after = (0, 0) if shot.kind == "noise" else made.discard
    data = np.pad(data, ((0, 0), (before, after)), constant_values=JUNK)
    made_of = ismrmrd.Acquisition.from_array(
        np.ascontiguousarray(data, np.complex64),
        center_sample=shot.centre + before,
        discard_pre=before,
        discard_post=after,
        encoding_space_ref=encoding,
        sample_time_us=made.dwell[shot.kind == "noise"],
        acquisition_time_stamp=round(shot.time / TICK),
        flags=sum(1 << flag - 1 for flag in [*flags, *([ismrmrd.ACQ_IS_REVERSE] if shot.backwards else [])]),
    )
    for name, value in shot.counters.items():
        setattr(made_of.idx, name, value)
    if made.positioned:
        made_of.position[:] = shot.position
        for name, vector in zip(("read_dir", "phase_dir", "slice_dir"), made.orientation, strict=True):
            getattr(made_of, name)[:] = vector
    return made_of


def header_of(*made: Protocol) -> bytes:
    """The XML header of measurements, one encoding each."""
    first = made[0]
    system = xsd.acquisitionSystemInformationType(
        systemVendor=first.vendor, relativeReceiverNoiseBandwidth=first.bandwidth, systemFieldStrength_T=3.0
    )
    header = xsd.ismrmrdHeader(
        acquisitionSystemInformation=system,
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000),
        encoding=[_encoding(one) for one in made],
        sequenceParameters=xsd.sequenceParametersType(TR=[5.0], TE=[2.0]),
    )
    text = SERIALIZER.render(header, ns_map={"": "http://www.ismrm.org/ISMRMRD"})
    for name in first.without:
        text = re.sub(rf"<{name}>.*?</{name}>", "", text, flags=re.DOTALL)
    return text.encode()


def _encoding(made: Protocol) -> xsd.encodingType:
    image = made.image or made.matrix
    matrix = (made.matrix[0] * made.oversampling, *made.matrix[1:])
    middles = made.middles or (made.matrix[1] // 2, made.matrix[2] // 2)
    every = [*_entries(made), *(made.calibration if made.embedded else ())]
    limits = [
        xsd.limitType(minimum=min(one) + middle, maximum=max(one) + middle, center=middle)
        for one, middle in zip(zip(*every, strict=True), middles, strict=True)
    ]
    if made.limits is not None:
        limits[0] = xsd.limitType(**dict(zip(("minimum", "maximum", "center"), made.limits, strict=True)))
    parallel = xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=1, kspace_encoding_step_2=1),
        calibrationMode=xsd.calibrationModeType("embedded" if made.embedded else "separate"),
    )
    return xsd.encodingType(
        encodedSpace=_space(matrix, [size * mm for size, mm in zip(matrix, made.voxel, strict=True)]),
        reconSpace=_space(
            (image[0] * made.interpolated, image[1] * made.interpolated, image[2]),
            [size * mm for size, mm in zip(image, made.voxel, strict=True)],
        ),
        encodingLimits=xsd.encodingLimitsType(kspace_encoding_step_1=limits[0], kspace_encoding_step_2=limits[1]),
        trajectory=xsd.trajectoryType(made.trajectory),
        trajectoryDescription=None if made.ramps is None else _described(made, made.ramps),
        parallelImaging=parallel,
    )


def _described(made: Protocol, ramps: tuple[float, float, float]) -> xsd.trajectoryDescriptionType:
    times = dict(zip(("rampUpTime", "flatTopTime", "acqDelayTime"), ramps, strict=True))
    times["numSamples"] = made.matrix[0] * made.oversampling
    return xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI",
        userParameterLong=[xsd.userParameterLongType(name=name, value=int(value)) for name, value in times.items()],
        userParameterDouble=[xsd.userParameterDoubleType(name="dwellTime", value=made.dwell[0])],
    )


def _entries(made: Protocol) -> list[tuple[int, int]]:
    if made.entries is None:
        return full(axis(made.matrix[1]), axis(made.matrix[2]))
    nested = isinstance(made.entries[0][0], tuple)
    return [entry for one in made.entries for entry in one] if nested else list(made.entries)


def _space(matrix: Sequence[int], fov: Sequence[float]) -> xsd.encodingSpaceType:
    sizes, lengths = dict(zip("xyz", matrix, strict=True)), dict(zip("xyz", fov, strict=True))
    return xsd.encodingSpaceType(matrixSize=xsd.matrixSizeType(**sizes), fieldOfView_mm=xsd.fieldOfViewMm(**lengths))
