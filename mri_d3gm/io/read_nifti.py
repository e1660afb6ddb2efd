"""Reader of NIfTI-1 and NIfTI-2 volumes, plain or gzipped, of either byte order."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, make_image, reading

MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: str | Path) -> Image:
    """Image of a .nii or .nii.gz file, in the file's own axes, slope and intercept applied.

    Affine: the sform, else the qform, else voxel sizes about the centre (as nibabel: x towards left), always in mm.
    InputError where the file is missing, cut short, damaged, or no NIfTI.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    _check_whole(Path(path))
    with reading(path, "is not a whole NIfTI file"):
        try:
            image = nibabel.load(path, mmap=False)
        except ImageFileError:
            image = None
        if not isinstance(image, nibabel.Nifti1Image):  # NIfTI-2 is a subclass
            raise InputError(f"{path}: not a NIfTI file, or cut within its header; give .nii or .nii.gz")
        array = np.asanyarray(image.dataobj)
        unit = MM_PER_UNIT.get(image.header.get_xyzt_units()[0], 1.0)
        description = bytes(image.header["descrip"]).decode("ascii", "ignore").replace("\0", " ")
    affine = np.array(image.affine, np.float64)
    affine[:3] *= unit
    return make_image(path, array, affine, (Path(path),), description)


def _check_whole(path: Path) -> None:
    """InputError where the file cannot be opened, or its gzip stream ends early or fails its checksum.

    nibabel stops at the last voxel, so it never compares the checksum.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        if zipped:
            with gzip.open(path) as stream:
                while stream.read(1 << 22):
                    pass
    except EOFError as error:
        raise InputError(f"{path}: the file is truncated; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: its gzip data are damaged; copy or download it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
