"""HDF5 for all readers: opened with errors of one line, datasets of the file itself, and all of its arrays of numbers."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays import Stored, check_size


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """The file, for reading; InputError where it is missing, of another format, or damaged."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if not Path(path).is_file():
        raise InputError(f"{path}: is a folder or device, not a file; fastMRI-layout .h5 is needed")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: needs more memory than there is; give a smaller file") from error
    except Exception as error:  # h5py raises anything on damaged files
        text = " ".join(str(error).split())
        if "truncated" in text or "file read failed" in text or "addr overflow" in text:
            raise InputError(f"{path}: the file is truncated; copy or download it again") from error
        if "file signature not found" in text:
            raise InputError(f"{path}: not an HDF5 file; fastMRI-layout .h5 is needed") from error
        raise InputError(f"{path}: cannot be read: {text}") from error


def dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """A dataset of this very file; links elsewhere, external storage and virtual datasets are refused."""
    link = file.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{file.filename}: {name} is a link to another place; put the data into the file itself")
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{file.filename}: {name} is a {type(found).__name__.lower()}, not a dataset")
    if found.external or found.is_virtual:
        raise InputError(f"{file.filename}: {name} is stored in another file; put the data into the file itself")
    return found


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
            if h5py.h5t.py_create(item.dtype, logical=True).equal(item.id.get_type()):
                found[name] = Stored(item.shape, item.dtype, lambda index: _read(path, name, index))

    with opened(path) as file:
        file.visititems(visit)
    return found


def _read(path: Path, name: str, index: tuple[int | slice, ...]) -> np.ndarray:
    """A part of a dataset; InputError where it declares far more than the file holds."""
    with opened(path) as file:
        found = dataset(file, name)
        assert found is not None
        for shape in (found.shape, found.chunks or ()):
            check_size(path, name, math.prod(shape) * found.dtype.itemsize, found.id.get_storage_size())
        return np.asarray(found[index])
