"""Reader of Siemens raw data (twix, .dat) of VB to XA.

Where the image lies: the head of a readout holds the centre of its slice or slab (Sag, Cor, Tra, in mm) and a quaternion
(w, x, y, z) whose rotation matrix has the directions of phase encode, readout and slice as columns, in that order. Both count
towards the patient's left, posterior and head, however the patient lies in the scanner (HFS, FFP, ...), which is therefore only
reported. Siemens' directions are those of an image by a forward Fourier transform of k-space; here it is the inverse one, so
all three are turned around. The columns are stated by siemens_to_ismrmrd and twixtools; that they turn, by twixtools
(`rps_to_prs`) and MRpro (issue 828), and it was measured: air in bottles between a spine and a body array lies up only so.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import reading
from mri_d3gm.io.raw.epi import even_steps
from mri_d3gm.io.raw.header import Encoding, Space
from mri_d3gm.io.raw.readouts import Readouts
from mri_d3gm.io.raw.series import without_slices
from mri_d3gm.io.raw.sorted_scan import scan_of_readouts
from mri_d3gm.io.raw.twix_file import Measurement, Protocol, bounds, coil_numbers, layouts, measurement, samples_of
from mri_d3gm.io.scan import PLAIN, Reading, Scan

TICK = 0.0025  # seconds of a time stamp
BANDWIDTH = 0.793  # part of the receivers' bandwidth that noise fills, as siemens_to_ismrmrd writes it
LARGEST = 4  # times as large as what was measured an encoded matrix may be
TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "propeller"}
EMBEDDED = 2  # ucRefScanMode
COUNTERS = {"repetition": "Rep", "phase": "Phs", "contrast": "Eco", "set": "Set"}
NO_DATA = ("RTFEEDBACK", "HPFEEDBACK", "REFPHASESTABSCAN", "PHASESTABSCAN", "RETRO_DUMMYSCAN", "noname60")


class Ramps(NamedTuple):
    """What makes samples under a gradient's ramps even: a matrix (n, n); radians for each mm of the readout's offset, (n,)."""

    matrix: np.ndarray
    shift: np.ndarray


def read_twix(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a measurement, sorted by `sorted_scan`. InputError for what cannot be used.

    Noise is that of the measurement, else that of the last one before it with the same coils. What is whole of a file that was
    cut off is used, and it is said.
    """
    kinds = layouts(path)
    with reading(path):
        new, every = bounds(path)
        number = (how.measurement or len(every)) - 1
        if not 0 <= number < len(every):
            raise InputError(f"{path}: --measurement {how.measurement}: the file holds {len(every)}")
        found = measurement(path, kinds[new], *every[number])
        chosen = _of_one_coil_array(found)
        if not len(chosen.heads):
            raise InputError(f"{path}: measurement {number + 1} holds no whole readout; the file is cut off or damaged")
        said = [f"measurement {number + 1} of {len(every)} is read; --measurement chooses"] if len(every) > 1 else []
        if not chosen.whole:
            said.append("the file is cut off or damaged: what is whole of it is used")
        noise = flagged(found.heads, "NOISEADJSCAN")
        if others := (~noise).sum() - (~flagged(chosen.heads, "NOISEADJSCAN")).sum():
            said.append(f"{others} readouts of another number of coils, or whose centre is not in them, are left out")
        readouts, encoding, dropped = _scan_of(chosen)
        if not readouts.noise.any():
            if noise.any():
                said.append("the noise scan has another number of coils and is not used")
            readouts = _with_noise(readouts, chosen, every[:number])
    facts = {"format": "Siemens twix", **_facts(chosen.protocol)}
    return scan_of_readouts(path, readouts, encoding, how, warnings=[*said, *dropped], facts=facts)


def flagged(heads: np.ndarray, *names: str) -> np.ndarray:
    """Which readouts have any of these flags, (n,) bool."""
    from twixtools.mdh_def import mask_dict

    return (heads["EvalInfoMask"] & np.uint64(sum(1 << mask_dict[name] for name in names))) > 0


def _taken(of: Measurement, which: np.ndarray) -> Measurement:
    return of._replace(heads=of.heads[which], places=of.places[which])


