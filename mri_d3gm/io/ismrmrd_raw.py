"""Reader of ISMRMRD (MRD) raw data in HDF5: acquisitions with their headers, and the XML header of the scan.

It reads through h5py, a few acquisitions at a time: the package ismrmrd demands elements that older files lack.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.hdf5 import opened
from mri_d3gm.io.header import encoding_of, facts_of, parse_xml
from mri_d3gm.io.readouts import Readouts
from mri_d3gm.io.scan import PLAIN, Reading, Scan
from mri_d3gm.io.sorted_scan import COUNTERS, scan_of_readouts

NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE, CORRECTION = (1 << bit for bit in (18, 19, 20, 21, 23))
# navigator, feedback, dummy, real-time feedback, surface coil correction, phase stabilisation and its reference
NO_DATA = sum(1 << bit for bit in (22, 25, 26, 27, 28, 29, 30))
TICK = 0.0025  # seconds of a time stamp, as converters of Siemens data write them
FIELDS = ("flags", "number_of_samples", "active_channels", "center_sample", "position", "read_dir", "phase_dir", "slice_dir")


def is_ismrmrd(path: Path) -> bool:
    """Whether a file is HDF5 with a group that holds data and xml."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    with opened(path) as file:
        return bool(_groups(file))


def _groups(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions and a header."""
    hard = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    return [name for name in hard if isinstance(file[name], h5py.Group) and {"data", "xml"} <= set(file[name])]


def read_ismrmrd(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file: its first imaging encoding, sorted by `sorted_scan`. InputError for what cannot be used."""
    name = str(path)
    with opened(path) as file:
        groups = _groups(file)
        number = (how.measurement or len(groups)) - 1
        if number >= len(groups):
            raise InputError(f"{name}: --measurement {how.measurement}: the file holds {len(groups)}")
        said = [f"measurement {number + 1} of {len(groups)} ({groups[number]}) is read; --measurement chooses"]
        root, heads = _header(file, groups[number], name), _heads(file, groups[number], name)
    flags = heads["flags"]
    imaging = (flags & (NOISE | CALIBRATION | CORRECTION | NO_DATA)) == 0
    encodings = heads["encoding_space_ref"]
    first = int(encodings[imaging][0]) if imaging.any() else 0
    others = len(np.unique(encodings[imaging])) - 1
    try:
        encoding = encoding_of(root, first)
    except ValueError as error:
        raise InputError(f"{name}: its XML header cannot be used ({error})") from error
    warnings = [*(said if len(groups) > 1 else [])]
    if others > 0:
        warnings.append(f"encoding {first} is reconstructed; the file holds {others} more")
    channels = np.unique(heads["active_channels"][imaging & (encodings == first)])
    if len(channels) > 1:
        raise InputError(f"{name}: imaging readouts have {' and '.join(map(str, channels))} coils; one number is needed")
    if len(channels) and ((heads["active_channels"] != channels[0]) & ((flags & NOISE) > 0)).any():
        warnings.append("the noise scan has another number of coils and is not used")
    ours = np.isin(heads["active_channels"], channels) & ((encodings == first) | ((flags & NOISE) > 0))
    chosen = np.flatnonzero(ours)
    readouts = readouts_of(heads[chosen], partial(_load, path, groups[number], chosen, heads))
    return scan_of_readouts(path, readouts, encoding, how, warnings=warnings, facts={"format": "ISMRMRD", **facts_of(root)})


def _header(file: h5py.File, group: str, name: str) -> ET.Element:
    try:
        return parse_xml(np.ravel(file[group]["xml"][()])[0])
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{name}: its XML header cannot be used ({error})") from error


def _heads(file: h5py.File, group: str, name: str) -> np.ndarray:
    """Headers of all acquisitions, a structured array; their data are not read."""
    data = file[group]["data"]
    names = (data.dtype["head"].names or ()) if data.dtype.names and "head" in data.dtype.names else ()
    if not set(FIELDS) <= set(names) or "data" not in data.dtype.names:
        raise InputError(f"{name}: {group}/data holds no acquisitions; raw data, not images, are needed")
    if not len(data):
        raise InputError(f"{name}: {group}/data is empty")
    return data.fields("head")[...]


def readouts_of(heads: np.ndarray, load: Callable[[np.ndarray], np.ndarray]) -> Readouts:
    """Readouts of acquisition headers, (n,) structured as ISMRMRD has them."""
    flags, counters = heads["flags"], heads["idx"]
    calibration = (flags & (CALIBRATION | CALIBRATION_AND_IMAGING)) > 0
    before, after = heads["discard_pre"].astype(int), heads["discard_post"].astype(int)
    return Readouts(
        line=counters["kspace_encode_step_1"],
        partition=counters["kspace_encode_step_2"],
        slice=counters["slice"],
        counters={name: counters[name] for name in COUNTERS},
        samples=heads["number_of_samples"].astype(int) - before - after,
        centre=heads["center_sample"].astype(int) - before,
        imaging=(flags & (NOISE | CALIBRATION | CORRECTION | NO_DATA)) == 0,
        calibration=calibration & ((flags & (NOISE | CORRECTION | NO_DATA)) == 0),
        noise=(flags & NOISE) > 0,
        correction=(flags & CORRECTION) > 0,
        backwards=(flags & REVERSE) > 0,
        position=heads["position"],
        read=heads["read_dir"],
        phase=heads["phase_dir"],
        normal=heads["slice_dir"],
        dwell=heads["sample_time_us"],
        time=heads["acquisition_time_stamp"] * TICK,
        load=load,
    )


def _load(path: Path, group: str, chosen: np.ndarray, heads: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Samples (count, coils, samples) complex64 of acquisitions of one length; discarded samples are left out."""
    places = chosen[numbers]
    order, back = np.unique(places, return_inverse=True)
    head = heads[places[0]]
    coils, samples = int(head["active_channels"]), int(head["number_of_samples"])
    with opened(path) as file:
        found = file[group]["data"].fields("data")[order]
    if any(len(one) != 2 * coils * samples for one in found):
        raise InputError(f"{path}: an acquisition holds fewer samples than its header says; the file is damaged")
    data = np.stack([np.asarray(one, np.float32) for one in found]).view(np.complex64).reshape(-1, coils, samples)
    if not np.isfinite(data).all():
        raise InputError(f"{path}: k-space holds NaN or Inf")
    return data[back][..., int(head["discard_pre"]) : samples - int(head["discard_post"])]
