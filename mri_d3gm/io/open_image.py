"""Which reader opens which file of images: NIfTI, NRRD or DICOM."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_series import is_dicom
from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.image import Image, reading
from mri_d3gm.io.images.read_nifti import is_nifti, read_nifti
from mri_d3gm.io.images.read_nrrd import is_nrrd, read_nrrd


class Reader(NamedTuple):
    """A format: whether a file's content is of it, reading it (series: which of several), and its usual endings.

    The endings only decide which reader complains about a file whose content none of them knows.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path, str | None], Image]
    endings: tuple[str, ...]


def _without_series(read: Callable[[Path], Image]) -> Callable[[Path, str | None], Image]:
    """A reader of a format that holds one image, so that there is nothing to choose."""

    def one(path: Path, series: str | None) -> Image:
        if series is not None:
            raise InputError(f"{path}: --series {series} chooses among DICOM series, and this is not DICOM; leave it out")
        return read(path)

    return one


READERS = {
    "NIfTI": Reader(is_nifti, _without_series(read_nifti), (".nii", ".nii.gz")),
    "NRRD": Reader(is_nrrd, _without_series(read_nrrd), (".nrrd", ".nhdr")),
    "DICOM": Reader(is_dicom, read_dicom, (".dcm", ".ima", ".zip")),
}


def image_endings() -> tuple[str, ...]:
    """Endings of all formats."""
    return tuple(ending for reader in READERS.values() for ending in reader.endings)


def volume_endings() -> tuple[str, ...]:
    """Endings of the formats of which each file is a volume, as those of DICOM are not."""
    return tuple(ending for name, reader in READERS.items() if name != "DICOM" for ending in reader.endings)


def open_image(path: str | Path, series: str | None = None) -> Image:
    """Read a file or folder by the first of READERS that knows its content; series: which of several DICOM series.

    InputError for what is missing, of another format or cannot be used.
    """
    target = Path(path)
    if not target.exists():
        raise InputError(f"{path}: no such file or folder")
    if target.is_file():
        with reading(path), target.open("rb"):
            pass
    elif not target.is_dir():
        raise InputError(f"{path}: is a device or pipe; give a file or a folder")
    name = target.name.lower()
    for reader in READERS.values():
        with reading(path):
            if reader.recognises(target):
                return reader.read(target, series)
    for reader in READERS.values():
        if name.endswith(reader.endings):
            return reader.read(target, series)
    raise InputError(f"{path}: not an image that can be read; give {', '.join(image_endings())} or a folder of DICOM")