def _of_one_coil_array(of: Measurement) -> Measurement:
    """Readouts with as many coils as most images have, whose centre lies within them."""
    heads = of.heads
    noise, before, after = flagged(heads, "NOISEADJSCAN"), *(heads["CutOff"][name].astype(int) for name in ("Pre", "Post"))
    samples, centre = heads["SamplesInScan"].astype(int), heads["CenterCol"].astype(int)
    sound = (before + after < samples) & (noise | ((before <= centre) & (centre <= samples - after)))
    image = sound & ~noise
    coils = np.bincount(heads["UsedChannels"][image if image.any() else sound], minlength=1).argmax()
    return _taken(of, sound & (heads["UsedChannels"] == coils))


def _with_noise(readouts: Readouts, of: Measurement, earlier: Sequence[tuple[int, int]]) -> Readouts:
    """Readouts, and after them the noise scan of the last earlier measurement that has one of all their coils."""
    wanted = coil_numbers(of, 0)
    for start, end in reversed(earlier):
        other = measurement(of.path, of.layout, start, end)
        noise, counts = flagged(other.heads, "NOISEADJSCAN"), other.heads["UsedChannels"]
        for count in np.unique(counts[noise])[::-1]:
            found = _taken(other, noise & (counts == count))
            coils = _places_of(wanted, coil_numbers(found, 0))
            if coils is not None:
                return _joined(readouts, _readouts(found, np.zeros((3, len(found.heads)), np.int64)), coils)
    return readouts


def _joined(readouts: Readouts, more: Readouts, coils: np.ndarray) -> Readouts:
    """Readouts, and after them others, of which `coils` are taken."""
    count = len(readouts.line)

    def load(numbers: np.ndarray) -> np.ndarray:
        return readouts.load(numbers) if numbers[0] < count else more.load(numbers - count)[:, coils]

    counters = {name: np.concatenate([readouts.counters[name], more.counters[name]]) for name in COUNTERS}
    arrays = [name for name in vars(readouts) if name not in ("counters", "load")]
    joined = {name: np.concatenate([getattr(readouts, name), getattr(more, name)]) for name in arrays}
    return Readouts(**joined, counters=counters, load=load)


def _places_of(wanted: np.ndarray, held: np.ndarray) -> np.ndarray | None:
    """Where coils are among others, by the scanner's numbers; None where some are not, or numbers do not tell them apart."""
    if np.array_equal(wanted, held):
        return np.arange(len(held))
    if len(np.unique(held)) < len(held) or not np.isin(wanted, held).all():
        return None
    return np.array([np.flatnonzero(held == coil)[0] for coil in wanted])


