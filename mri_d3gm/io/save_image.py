"""Which writer makes which file of images."""

from collections.abc import Callable
from pathlib import Path

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image
from mri_d3gm.io.images.nifti import write_nifti_image

# by ending: (path, image, code of its coordinates as in NIfTI, description)
WRITERS: dict[str, Callable[[str | Path, Image, int, str], None]] = {".nii.gz": write_nifti_image}


def save_image(path: str | Path, image: Image, code: int, description: str) -> None:
    """Write an image in the format of path's ending, one of WRITERS, whole or not at all.

    code: 1 where the affine is in the scanner's coordinates, 2 in others; description: the file's own text. InputError for
    other endings and where it cannot be written.
    """
    name = Path(path).name.lower()
    write = next((write for ending, write in WRITERS.items() if name.endswith(ending)), None)
    if write is None:
        raise InputError(f"{path}: the ending names no format to write; choose {', '.join(WRITERS)}")
    write(path, image, code, description)
