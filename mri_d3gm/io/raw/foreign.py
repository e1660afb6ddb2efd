"""Raw data that are known by content or ending and not read: what they are, and which open converter makes ISMRMRD of them."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py

from mri_d3gm.io.image import reading

GE = "is GE raw data, which GE's own library alone reads; make ISMRMRD of it with ge_to_ismrmrd"
PHILIPS = "is Philips raw data; make ISMRMRD of it with philips_to_ismrmrd"
NO_TWIX = "does not begin like Siemens raw data (twix); it is damaged, or of another kind"
LOGO = slice(34, 44)  # bytes of a P-file


class Foreign(NamedTuple):
    """A format: whether a file is of it, and what it is and what to do."""

    recognises: Callable[[Path], bool]
    message: str


def is_scan_archive(path: Path) -> bool:
    """HDF5 by the name that GE's scanners give."""
    return path.name.lower().startswith("scanarchive") and h5py.is_hdf5(path)


def is_p_file(path: Path) -> bool:
    """The logo of a P-file, or its ending."""
    with reading(path), path.open("rb") as file:
        return file.read(LOGO.stop)[LOGO] in (b"GE_MED_NMR", b"INVALIDNMR") or path.suffix == ".7"


def is_philips(path: Path) -> bool:
    """One of a pair .raw and .lab or .list and .data, whose other file need not be there."""
    return path.suffix.lower() in (".raw", ".lab", ".list", ".data")


def is_dat(path: Path) -> bool:
    """The ending of Siemens raw data; those that can be read are known before."""
    return path.suffix.lower() == ".dat"


FOREIGN = (
    Foreign(is_scan_archive, GE),
    Foreign(is_p_file, GE),
    Foreign(is_philips, PHILIPS),
    Foreign(is_dat, NO_TWIX),
)
