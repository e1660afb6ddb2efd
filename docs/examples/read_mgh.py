"""A reader of images: FreeSurfer's MGH, plain or gzipped (.mgz)."""

import gzip
import zlib
from contextlib import suppress
from pathlib import Path

from mri_d3gm.io.image import Image, make_image, reading

GZIP, VERSION = b"\x1f\x8b", b"\0\0\0\1"


def is_mgh(path: Path) -> bool:
    """Whether the content, unzipped if need be, begins with MGH's version and is of its size at least."""
    with suppress(OSError, EOFError, zlib.error), path.open("rb") as file:
        zipped = file.read(2) == GZIP
        with gzip.open(path) if zipped else path.open("rb") as content:
            head = content.read(284)
        return len(head) == 284 and head[:4] == VERSION
    return False


def read_mgh(path: Path, series: str | None = None) -> Image:
    """The volume, its affine in mm (RAS), and its repetition time as the time step."""
    import nibabel

    with reading(path, "cannot be read as MGH"), path.open("rb") as file:
        zipped = file.read(2) == GZIP
    with reading(path, "cannot be read as MGH"), gzip.open(path) if zipped else path.open("rb") as stream:
        image = nibabel.MGHImage.from_stream(stream)
        array, step = image.get_fdata(dtype="float32"), float(image.header["tr"]) / 1000
    return make_image(path, array, image.affine, (path,), time_step=step, source={"format": "MGH"})
