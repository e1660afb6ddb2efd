"""Reader of ISMRMRD (MRD) raw data in HDF5: acquisitions with their headers, and the XML header of the scan.

It reads through h5py, a few acquisitions at a time: the package ismrmrd demands elements that older files lack.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
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
from mri_d3gm.io.raw.acquisitions import COUNTS, STEPS, VECTORS, Acquisitions, purposes, scan_of_acquisitions
from mri_d3gm.io.raw.header import counts_of, parse_xml
from mri_d3gm.io.raw.series import without_slices
from mri_d3gm.io.scan import PLAIN, Reading, Scan

ONE_AT_A_TIME = Lock()  # two threads that read data of variable length crash in h5py (its issue 2920)
PACKED = 100  # how many times smaller than a dataset or one of its chunks a file may be


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
        held = _types(_part(file, groups[number], "data").dtype)
    values, places = (partial(_values, path, groups[number], member) for member in ("data", "traj"))
    data = Acquisitions(heads, values, places if "traj" in held else None)
    held_slices = len(np.unique(heads["idx"]["slice"][purposes(heads["flags"])[0]]))
    said = [*(said if len(groups) > 1 else []), *without_slices(counts_of(root)[0], held_slices)]
    return scan_of_acquisitions(path, root, data, how, said)


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
    for member in {"data", "traj"} & set(_types(data.dtype)):
        check_lengths(data, elements, member)
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


def _values(path: Path, group: str, member: str, numbers: np.ndarray) -> list[np.ndarray]:
    """A member of some acquisitions of a file: data, real and imaginary parts in turn, (2 * coils * samples,) float32 of each,
    or traj, (samples * axes,).
    """
    order, back = np.unique(numbers, return_inverse=True)
    with _file(path) as file:
        found = _part(file, group, "data").fields(member)[order]
    return [found[place] for place in back]
