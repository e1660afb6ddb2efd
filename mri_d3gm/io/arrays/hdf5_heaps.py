"""Data of variable length in an HDF5 file: whether the library can read them without harm.

They lie in heaps, and what refers to them says how many there are. A heap whose free space has no size makes HDF5 2.0 walk in
place for ever, and it makes room for as many as a reference says before it looks at the heap. So both are looked at first.

A heap is GCOL, version 1, three zeros, its size (8 bytes) and objects: number (2 bytes, 0 for the free space at the end),
references (2), zeros (4), size (8) and, but for the free space, whose size counts its head, that many bytes and up to 7 more.
A reference is the number of entries (4), the place of the heap (8) and the number of the object (4).
"""

import mmap
import struct
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError

HEAP, HEAD, REFERENCE = b"GCOL\x01\x00\x00\x00", 16, 16
NEAR, FAR = 2**12, 2**20  # bytes that are searched at once for the next heap: most often it is the next thing


def check_heaps(path: Path) -> None:
    """InputError where a heap is damaged. Of their content only the heads of objects are read."""
    held = path.stat().st_size
    with open(path, "rb") as file:
        place = _next_heap(file, 0)
        while place >= 0:
            place = _next_heap(file, _end_of_heap(path, file, place, held))


def check_heaps_at(path: Path, places: Iterable[int]) -> None:
    """InputError where a heap at one of these places is damaged."""
    held = path.stat().st_size
    with open(path, "rb") as file:
        for place in places:
            _end_of_heap(path, file, place, held)


def _end_of_heap(path: Path, file: BufferedReader, place: int, held: int) -> int:
    end = place + _number(file, place + 8)
    if not place + HEAD < end <= held or not _walks(file, place + HEAD, end):
        raise InputError(f"{path}: its data are damaged at byte {place}; copy or download it again")
    return end


def _next_heap(file: BufferedReader, place: int) -> int:
    """Where the first heap at or behind a place is, -1 for none."""
    size = NEAR
    while True:
        file.seek(place)
        block = file.read(size)
        at = block.find(HEAP)
        if at >= 0 or len(block) < size:
            return place + at if at >= 0 else -1
        place, size = place + size - len(HEAP) + 1, FAR


def _walks(file: BufferedReader, place: int, end: int) -> bool:
    """Whether objects fill a heap from a place to its end."""
    while place + HEAD <= end:
        size = _number(file, place + 8)
        file.seek(place)
        free = file.read(2) == b"\0\0"
        step = size if free else HEAD + (size + 7) // 8 * 8
        if step < HEAD:
            return False
        place += step
    return place <= end


def _number(file: BufferedReader, place: int) -> int:
    file.seek(place)
    return int.from_bytes(file.read(8), "little")


def records(dataset: h5py.Dataset) -> np.ndarray | None:
    """Elements as they lie in the file, (n, bytes of each) uint8; None of a compressed dataset.

    HDF5 itself reads all data of variable length for any member of such elements.
    """
    size, blocks = REFERENCE if h5py.check_string_dtype(dataset.dtype) else dataset.id.get_type().get_size(), []
    if dataset.chunks is None:
        blocks = [(0, dataset.id.get_offset() or 0, size * dataset.size)]
    elif len(dataset.chunks) > 1 or dataset.id.get_create_plist().get_nfilters() > 0:
        return None
    else:
        dataset.id.chunk_iter(lambda chunk: blocks.append((chunk.chunk_offset[0], chunk.byte_offset, chunk.size)))
    found = np.zeros((dataset.size, size), np.uint8)
    with open(dataset.file.filename, "rb") as file:
        for first, place, length in blocks:
            file.seek(place)
            block = file.read(min(length, found[first:].size))
            found[first:].reshape(-1)[: len(block)] = np.frombuffer(block, np.uint8)
    return found


def check_lengths(dataset: h5py.Dataset, elements: np.ndarray | None, member: str | None = None) -> None:
    """InputError where data of variable length, or a member of that kind, would be larger than the file. elements: as they lie
    in the file, as `records` gives them; those of compressed datasets are let pass.
    """
    kind, path, offset = dataset.id.get_type(), Path(dataset.file.filename), 0
    if member is not None:
        index = kind.get_member_index(member.encode())
        kind, offset = kind.get_member_type(index), kind.get_member_offset(index)
    string = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    if elements is None or not (string or isinstance(kind, h5py.h5t.TypeVlenID)):
        return
    entry = 1 if string else kind.get_super().get_size()
    lengths = np.ascontiguousarray(elements[:, offset : offset + 4]).view("<u4")
    if lengths.max(initial=0) * float(entry) > path.stat().st_size:
        raise InputError(f"{path}: declares data larger than the file; it is damaged: copy or download it again")


def check_references(data: h5py.Dataset) -> None:
    """InputError where strings or sequences, or such members, are longer than the file, or their heaps are damaged."""
    elements, places = records(data), _references(data.dtype)
    if elements is None or places is None:
        raise InputError(
            f"{data.file.filename}: {data.name[1:]} holds texts or sequences, packed or nested, which are not read"
        )
    for place, entry in places:
        reference = np.ascontiguousarray(elements[:, place : place + REFERENCE])
        _check(Path(data.file.filename), reference.view("<u4")[:, 0] * float(entry), reference[:, 4:12])


def _references(dtype: np.dtype) -> list[tuple[int, int]] | None:
    """Where in an element references lie, and the bytes of an entry of each; None for types that are not read."""
    if h5py.check_string_dtype(dtype):
        return [(0, 1)]
    fields = {"": (dtype, 0)} if dtype.fields is None else {name: field[:2] for name, field in dtype.fields.items()}
    found = [(h5py.check_vlen_dtype(kind), place) for kind, place in fields.values() if kind.hasobject]
    if not all(isinstance(base, np.dtype) and not base.hasobject for base, _ in found):
        return None
    return [(place, base.itemsize) for base, place in found]


def check_attribute(file: h5py.File, name: str) -> None:
    """The same of a string that is an attribute: its message, found in the file by its name, ends in the reference.

    A message is the version and three sizes of 2 bytes, name, type and shape, each padded to 8 bytes in version 1.
    """
    key = name.encode() + b"\0"
    size = len(key).to_bytes(2, "little")
    with open(file.filename, "rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(key)
        while place >= 0:
            for version, head, pad in ((1, 8, 8), (2, 8, 1), (3, 9, 1)):
                start = place - head
                if start >= 0 and content[start] == version and content[start + 2 : start + 4] == size:
                    sizes = (len(key), *struct.unpack_from("<HH", content, start + 4))
                    end = place + sum(-(-part // pad) * pad for part in sizes)
                    reference = np.frombuffer(content[end : end + REFERENCE], np.uint8).reshape(1, REFERENCE)
                    _check(Path(file.filename), reference[:, :4].view("<u4")[:, 0] * 1.0, reference[:, 4:12])
            place = content.find(key, place + 1)


def _check(path: Path, sizes: np.ndarray, heaps: np.ndarray) -> None:
    """Of references: bytes (n,) of each, and their heaps, (n, 8) uint8."""
    if sizes.sum() > path.stat().st_size:
        raise InputError(f"{path}: declares data larger than the file; it is damaged: copy or download it again")
    check_heaps_at(path, np.unique(np.ascontiguousarray(heaps[sizes > 0]).view("<u8")).tolist())
