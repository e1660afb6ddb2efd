"""Reader of NIfTI-1 and NIfTI-2 images, plain or gzipped, of either byte order."""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.bounds import check_stream, check_unpacked, pieces_of
from mri_d3gm.io.image import Image, make_image, reading, silent

MM_PER_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
SECONDS_PER_UNIT = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
MAGICS = {b"n+1\0": (344, "NIfTI-1"), b"n+2\0": (4, "NIfTI-2")}  # place in the header, name


def is_nifti(path: Path) -> bool:
    """Whether the content, unzipped if need be, begins as a NIfTI header with its data in the same file."""
    with suppress(InputError, OSError), _opened(path) as stream:
        return _version(stream.read(348)) is not None
    return False


def read_nifti(path: str | Path) -> Image:
    """Image of a NIfTI file, known by its content, in the file's own axes, slope and intercept applied.

    Affine: the sform, else the qform, else voxel sizes about the centre (as nibabel: x towards left), always in mm. Time
    step: pixdim[4], where its unit is one of time. source: format, sform_code, qform_code. InputError where the file is
    missing, cut short, damaged, or no NIfTI.
    """
    with reading(path, "cannot be read as NIfTI"), silent("nibabel.global"), _opened(Path(path)) as stream:
        version = _version(stream.read(348))
        if version is None:
            raise InputError(f"{path}: not a NIfTI file, or cut within its header; give .nii or .nii.gz")
        stream.seek(0)
        image = _load(stream, version)
        _check_size(Path(path), image.dataobj, isinstance(stream, gzip.GzipFile))
        array = np.asanyarray(image.dataobj)
        # gzip compares its checksum at the end of the stream
        check_stream(path, pieces_of(stream), Path(path).stat().st_size)
        header = image.header
        space, time = header.get_xyzt_units()
        affine = np.array(image.affine, np.float64)
        affine[:3] *= MM_PER_UNIT.get(space, 1.0)
        # through text, so that 0.8 in float32 is 0.8
        step = float(str(header["pixdim"][4])) * SECONDS_PER_UNIT[time] if time in SECONDS_PER_UNIT else None
        description = bytes(header["descrip"]).decode("ascii", "ignore").replace("\0", " ")
        source = {"format": version, **{name: int(header[name]) for name in ("sform_code", "qform_code")}}
    return make_image(path, array, affine, (Path(path),), description, time_step=step, source=source)


def _check_size(path: Path, data: Any, zipped: bool) -> None:
    """InputError where the header declares more than the file can hold; data: nibabel's proxy of the voxels."""
    values = math.prod(data.shape)
    end, stored = data.offset + values * data.dtype.itemsize, path.stat().st_size
    if zipped:
        check_unpacked(path, values, end, stored)
    elif end > stored:
        raise InputError(f"{path}: the file is truncated, or its header is wrong; copy or download it again")


def _version(head: bytes) -> str | None:
    return next((name for magic, (place, name) in MAGICS.items() if head[place : place + 4] == magic), None)


def _load(stream: Any, version: str) -> Any:
    """nibabel's image of a stream, which by itself would go by the file's ending."""
    import nibabel

    kind = nibabel.Nifti1Image if version == "NIfTI-1" else nibabel.Nifti2Image
    return kind.from_file_map(kind.make_file_map({"image": stream}), mmap=False)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file's bytes, unzipped where they are gzipped; InputError where they end early or are damaged."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if zipped else nullcontext(file) as stream:
                yield stream
    except EOFError as error:
        raise InputError(f"{path}: the file is truncated; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: its gzip data are damaged; copy or download it again") from error
