"""ISMRMRD's acquisitions, from a file or off a stream, as a scan: what their headers and the XML header say of them."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.header import encoding_of, facts_of, study_of
from mri_d3gm.io.raw.readouts import COUNTERS, Readouts
from mri_d3gm.io.raw.sorted_scan import scan_of_readouts
from mri_d3gm.io.raw.trajectories import is_cartesian
from mri_d3gm.io.scan import Reading, Scan

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE, CORRECTION = (1 << bit for bit in (18, 19, 20, 21, 23))
# navigator, feedback, dummy, real-time feedback, surface coil correction, phase stabilisation and its reference
NO_DATA = sum(1 << bit for bit in (22, 25, 26, 27, 28, 29, 30))
TICK = 0.0025  # seconds of a time stamp of Siemens' scanners; ISMRMRD does not say in which unit those of others are
LARGEST = 1e15  # of samples; squares of larger ones are beyond float32
DISCARDED = ("discard_pre", "discard_post")
COUNTS = ("number_of_samples", "active_channels", "center_sample", *DISCARDED, "encoding_space_ref", "flags")
VECTORS = ("position", "read_dir", "phase_dir", "slice_dir")
STEPS = ("kspace_encode_step_1", "kspace_encode_step_2", "slice", "average", *COUNTERS)
LOOKED_AT = 32  # readouts whose places in k-space are looked at


class Acquisitions(NamedTuple):
    """Headers, (n,) structured as ISMRMRD has them, and what gives the data of some, by their numbers: real and imaginary parts
    in turn, (2 * coils * samples,) float32 of each; and what gives the places in k-space of some, (samples * axes,) of each,
    None where there are none.
    """

    heads: np.ndarray
    values: Callable[[np.ndarray], Sequence[np.ndarray]]
    places: Callable[[np.ndarray], Sequence[np.ndarray]] | None = None


def scan_of_acquisitions(
    path: Path,
    root: ET.Element,
    data: Acquisitions,
    how: Reading,
    said: Sequence[str] = (),
    heard: np.ndarray | None = None,
) -> Scan:
    """The scan of acquisitions: their first imaging encoding, sorted by `sorted_scan`; root: of the XML header.

    heard: (coils,) bool, coils that are known to hold signal. InputError, that names `path`, for what cannot be used.
    """
    name, heads = str(path), data.heads
    imaging, _, noise = purposes(heads["flags"])[:3]
    encodings = heads["encoding_space_ref"]
    first = int(encodings[imaging][0]) if imaging.any() else 0
    try:
        encoding = encoding_of(root, first)
    except ValueError as error:
        raise InputError(f"{name}: its XML header cannot be used ({error})") from error
    warnings = [*said]
    if (others := len(np.unique(encodings[imaging])) - 1) > 0:
        warnings.append(f"encoding {first} is reconstructed; the file holds {others} more")
    channels = np.unique(heads["active_channels"][imaging & (encodings == first)])
    if len(channels) > 1 or 0 in channels:
        raise InputError(f"{name}: imaging readouts have {' and '.join(map(str, channels))} coils; one number is needed")
    _check_places(name, data, imaging & (encodings == first))
    alike = np.isin(heads["active_channels"], channels) if len(channels) else np.ones(len(heads), bool)
    if (noise & ~alike).any():
        warnings.append("the noise scan has another number of coils and is not used")
    chosen = np.flatnonzero(alike & ((encodings == first) | noise))
    readouts = _checked(name, readouts_of(heads[chosen], partial(_load, name, data, chosen)), warnings)
    if not _of_siemens(root, or_unknown=True):
        readouts = replace(readouts, time=np.zeros(len(readouts.time)))
    if _turned(root):
        readouts = replace(readouts, read=-readouts.read, phase=-readouts.phase, normal=-readouts.normal)
    facts = {"format": "ISMRMRD", **facts_of(root)}
    return scan_of_readouts(path, readouts, encoding, how, warnings=warnings, facts=facts, study=study_of(root), heard=heard)


def _check_places(name: str, data: Acquisitions, imaging: np.ndarray) -> None:
    """InputError where imaging readouts bring places in k-space that are those of no Cartesian scan."""
    if data.places is None or "trajectory_dimensions" not in (data.heads.dtype.names or ()):
        return
    numbers = np.flatnonzero(imaging & (data.heads["trajectory_dimensions"] > 0))
    if not len(numbers):
        return
    few = np.unique(numbers[np.linspace(0, len(numbers) - 1, LOOKED_AT).astype(int)])
    heads = data.heads[few]
    counts, axes, before, after = (heads[key].astype(int) for key in ("number_of_samples", "trajectory_dimensions", *DISCARDED))
    found = zip(data.places(few), counts, axes, before, counts - after, strict=True)
    whole = (
        one.reshape(count, size)[first : max(0, end)] for one, count, size, first, end in found if len(one) == count * size
    )
    if not is_cartesian([*whole]):
        raise InputError(
            f"{name}: its readouts bring trajectories that are not Cartesian, or not in even steps; only even Cartesian "
            "scans can be reconstructed"
        )


def _turned(root: ET.Element) -> bool:
    """Whether siemens_to_ismrmrd made the file: its directions hold for a forward Fourier transform, not for our inverse one.

    It writes Maxwell coefficients, which no other converter does.
    """
    names = (element.text or "" for element in root.findall("{*}userParameters/{*}userParameterDouble/{*}name"))
    return _of_siemens(root) and any(name.startswith("MaxwellCoefficient") for name in names)


def _of_siemens(root: ET.Element, or_unknown: bool = False) -> bool:
    """Whether the header says that the scanner is one of Siemens, or does not say whose it is."""
    vendor = (root.findtext("{*}acquisitionSystemInformation/{*}systemVendor") or "").strip().lower()
    return "siemens" in vendor or (or_unknown and vendor in ("", "unknown"))


def purposes(flags: np.ndarray) -> tuple[np.ndarray, ...]:
    """Which readouts are for imaging, calibration, noise and correction, (n,) bool each."""
    noise, correction, both = ((flags & kind) > 0 for kind in (NOISE, CORRECTION, CALIBRATION_AND_IMAGING))
    data, alone = (flags & (NOISE | CORRECTION | NO_DATA)) == 0, (flags & CALIBRATION) > 0
    return data & (both | ~alone), data & (both | alone), noise, correction


def _checked(name: str, readouts: Readouts, warnings: list[str]) -> Readouts:
    """Readouts whose centre is one of their samples; where no header names one, it is the middle. InputError for others."""
    used = readouts.imaging | readouts.calibration | readouts.correction | readouts.noise
    if used.any() and not readouts.centre[used].any():
        warnings.append("no readout says where its centre is: it is taken for the middle")
        readouts = replace(readouts, centre=readouts.samples // 2)
    outside = (readouts.centre < 0) | (readouts.centre >= readouts.samples)
    if (used & (outside | (readouts.samples < 1))).any():
        raise InputError(f"{name}: a readout has no samples, or its centre is none of them; the file is damaged")
    return readouts


def readouts_of(heads: np.ndarray, load: Callable[[np.ndarray], np.ndarray]) -> Readouts:
    """Readouts of acquisition headers, (n,) structured as ISMRMRD has them."""
    flags, counters = heads["flags"], heads["idx"]
    imaging, calibration, noise, correction = purposes(flags)
    before, after = heads["discard_pre"].astype(int), heads["discard_post"].astype(int)
    return Readouts(
        line=counters["kspace_encode_step_1"],
        partition=counters["kspace_encode_step_2"],
        slice=counters["slice"],
        average=counters["average"],
        counters={name: counters[name] for name in COUNTERS},
        samples=heads["number_of_samples"].astype(int) - before - after,
        centre=heads["center_sample"].astype(int) - before,
        imaging=imaging,
        calibration=calibration,
        noise=noise,
        correction=correction,
        backwards=(flags & REVERSE) > 0,
        position=heads["position"],
        read=heads["read_dir"],
        phase=heads["phase_dir"],
        normal=heads["slice_dir"],
        dwell=heads["sample_time_us"],
        time=heads["acquisition_time_stamp"] * TICK,
        load=load,
    )


def _load(name: str, data: Acquisitions, places: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Samples (count, coils, samples) complex64 of acquisitions of one length; discarded samples are left out.

    places: which of `data` each is that `numbers` counts.
    """
    chosen = places[numbers]
    values = data.values(chosen)
    found = np.stack([_samples(name, one, data.heads[place]) for one, place in zip(values, chosen, strict=True)])
    if not (np.abs(found.view(np.float32)) < LARGEST).all():
        raise InputError(f"{name}: k-space holds NaN, Inf or numbers that are no signal; the file is damaged")
    return found


def _samples(name: str, values: np.ndarray, head: np.void) -> np.ndarray:
    """Samples (coils, samples) complex64 of an acquisition without those that are discarded."""
    coils, samples = int(head["active_channels"]), int(head["number_of_samples"])
    if len(values) != 2 * coils * samples:
        raise InputError(f"{name}: an acquisition holds other than the {samples} samples its header says; the file is damaged")
    whole = np.asarray(values, np.float32).view(np.complex64).reshape(coils, samples)
    return whole[:, int(head["discard_pre"]) : samples - int(head["discard_post"])]
