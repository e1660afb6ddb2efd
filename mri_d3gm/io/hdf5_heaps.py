"""Data of variable length in an HDF5 file: whether the library can read them without harm.

They lie in heaps, and what refers to them says how many there are. A heap whose free space has no size makes HDF5 2.0 walk in
place for ever, and it makes room for as many as a reference says before it looks at the heap. So both are looked at first.

A heap is GCOL, version 1, three zeros, its size (8 bytes) and objects: number (2 bytes, 0 for the free space at the end),
references (2), zeros (4), size (8) and, but for the free space, whose size counts its head, that many bytes and up to 7 more.
A reference is the number of entries (4), the place of the heap (8) and the number of the object (4).
"""

from io import BufferedReader
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError

HEAP, HEAD = b"GCOL\x01\x00\x00\x00", 16
NEAR, FAR = 2**12, 2**20  # bytes that are searched at once for the next heap: most often it is the next thing


def check_heaps(path: Path) -> None:
    """InputError where a heap is damaged. Of their content only the heads of objects are read."""
    held = path.stat().st_size
    with open(path, "rb") as file:
        place = _next_heap(file, 0)
        while place >= 0:
            end = place + _number(file, place + 8)
            if not place + HEAD < end <= held or not _walks(file, place + HEAD, end):
                raise InputError(f"{path}: its data are damaged at byte {place}; copy or download it again")
            place = _next_heap(file, end)


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
    size, blocks = dataset.id.get_type().get_size(), []
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
