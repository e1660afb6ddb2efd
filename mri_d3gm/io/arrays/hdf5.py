"""HDF5 files of others, read so that no other file is touched and no memory is taken that they cannot fill."""

import errno
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.hdf5_heaps import check_attribute, check_references
from mri_d3gm.io.arrays.named_arrays import Stored
from mri_d3gm.io.bounds import check_unpacked

DEFLATE, SHUFFLE, FLETCHER32, LZF, OTHERS = 1, 2, 3, 32000, 256  # filters; those from OTHERS on are installed by the user
NOTES = 4096  # bytes of memory that the library takes for each chunk of a selection
CAUSES = {
    "no permission to read it; change its permissions, or copy it": ("Permission denied",),
    "is open for writing in another program; close it there, or copy the file": ("unable to lock file", "already open for"),
    "the file is truncated; copy or download it again": ("truncated", "file read failed", "addr overflow"),
}


@contextmanager
def opened(path: str | Path, needed: str = "fastMRI-layout .h5") -> Iterator[h5py.File]:
    """The file, for reading; whatever h5py raises inside becomes an InputError that says the cause.

    needed: what should have been given, for the message about another file.
    """
    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if not Path(path).is_file():
        raise InputError(f"{path}: is a folder or device, not a file; {needed} is needed")
    try:
        with np.errstate(all="ignore"), h5py.File(path, "r") as file:
            yield file
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except MemoryError as error:
        raise InputError(f"{path}: needs more memory than there is; give a smaller file") from error
    except Exception as error:  # h5py raises anything on damaged files
        text = str(error)
        if "file signature not found" in text:
            raise InputError(f"{path}: not an HDF5 file; {needed} is needed") from error
        known = (cause for cause, signs in CAUSES.items() if any(sign in text for sign in signs))
        other = "the file is damaged; copy or download it again"
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            other = f"cannot be read: {error.strerror or 'the system refuses'}; copy it to another disk"
        raise InputError(f"{path}: {next(known, other)}") from error


def dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A dataset of this very file by its path, None where there is none.

    InputError for links elsewhere, external storage, virtual datasets, filters that are not there, and for sizes that the bytes
    stored cannot fill.
    """
    found: Any = file
    for part in name.split("/"):
        if not isinstance(found, h5py.Group):
            raise InputError(f"{file.filename}: {found.name[1:]} is a dataset, not a group")
        link = found.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{file.filename}: {name} is a link to another place; put the data into the file itself")
        found = found[part]
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{file.filename}: {name} is a {type(found).__name__.lower()}, not a dataset")
    if found.external or found.is_virtual:
        raise InputError(f"{file.filename}: {name} is stored in another file; put the data into the file itself")
    if found.dtype.kind in "biufc" and not as_numpy(found):
        raise InputError(f"{file.filename}: {name} holds numbers that are stored in no usual way; save it again")
    _check_filters(found)
    _check_size(found)
    return found


def values(data: h5py.Dataset, index: int | tuple[int | slice, ...] | None = None) -> np.ndarray:
    """All of a dataset from `dataset`, or a part of it; InputError for a chunk that unpacks to too much.

    index: a number of the first axis, or one or a slice for each axis.
    """
    places = (index,) if isinstance(index, int) else index or ()
    if _filters(data):
        chunks: list[Any] = []
        data.id.chunk_iter(chunks.append)
        for chunk in chunks:
            axes = zip(places, chunk.chunk_offset, data.chunks, strict=False)
            if all(not isinstance(place, int) or 0 <= place - start < size for place, start, size in axes):
                _check_chunk(data, chunk)
    if data.dtype.hasobject:
        check_references(data)
    return data[() if index is None else index]


def held(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A dataset of the file itself, None where it has none of that name; links elsewhere are not followed."""
    found = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    return found if isinstance(found, h5py.Dataset) else None


