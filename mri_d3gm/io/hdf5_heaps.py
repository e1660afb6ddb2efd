"""Data of variable length in an HDF5 file: whether the library can read them without harm.

They lie in heaps, and what refers to them says how many there are. A heap whose free space has no size makes HDF5 2.0 walk in
place for ever, and it makes room for as many as a reference says before it looks at the heap. So both are looked at first.

A heap is GCOL, version 1, three zeros, its size (8 bytes) and objects: number (2 bytes, 0 for the free space at the end),
references (2), zeros (4), size (8) and, but for the free space, whose size counts its head, that many bytes and up to 7 more.
A reference is the number of entries (4), the place of the heap (8) and the number of the object (4).
"""

from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError

HEAP, HEAD = b"GCOL\x01\x00\x00\x00", 16


def check_heaps(path: Path) -> None:
    """InputError where a heap is damaged. Only their heads and those of their objects are read."""
    with open(path, "rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as file:
        place = file.find(HEAP)
        while place >= 0:
            end = place + _number(file, place + 8)
            if not place + HEAD < end <= len(file) or not _walks(file, place + HEAD, end):
                raise InputError(f"{path}: its data are damaged at byte {place}; copy or download it again")
            place = file.find(HEAP, end)


def _walks(file: mmap, place: int, end: int) -> bool:
    """Whether objects fill a heap from a place to its end."""
    while place + HEAD <= end:
        size = _number(file, place + 8)
        free = file[place : place + 2] == b"\0\0"
        step = size if free else HEAD + (size + 7) // 8 * 8
        if step < HEAD:
            return False
        place += step
    return place <= end


def _number(file: mmap, place: int) -> int:
    return int.from_bytes(file[place : place + 8], "little")


def check_lengths(dataset: h5py.Dataset, member: str | None = None) -> None:
    """InputError where data of variable length, or a member of that kind, would be larger than the file.

    Of compressed datasets the references cannot be seen; they are let pass.
    """
    kind, path = dataset.id.get_type(), Path(dataset.file.filename)
    size, offset = kind.get_size(), 0
    if member is not None:
        index = kind.get_member_index(member.encode())
        kind, offset = kind.get_member_type(index), kind.get_member_offset(index)
    string = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
    if not string and not isinstance(kind, h5py.h5t.TypeVlenID):
        return
    entry = 1 if string else kind.get_super().get_size()
    blocks: list[tuple[int, int]] = []
    if dataset.chunks is None:
        blocks = [(dataset.id.get_offset() or 0, size * dataset.size)]
    elif dataset.id.get_create_plist().get_nfilters() == 0:
        dataset.id.chunk_iter(lambda chunk: blocks.append((chunk.byte_offset, chunk.size)))
    held = path.stat().st_size
    with open(path, "rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as file:
        for start, length in blocks:
            block = file[start : start + length]
            elements = np.frombuffer(block, np.uint8, len(block) // size * size).reshape(-1, size)
            lengths = np.ascontiguousarray(elements[:, offset : offset + 4]).view("<u4")
            if lengths.max(initial=0) * float(entry) > held:
                raise InputError(f"{path}: declares data larger than the file; it is damaged: copy or download it again")