def _scan_of(of: Measurement) -> tuple[Readouts, Encoding, list[str]]:
    """Readouts of a measurement, counted from the centre of k-space, its encoding, and what to say of them."""
    heads, protocol = of.heads, of.protocol
    solid = protocol.number("sKSpace.ucDimension") == 4
    lines = _from_centre(of, "Lin", protocol.number("sKSpace.lPhaseEncodingLines"))
    partitions = _from_centre(of, "Par", protocol.number("sKSpace.lPartitions")) if solid else np.zeros_like(lines)
    readouts = _readouts(of, np.stack([lines, partitions, heads["Counter"]["Sli"]]))
    embedded = protocol.number("sPat.ucRefScanMode") == EMBEDDED
    data = (readouts.imaging | readouts.calibration) if embedded else readouts.imaging
    if not data.any():
        raise InputError(f"{of.path}: the measurement holds no imaging readouts; --measurement chooses another of the file")
    reach = np.maximum(readouts.centre, readouts.samples - readouts.centre)[data].max()
    reaches = [int(reach), *(int(max(-count[data].min(), count[data].max() + 1)) for count in (lines, partitions))]
    encoded, recon = _spaces(of, reaches, solid)
    inside = np.ones_like(data)
    for count, size in ((lines, encoded.matrix[1]), (partitions, encoded.matrix[2])):
        inside &= (count >= -(size // 2)) & (count < size - size // 2)
    kept = {name: getattr(readouts, name) & inside for name in ("imaging", "calibration")}
    slices = int(protocol.number("sSliceArray.lSize") or 0)
    said = [] if inside[data].all() else ["lines beyond the protocol's matrix are left out"]
    said += without_slices(slices, len(np.unique(readouts.slice[data])))
    trajectory = TRAJECTORIES.get(int(protocol.number("sKSpace.ucTrajectory") or 1), "unknown")
    limits = [(int(count.min()), int(count.max()), 0) for count in (lines, partitions)]
    times = [protocol.number(f"alTE[{echo}]") for echo in range(int(readouts.counters["contrast"].max(initial=0)) + 1)]
    encoding = Encoding(
        encoded,
        recon,
        limits[0],
        limits[1],
        trajectory,
        embedded,
        BANDWIDTH,
        bands=int(protocol.number("sSliceAcceleration.lMultiBandFactor") or 1),
        echo_times=tuple(time / 1000 for time in takewhile(bool, times) if time),
    )
    return replace(readouts, **kept), encoding, said


def _from_centre(of: Measurement, counter: str, size: float | None) -> np.ndarray:
    """A counter of phase encodes from the centre of k-space, (n,), which is half of `size` where no head says it."""
    counted, centre = of.heads["Counter"][counter].astype(np.int64), of.heads[f"Center{counter}"].astype(np.int64)
    return counted - (centre if centre.any() else int(size or 0) // 2)


def _spaces(of: Measurement, reaches: Sequence[int], solid: bool) -> tuple[Space, Space]:
    """Encoded and reconstructed space; reaches: from the centre, of readouts, lines and partitions, which bound the matrix.

    The matrix of lines and partitions is the one that Siemens transforms, which may be larger than what was measured; without
    interpolation.
    """
    said = of.protocol

    def needed(*names: str) -> float:
        value = said.number(*names)
        if value is None or value <= 0:
            raise InputError(f"{of.path}: its protocol has no {names[0]}; the file is damaged or no image's")
        return value

    fov = [needed(f"sSliceArray.asSlice[0].{name}") for name in ("dReadoutFOV", "dPhaseFOV", "dThickness")]
    base = needed("sKSpace.lBaseResolution")
    more = [1 + max(0.0, said.number(f"sKSpace.d{name}OversamplingForDialog") or 0.0) for name in ("Phase", "Slice")]
    times = [said.number("flReadoutOSFactor") or max(1, round(2 * reaches[0] / base)), *more]
    half = 2 if said.number("sKSpace.uc2DInterpolation") == 1 and said.number("iPEFTLength") else 1
    lines = needed("iPEFTLength", "sKSpace.lPhaseEncodingLines") // half
    partitions = needed("i3DFTLength", "sKSpace.lPartitions") if solid else 1.0
    sizes = [round(base * times[0]), round(lines), round(partitions)]
    for size, reach, what in zip(sizes, reaches, ("samples", "lines", "partitions"), strict=True):
        if size > LARGEST * 2 * max(reach, 8):
            raise InputError(f"{of.path}: its protocol declares {size} {what}, which its readouts do not fill")
    if not solid:
        times[2] = 1.0
    slab = said.number("sKSpace.lImagesPerSlab") if solid else None
    recon = [round(base), round(sizes[1] / times[1]), round(slab or sizes[2] / times[2])]
    encoded = tuple(length * factor for length, factor in zip(fov, times, strict=True))
    return Space(tuple(sizes), encoded), Space(tuple(max(1, size) for size in recon), tuple(fov))


def _readouts(of: Measurement, counts: np.ndarray) -> Readouts:
    """Readouts of a measurement; counts: lines, partitions and slices, (3, n)."""
    heads, counters = of.heads, of.heads["Counter"]
    before, after = (heads["CutOff"][name].astype(int) for name in ("Pre", "Post"))
    noise, correction = flagged(heads, "NOISEADJSCAN"), flagged(heads, "PHASCOR")
    both, reference = flagged(heads, "PATREFANDIMASCAN"), flagged(heads, "PATREFSCAN", "PATREFANDIMASCAN")
    data = ~noise & ~correction & ~flagged(heads, *NO_DATA)
    position = np.stack([heads["SliceData"]["SlicePos"][name] for name in ("Sag", "Cor", "Tra")], 1)
    phase, read, normal = -np.moveaxis(rotation(heads["SliceData"]["Quaternion"]), 2, 0)
    dwell = np.full(len(heads), (of.protocol.number("sRXSPEC.alDwellTime[0]", "alDwellTime") or 0.0) / 1000)
    dwell[noise] = [_noise_dwell(of, int(samples)) for samples in heads["SamplesInScan"][noise]]
    return Readouts(
        line=counts[0],
        partition=counts[1],
        slice=counts[2],
        average=counters["Ave"],
        counters={name: counters[key] for name, key in COUNTERS.items()},
        samples=heads["SamplesInScan"].astype(int) - before - after,
        centre=heads["CenterCol"].astype(int) - before,
        imaging=data & (both | ~reference),
        calibration=data & reference,
        noise=noise,
        correction=correction & (both | ~reference),
        backwards=flagged(heads, "REFLECT"),
        position=position,
        read=read,
        phase=phase,
        normal=normal,
        dwell=dwell,
        time=heads["TimeStamp"] * TICK,
        load=partial(_load, of, _ramps(of)),
    )


def _load(of: Measurement, ramps: Ramps | None, numbers: np.ndarray) -> np.ndarray:
    heads = of.heads[numbers]
    data = samples_of(of, numbers)
    if ramps is not None and data.shape[-1] == len(ramps.shift):
        even = ~flagged(heads, "NOISEADJSCAN", "SKIP_REGRIDDING")
        turned = np.exp(1j * ramps.shift * heads["ReadOutOffcentre"][even, None]).astype(np.complex64)
        data[even] = (data[even] * turned[:, None]) @ ramps.matrix.T
    cut = heads[0]["CutOff"]
    return data[..., int(cut["Pre"]) : data.shape[-1] - int(cut["Post"])]


def _ramps(of: Measurement) -> Ramps | None:
    """How readouts that were sampled under the ramps of EPI's gradient become even, None where there are none.

    The receiver's frequency is that of the gradient's full strength, which shifts samples under the ramps by the offset.
    """
    from twixtools.recon_helpers import calc_regrid_traj

    said, samples = of.protocol, of.protocol.number("alRegridDestSamples")
    if (said.number("alRegridMode") or 1) < 2 or not (of.heads["SamplesInScan"] == samples).any():
        return None
    flat = {"sKSpace": {"lBaseResolution": 1}, "sSliceArray": {"asSlice": [{"dReadoutFOV": 1}]}}
    with (
        reading(of.path, "its protocol's ramps of the readout gradient (alRegrid...) cannot be used"),
        np.errstate(all="ignore"),
    ):
        places = calc_regrid_traj({"Meas": said.rest, "MeasYaps": flat}) * float(samples or 0)
        if not (np.isfinite(places).all() and 0 < np.diff(places).min() <= np.diff(places).max() < 4):
            raise ValueError("its steps through k-space are not between 0 and 4 samples")
    fov, base = (said.number(name) or 1.0 for name in ("sSliceArray.asSlice[0].dReadoutFOV", "sKSpace.lBaseResolution"))
    middle = len(places) // 2
    away = (places[middle + 1] - places[middle]) * np.arange(len(places)) - places
    return Ramps(even_steps(places), 2 * np.pi * base / fov / len(places) * away)


def _noise_dwell(of: Measurement, samples: int) -> float:
    """Microseconds between samples of a noise scan, which no protocol holds, by siemens_to_ismrmrd's rule."""
    name = of.protocol.word("tProtocolName")
    if name in ("AdjCoilSens", "AdjQuietCoilSens"):
        return 5.0 if name == "AdjCoilSens" else 4.0
    return int(76800 / samples) / 10 if of.layout.before else 1e6 / samples / 130


def rotation(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) of quaternions (n, 4), w first; zeros for what is no unit quaternion."""
    with np.errstate(all="ignore"):
        w, x, y, z = quaternion.astype(np.float64).T
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        unit = np.abs(np.linalg.norm(quaternion, axis=1) - 1) < 0.01
    return np.where(unit[:, None, None], np.moveaxis(np.array(rows), 2, 0), 0.0)


def _facts(said: Protocol) -> dict[str, object]:
    """What a protocol says of scanner and sequence, by name; nothing of the patient."""
    times = {"TR (ms)": "alTR[0]", "TE (ms)": "alTE[0]"}
    found: dict[str, object] = {
        "vendor": "Siemens",
        "model": said.word("ManufacturersModelName"),
        "field (T)": said.number("sProtConsistencyInfo.flNominalB0", "flMagneticFieldStrength"),
        "software": said.word("SoftwareVersions"),
        "protocol": said.word("tProtocolName"),
        "patient position": said.word("tPatientPosition", "sPatPosition"),
        **{name: None if (value := said.number(key)) is None else value / 1000 for name, key in times.items()},
        "acceleration": said.number("sPat.lAccelFactPE"),
    }
    return {name: value for name, value in found.items() if value not in ("", None)}
