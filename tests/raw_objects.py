"""One object under three coils, protocols that measure it, and what its k-space must be."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from raw_files import Blob, Coil, Protocol, signal, waves, write_ismrmrd

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Reading, Scan

COILS = [Coil((40, 0, 0), 70.0), Coil((-40, 10, 0), 70.0, 1j), Coil((0, -40, 5), 70.0, 0.5 - 0.5j)]
FLAT = Protocol(matrix=(24, 20, 1), coils=COILS)
SOLID = Protocol(matrix=(20, 16, 12), voxel=(3.0, 3.5, 4.0), coils=COILS)
OBJECT = [Blob((4, -3, 1), 9.0), Blob((-12, 9, 0), 4.0, 2.0), Blob((9, 12, -2), 3.0, 1.5)]


def exact(made: Protocol, centre: Any = (0.0, 0.0, 0.0)) -> np.ndarray:
    """K-space of the whole matrix, without oversampling, as the object has it."""
    whole = replace(made, oversampling=1, echo=None)
    return signal(OBJECT, whole, np.array(centre, float), waves(whole))


def scan_of(made: Protocol, folder: Path, **options: Any) -> Scan:
    return open_scan(write_ismrmrd(folder / "a.h5", OBJECT, made), Reading(**options))


def lines_of(scan: Scan, index: int = 0) -> np.ndarray:
    """Columns from the centre that an image holds."""
    return np.flatnonzero(np.abs(scan.read(index)).max((0, 1))) - scan.cols // 2


def assert_near(found: np.ndarray, wanted: np.ndarray, part: float = 1e-5) -> None:
    np.testing.assert_allclose(found, wanted, atol=part * np.abs(wanted).max())


def edited(path: Path, old: bytes, new: bytes) -> Path:
    """A file whose header says something else."""
    with h5py.File(path, "a") as file:
        xml = file["dataset/xml"][0]
        assert old in xml
        file["dataset/xml"][0] = xml.replace(old, new)
    return path


@contextmanager
def readouts_of(path: Path) -> Iterator[np.ndarray]:
    """The acquisitions of a file, to change them in place."""
    with h5py.File(path, "a") as file:
        data = file["dataset/data"][:]
        yield data
        file["dataset/data"][:] = data


def set_header(path: Path, header: bytes) -> None:
    with h5py.File(path, "a") as file:
        file["dataset/xml"][0] = header
