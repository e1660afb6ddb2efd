"""Reader of ISMRMRD (MRD) raw data in HDF5: acquisitions with their headers, and the XML header of the scan.

It reads through h5py, a few acquisitions at a time: the package ismrmrd demands elements that older files lack.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.hdf5 import dataset, opened
from mri_d3gm.io.arrays.hdf5_heaps import check_heaps, check_lengths, records
from mri_d3gm.io.image import reading
from mri_d3gm.io.raw.header import encoding_of, facts_of, parse_xml, study_of
from mri_d3gm.io.raw.readouts import Readouts
from mri_d3gm.io.raw.sorted_scan import COUNTERS, scan_of_readouts
from mri_d3gm.io.scan import PLAIN, Reading, Scan

ONE_AT_A_TIME = Lock()  # two threads that read data of variable length crash in h5py (its issue 2920)
PACKED = 100  # how many times smaller than a dataset or one of its chunks a file may be
NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE, CORRECTION = (1 << bit for bit in (18, 19, 20, 21, 23))
# navigator, feedback, dummy, real-time feedback, surface coil correction, phase stabilisation and its reference
NO_DATA = sum(1 << bit for bit in (22, 25, 26, 27, 28, 29, 30))
TICK = 0.0025  # seconds of a time stamp of Siemens' scanners; ISMRMRD does not say in which unit those of others are
LARGEST = 1e15  # of samples; squares of larger ones are beyond float32
COUNTS = ("number_of_samples", "active_channels", "center_sample", "discard_pre", "discard_post", "encoding_space_ref", "flags")
VECTORS = ("position", "read_dir", "phase_dir", "slice_dir")
STEPS = ("kspace_encode_step_1", "kspace_encode_step_2", "slice", *COUNTERS)


def is_ismrmrd(path: Path) -> bool:
    """Whether a file is HDF5 with a group that holds data and xml."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with _file(path) as file:
        return bool(_groups(file))


@contextmanager
def _file(path: Path) -> Iterator[h5py.File]:
    """The file, open for one thread at a time; whatever h5py raises becomes an InputError."""
    with ONE_AT_A_TIME, reading(path), opened(path) as file:
        yield file


