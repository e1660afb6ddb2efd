"""Reader of NumPy's .npy and .npz: axes in numpy's order, as `array_names` infers them; nothing in them is executed.

.npy and what `savez` wrote is mapped, what `savez_compressed` wrote is read whole, the arrays that are needed alone.
"""

import io
import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.array_names import scan_of_arrays
from mri_d3gm.io.arrays.named_arrays import Index, Stored
from mri_d3gm.io.bounds import check_unpacked, open_whole
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan

HEAD = 2**17  # bytes that an array's header ends within


def is_numpy(path: Path) -> bool:
    """Whether a file is an array of numpy, or a zip file of such arrays."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(6) == npy.MAGIC_PREFIX:
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises all sorts of damaged files
        return False
    return any(name.endswith(".npy") for name in names)


def read_numpy(path: Path, how: Reading = PLAIN) -> Scan:
    """The scan of a file; InputError for what cannot be used. A .npy holds one array, which needs no key."""
    with reading(path):
        with open_whole(path) as file:
            single = file.read(6) == npy.MAGIC_PREFIX
            file.seek(0)
            arrays = {"kspace": _mapped(path, "its array", file, 0, path.stat().st_size)} if single else _members(path)
        return scan_of_arrays(path, arrays, replace(how, key=None) if single else how, "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type of an array, of its header."""
    if npy.read_magic(file) == (1, 0):
        return npy.read_array_header_1_0(file)
    return npy.read_array_header_2_0(file)


def _mapped(path: Path, name: str, file: IO[bytes], start: int, end: int) -> Stored:
    """An array that lies from `start` to `end` of the file `path`; file: open at the start. InputError where it is longer."""
    shape, fortran, dtype = _header(file)
    offset = start + file.tell()
    if min(shape, default=1) < 0 or (math.prod(shape) * dtype.itemsize > end - offset and not dtype.hasobject):
        raise InputError(f"{path}: {name} of shape {shape} {dtype} is longer than the file; copy or download it again")

    def read(index: Index) -> np.ndarray:
        return np.asarray(np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")[index])

    return Stored(shape, dtype, read)


def _members(path: Path) -> dict[str, Stored]:
    """The arrays of a .npz."""
    found = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.filename.endswith(".npy") and info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
                file.seek(info.header_offset)
                local = file.read(30)
                start = info.header_offset + 30 + sum(int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
                file.seek(start)
                head = io.BytesIO(file.read(min(info.file_size, HEAD)))
                found[name] = _mapped(path, name, head, start, min(start + info.file_size, path.stat().st_size))
            elif info.filename.endswith(".npy"):
                with archive.open(info) as member:
                    shape, _, dtype = _header(member)
                declared = max(info.file_size, abs(math.prod(shape)) * dtype.itemsize)
                found[name] = Stored(shape, dtype, _unpacker(path, info.filename, declared, info.compress_size))
    return found


def _unpacker(path: Path, member: str, declared: int, held: int) -> Callable[[Index], np.ndarray]:
    """What reads parts of a compressed member, which is unpacked once."""

    @cache
    def whole() -> np.ndarray:
        with reading(path):
            check_unpacked(f"{path}: {member}", declared // 4, declared, held)
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                return npy.read_array(file, allow_pickle=False)

    return lambda index: whole()[index]
