"""MATLAB's .mat of version 5 to 7: its arrays of numbers, of which what is not compressed is mapped.

After *MAT-File Format* (MathWorks). scipy.io.loadmat reads these files too, but one wrong byte of a damaged file can end the
process there.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.named_arrays import Index, Stored, joined
from mri_d3gm.io.bounds import check_unpacked
from mri_d3gm.io.image import reading

HEADER, HEAD = 128, 4096  # bytes of the file's header, and of a compressed variable that hold its name and shape
SIZES, FLAGS, MATRIX, COMPRESSED, COMPLEX = 5, 6, 14, 15, 0x800
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
PACKED = {1: "cell", 2: "struct", 3: "object", 5: "sparse matrix"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}

Buffer = bytes | np.ndarray


class Element(NamedTuple):
    """A piece of data: its type, where its bytes begin, how many there are, and where the next one begins."""

    type: int
    start: int
    length: int
    end: int


def is_v5(path: Path) -> bool:
    """Whether a file is a .mat of version 5 to 7."""
    with path.open("rb") as file:
        header = file.read(HEADER)
    return header[:6] == b"MATLAB" and header[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def stored_variables(path: Path) -> dict[str, Stored]:
    """The arrays of numbers of a file, by name, and what such are packed in; axes in MATLAB's order. InputError where it is
    damaged.
    """
    with path.open("rb") as file:
        order = "<" if file.read(HEADER)[126:128] == b"IM" else ">"
    found = {}
    for element in _variables(path, order):
        with reading(path, f"the variable at byte {element.start - 8} is damaged"):
            name, array = _variable(path, order, element)
        if array is not None:
            found[name] = array
    return found


def _variables(path: Path, order: str) -> Iterator[Element]:
    """The variables of a file, compressed or not."""
    size, place = path.stat().st_size, HEADER
    with path.open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            kind, length = _words(file.read(8), 0, order)
            if kind not in (MATRIX, COMPRESSED) or place + 8 + length > size:
                raise InputError(f"{path}: is truncated or damaged at byte {place}; copy or write it again")
            yield Element(kind, place + 8, length, place + 8 + length)
            place += 8 + length


def _variable(path: Path, order: str, element: Element) -> tuple[str, Stored | None]:
    """Name and array of a variable, None where it is a text or the like; ValueError and the like where it is damaged."""
    start, length, unpacked = 0, element.length, _mapped(path, element)
    head: Buffer = b""
    if element.type == COMPRESSED:
        with path.open("rb") as file:
            file.seek(element.start)
            head = zlib.decompressobj().decompress(file.read(min(element.length, HEAD)), HEAD)
        kind, length = _words(head, 0, order)
        start, length = 8, length + 8
        if kind != MATRIX:
            raise ValueError("no array in it")
        unpacked = _unpacker(path, element, length)
    else:
        head = unpacked()
    flags = _element(head, start, order)
    about = _words(head, flags.start, order)[0] if flags.type == FLAGS else 0
    if about & 0xFF not in CLASSES | PACKED:
        return "", None
    sizes = _element(head, flags.end, order)
    shape = tuple(np.frombuffer(head, order + "i4", sizes.length // 4, sizes.start).tolist())
    called = _element(head, sizes.end, order)
    name = bytes(head[called.start : called.start + called.length]).decode("ascii", "replace")
    if packed := PACKED.get(about & 0xFF):
        return name, Stored(shape, np.dtype(object), _unread, packed) if name else None
    real = _element(head, called.end, order)
    values = math.prod(shape) * _dtype(real, order).itemsize
    if sizes.type != SIZES or not 2 <= len(shape) <= 32 or min(shape) < 0 or values != real.length or real.end > length + 7:
        raise ValueError("its shape and length contradict each other")
    dtype = np.dtype(order + CLASSES[about & 0xFF])
    if about & COMPLEX:
        dtype = np.result_type(dtype, np.complex64)

    def read(index: Index) -> np.ndarray:
        with reading(path, f"{name} is damaged"):
            data = unpacked()

            def part(element: Element) -> np.ndarray:
                flat = np.frombuffer(data, _dtype(element, order), math.prod(shape), element.start)
                return flat.reshape(shape, order="F")[index]

            return joined(part(real), part(_element(data, real.end, order))) if about & COMPLEX else part(real)

    return name, Stored(shape, dtype, read) if name else None


def _unread(_: Index) -> np.ndarray:
    """What is packed has no numbers that are read."""
    return np.zeros(0)


def _mapped(path: Path, element: Element) -> Callable[[], np.ndarray]:
    """What gives the bytes of a variable as they lie in the file."""
    return lambda: np.memmap(path, np.uint8, "r", element.start, (element.length,))


def _unpacker(path: Path, element: Element, length: int) -> Callable[[], np.ndarray]:
    """What unpacks the bytes of a compressed variable, once; InputError where they are not `length`."""

    @cache
    def unpacked() -> np.ndarray:
        check_unpacked(f"{path}: a variable", length // 4, length, element.length)
        with path.open("rb") as file:
            file.seek(element.start)
            data = zlib.decompressobj().decompress(file.read(element.length), length)
        return np.frombuffer(data, np.uint8)

    return unpacked


def _dtype(element: Element, order: str) -> np.dtype:
    """The type of an element's numbers; ValueError for one that holds none."""
    if element.type not in TYPES:
        raise ValueError("data of a type that there is not")
    return np.dtype(order + TYPES[element.type])


def _words(data: Buffer, place: int, order: str) -> tuple[int, int]:
    """Two words of four bytes."""
    first, second = np.frombuffer(data, order + "u4", 2, place).tolist()
    return first, second


def _element(data: Buffer, place: int, order: str) -> Element:
    """The element whose tag is at `place`; up to four bytes of data may lie in the tag itself."""
    kind, length = _words(data, place, order)
    if kind >> 16:
        return Element(kind & 0xFFFF, place + 4, kind >> 16, place + 8)
    return Element(kind, place + 8, length, place + 8 + length + -length % 8)
