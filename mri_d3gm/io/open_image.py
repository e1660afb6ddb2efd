"""Which reader opens which file of magnitudes: NIfTI, NRRD or DICOM."""

import zipfile
from pathlib import Path

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, has_dicom_magic
from mri_d3gm.io.read_dicom import read_dicom
from mri_d3gm.io.read_nifti import read_nifti
from mri_d3gm.io.read_nrrd import read_nrrd

FORMATS = ".nii, .nii.gz, .nrrd, .nhdr, or DICOM (a file, a folder or a .zip)"


def open_image(path: str | Path, series: str | None = None) -> Image:
    """Read NIfTI, NRRD or DICOM, by the file's ending or content; series: which of several DICOM series.

    InputError for what is missing, of another format or cannot be used.
    """
    target = Path(path)
    if not target.exists():
        raise InputError(f"{path}: no such file or folder")
    kind = _kind(target)
    if kind == "dicom":
        return read_dicom(target, series)
    if series is not None:
        raise InputError(f"{path}: --series {series} chooses among DICOM series, and this is not DICOM; leave it out")
    if kind == "nrrd":
        return read_nrrd(target)
    return read_nifti(target)


def _kind(path: Path) -> str:
    """nifti, nrrd or dicom; InputError for other files."""
    name = path.name.lower()
    if path.is_dir() or name.endswith((".dcm", ".ima", ".zip")):
        return "dicom"
    if name.endswith((".nii", ".nii.gz")):
        return "nifti"
    if name.endswith((".nrrd", ".nhdr")):
        return "nrrd"
    if path.is_file() and (has_dicom_magic(path) or zipfile.is_zipfile(path)):
        return "dicom"
    raise InputError(f"{path}: not a volume that can be read; give {FORMATS}")