def stored_datasets(path: Path) -> dict[str, Stored]:
    """All arrays of a file, those in groups too, by their paths; axes in the file's order.

    MATLAB's own groups are left out, and so are numbers that numpy has not as they are stored: converting what a damaged file
    takes for a type can end the process.
    """
    found: dict[str, Stored] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(item, h5py.Dataset) or not item.shape or name.startswith("#"):
            return
        with suppress(TypeError):  # of types that numpy lacks
            if as_numpy(item):
                found[name] = Stored(item.shape, item.dtype, lambda index: _read(path, name, index))

    with opened(path) as file:
        file.visititems(visit)
    return found


def _read(path: Path, name: str, index: tuple[int | slice, ...]) -> np.ndarray:
    """A part of a dataset, by an index for each axis."""
    with opened(path) as file:
        found = dataset(file, name)
        assert found is not None
        return np.asarray(values(found, index))


def text_attribute(file: h5py.File, name: str) -> str:
    """An attribute of the file as text, '' where there is none."""
    if name in file.attrs and h5py.check_string_dtype(file.attrs.get_id(name).dtype):
        check_attribute(file, name)
    value = file.attrs.get(name, "")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def as_numpy(data: h5py.Dataset) -> bool:
    """Whether numbers are stored as numpy has them: converting what a damaged file takes for a type can end the process."""
    kind, dtype = data.id.get_type(), data.dtype
    if dtype.kind == "c" and not isinstance(kind, h5py.h5t.TypeCompoundID):  # HDF5 2 has complex numbers of its own
        kind, dtype = kind.get_super(), np.dtype(f"{dtype.byteorder}f{dtype.itemsize // 2}")
    return bool(h5py.h5t.py_create(dtype, logical=True).equal(kind))


def _filters(data: h5py.Dataset) -> list[tuple[int, str]]:
    """Number and name of the filters of a dataset's chunks, in the order in which they were applied."""
    properties = data.id.get_create_plist()
    found = [properties.get_filter(index) for index in range(properties.get_nfilters())]
    return [(code, name.decode("ascii", "replace")) for code, _, _, name in found]


def _check_filters(data: h5py.Dataset) -> None:
    packing = [(code, name) for code, name in _filters(data) if code not in (SHUFFLE, FLETCHER32)]
    if len(packing) > 1:
        raise InputError(f"{_named(data)} is compressed more than once; save it uncompressed")
    for code, name in packing:
        # the library's own nbit, szip and scale-offset take sizes from the file on trust
        if code not in (DEFLATE, LZF) and not (code >= OTHERS and h5py.h5z.filter_avail(code)):
            raise InputError(
                f"{_named(data)} is compressed by a filter that is not installed, {name or 'without a name'} (number {code}); "
                "save it uncompressed, as h5repack -f NONE does"
            )


def _check_size(data: h5py.Dataset) -> None:
    """Of the whole dataset, of one chunk, which is unpacked whole, and of what the library notes about each chunk."""
    shape = [max(1, length) for length in data.shape or ()]
    size = max(math.prod(shape), math.prod(data.chunks or ())) * data.dtype.itemsize
    if data.chunks:
        parts = (-(-length // part) for length, part in zip(shape, data.chunks, strict=True))
        size = max(size, NOTES * math.prod(parts))
    stored = min(data.id.get_storage_size(), Path(data.file.filename).stat().st_size)
    check_unpacked(f"{_named(data)} of shape {data.shape}", size, size, stored)


def _check_chunk(data: h5py.Dataset, chunk: Any) -> None:
    """InputError where a chunk has more bytes than the file, or is deflated and unpacks to more than a chunk."""
    if chunk.size > Path(data.file.filename).stat().st_size:
        raise InputError(f"{data.file.filename}: the file is damaged; copy or download it again")
    size = math.prod(data.chunks) * data.dtype.itemsize + 4  # a checksum
    codes = [code for code, _ in _filters(data)]
    if DEFLATE in codes and not chunk.filter_mask >> codes.index(DEFLATE) & 1:
        packed = data.id.read_direct_chunk(chunk.chunk_offset)[1]
        with suppress(zlib.error):  # which the library finds as well
            if len(zlib.decompressobj().decompress(packed, size + 1)) > size:
                raise InputError(f"{_named(data)} unpacks to more than its size; copy or download the file again")


def _named(data: h5py.Dataset) -> str:
    return f"{data.file.filename}: {data.name[1:]}"