def _groups(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions and a header."""
    hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    return [name for name in hard if isinstance(file[name], h5py.Group) and {"data", "xml"} <= set(file[name])]


def read_ismrmrd(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file: its first imaging encoding, sorted by `sorted_scan`. InputError for what cannot be used."""
    name = str(path)
    check_heaps(path)
    with _file(path) as file:
        groups = _groups(file)
        number = (how.measurement or len(groups)) - 1
        if number >= len(groups):
            raise InputError(f"{name}: --measurement {how.measurement}: the file holds {len(groups)}")
        said = [f"measurement {number + 1} of {len(groups)} ({groups[number]}) is read; --measurement chooses"]
        root, heads = _header(file, groups[number], name), _heads(file, groups[number], name)
    imaging, _, noise = _purposes(heads["flags"])[:3]
    encodings = heads["encoding_space_ref"]
    first = int(encodings[imaging][0]) if imaging.any() else 0
    try:
        encoding = encoding_of(root, first)
    except ValueError as error:
        raise InputError(f"{name}: its XML header cannot be used ({error})") from error
    warnings = [*(said if len(groups) > 1 else [])]
    if (others := len(np.unique(encodings[imaging])) - 1) > 0:
        warnings.append(f"encoding {first} is reconstructed; the file holds {others} more")
    channels = np.unique(heads["active_channels"][imaging & (encodings == first)])
    if len(channels) > 1 or 0 in channels:
        raise InputError(f"{name}: imaging readouts have {' and '.join(map(str, channels))} coils; one number is needed")
    alike = np.isin(heads["active_channels"], channels) if len(channels) else np.ones(len(heads), bool)
    if (noise & ~alike).any():
        warnings.append("the noise scan has another number of coils and is not used")
    chosen = np.flatnonzero(alike & ((encodings == first) | noise))
    readouts = _checked(name, readouts_of(heads[chosen], partial(_load, path, groups[number], heads[chosen], chosen)), warnings)
    if not _of_siemens(root, or_unknown=True):
        readouts = replace(readouts, time=np.zeros(len(readouts.time)))
    if _turned(root):
        readouts = replace(readouts, read=-readouts.read, phase=-readouts.phase, normal=-readouts.normal)
    facts = {"format": "ISMRMRD", **facts_of(root)}
    return scan_of_readouts(path, readouts, encoding, how, warnings=warnings, facts=facts, study=study_of(root))


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


def _header(file: h5py.File, group: str, name: str) -> ET.Element:
    try:
        text = _part(file, group, "xml")
        check_lengths(text, records(text))
        return parse_xml(np.ravel(text[()])[0])
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{name}: its XML header cannot be used ({error})") from error


def _part(file: h5py.File, group: str, name: str) -> h5py.Dataset:
    """A dataset of a group; InputError where there is none, or where it declares more than the file can hold."""
    found = dataset(file, f"{group}/{name}")
    if found is None or not found.size:
        raise InputError(f"{file.filename}: {group}/{name} is empty")
    most = max(found.size, prod(found.chunks or ())) * found.dtype.itemsize
    if most > PACKED * Path(file.filename).stat().st_size:
        raise InputError(f"{file.filename}: {group}/{name} declares {most} bytes, more than the file can hold; it is damaged")
    return found


def _heads(file: h5py.File, group: str, name: str) -> np.ndarray:
    """Headers of all acquisitions, a structured array; their data are not read."""
    data = _part(file, group, "data")
    if not _holds_acquisitions(data.dtype):
        raise InputError(f"{name}: {group}/data holds no acquisitions; raw data, not images, are needed")
    elements = records(data)
    check_lengths(data, elements, "data")
    if elements is None:
        return np.ravel(data.fields("head")[...])
    assert data.dtype.fields is not None
    kind, offset = data.dtype.fields["head"][:2]
    placed = np.dtype({"names": ["head"], "formats": [kind], "offsets": [offset], "itemsize": elements.shape[1]})
    return elements.view(placed)["head"][:, 0]


def _holds_acquisitions(dtype: np.dtype[Any]) -> bool:
    """Whether a type is that of acquisitions: data, and headers of what is read of them."""
    head = _types(dtype).get("head", dtype)
    held = _types(head) | _types(_types(head).get("idx", head))
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {name: ("u", ()) for name in (*COUNTS, *STEPS, "acquisition_time_stamp")}
    wanted |= {"sample_time_us": ("f", ()), **{name: ("f", (3,)) for name in VECTORS}}
    return "data" in _types(dtype) and all(
        name in held and (held[name].base.kind, held[name].shape) == kind for name, kind in wanted.items()
    )


def _types(dtype: np.dtype[Any]) -> dict[str, np.dtype[Any]]:
    """Types of the fields of a structured type, none of others."""
    return {name: field[0] for name, field in (dtype.fields or {}).items()}


def _purposes(flags: np.ndarray) -> tuple[np.ndarray, ...]:
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
    imaging, calibration, noise, correction = _purposes(flags)
    before, after = heads["discard_pre"].astype(int), heads["discard_post"].astype(int)
    return Readouts(
        line=counters["kspace_encode_step_1"],
        partition=counters["kspace_encode_step_2"],
        slice=counters["slice"],
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


def _load(path: Path, group: str, heads: np.ndarray, places: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Samples (count, coils, samples) complex64 of acquisitions of one length; discarded samples are left out.

    heads, places: header and place in the file of each that `numbers` counts.
    """
    order, back = np.unique(places[numbers], return_inverse=True)
    with _file(path) as file:
        found = _part(file, group, "data").fields("data")[order]
    data = np.stack([_samples(path, found[place], heads[number]) for place, number in zip(back, numbers, strict=True)])
    if not (np.abs(data.view(np.float32)) < LARGEST).all():
        raise InputError(f"{path}: k-space holds NaN, Inf or numbers that are no signal; the file is damaged")
    return data


def _samples(path: Path, values: np.ndarray, head: np.void) -> np.ndarray:
    """Samples (coils, samples) complex64 of an acquisition without those that are discarded."""
    coils, samples = int(head["active_channels"]), int(head["number_of_samples"])
    if len(values) != 2 * coils * samples:
        raise InputError(f"{path}: an acquisition holds other than the {samples} samples its header says; the file is damaged")
    whole = np.asarray(values, np.float32).view(np.complex64).reshape(coils, samples)
    return whole[:, int(head["discard_pre"]) : samples - int(head["discard_post"])]
