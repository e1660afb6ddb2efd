"""MRI images: what every reader returns, checked in one place."""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError, printable

FAINT = 1e-37  # below it values lose digits in float32, and their inverses are too large for it
UNKNOWN = 2  # the code of coordinates where they are nobody's
THICK = 1.5  # an axis whose spacing is that many times the other two's is the slice axis


class Bright(NamedTuple):
    """A voxel (i, j, k[, t]) that is `times` as large as all others."""

    place: tuple[int, ...]
    times: float


@dataclass(frozen=True)
class Image:
    """Real-valued MR images in the file's units (slope and intercept applied), on a regular grid.

    array: float32, (i, j, k) or (i, j, k, t), finite; affine: 4 x 4 float64 from voxel index (i, j, k) to mm, RAS+;
    files: what was read, in order, for hashing; description: the file's own text, or ''; time_step: seconds between
    neighbours along t, None without such an axis or where it is unknown; contrasts: of each volume along t what its contrast
    depends on (echo time, b value), by DICOM's names, empty where nothing but time is known to differ; source: what the file's
    header said, by its own names; ground: what was taken off the values of array for a background of 0; bright: voxels that
    were far above all others and replaced. source may identify the patient: it stays in memory, out of logs, messages and
    sidecars, and out of repr.
    """

    array: np.ndarray
    affine: np.ndarray
    files: tuple[Path, ...]
    description: str
    time_step: float | None = None
    contrasts: tuple[Mapping[str, Any], ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ground: float = 0.0
    bright: tuple[Bright, ...] = ()


@contextmanager
def reading(name: str | Path, what: str = "cannot be read") -> Iterator[None]:
    """Whatever a parser raises inside becomes an InputError of one line; `what` says what could not be done."""
    try:
        with np.errstate(all="ignore"):
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name}: needs more memory than there is; give a smaller volume") from error
    except PermissionError as error:
        raise InputError(f"{name}: no permission to read it; change its permissions, or copy it") from error
    except Exception as error:
        text = " ".join((getattr(error, "strerror", None) or str(error) or "its content is damaged").split())
        text = re.sub(r"^Error -?\d+ ", "", text)  # zlib's numbers
        raise InputError(f"{name}: {what}: {printable(text)[:200]}; check the file, or copy or download it again") from error


@contextmanager
def silent(logger: str) -> Iterator[None]:
    """Without a library's remarks on stderr: warnings, and what it logs under this name."""
    found = logging.getLogger(logger)
    level = found.level
    found.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        found.setLevel(level)


def make_image(
    name: str | Path,
    array: np.ndarray,
    affine: np.ndarray,
    files: tuple[Path, ...],
    description: str = "",
    *,
    time_step: float | None = None,
    contrasts: tuple[Mapping[str, Any], ...] = (),
    source: Mapping[str, Any] | None = None,
) -> Image:
    """The image of an array of 2 to 4 axes, after all checks; name: the file or folder, for messages.

    Trailing axes of length 1 beyond the third are dropped, two axes become three; a time step that is not positive and
    finite counts as unknown. InputError for complex or colour data, other shapes, NaN or Inf, only zeros, values too small for
    float32, and an affine that is not finite, cannot be inverted or does not end in the row 0, 0, 0, 1.
    """
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name}: its voxels are complex, colour or records, not real numbers; give a magnitude volume")
    data = _three_or_four(name, array)
    with np.errstate(over="ignore"):
        data = np.array(data, np.float32, order="C")
    _check_values(name, data)
    if affine.dtype.kind not in "biuf" or affine.shape != (4, 4):
        raise InputError(f"{name}: its affine is {affine.dtype} of shape {affine.shape}; 4 x 4 numbers are needed")
    matrix = np.array(affine, np.float64)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        usable = np.isfinite(matrix).all() and (lengths > 0).all()
        usable = usable and abs(np.linalg.det(matrix[:3, :3] / lengths)) > 1e-3
    if not usable:
        raise InputError(f"{name}: its affine is not finite or cannot be inverted; correct the orientation in the header")
    if not np.allclose(matrix[3], (0, 0, 0, 1), rtol=0, atol=1e-6):
        raise InputError(f"{name}: its affine does not end in the row 0, 0, 0, 1; is it transposed?")
    known = data.ndim == 4 and time_step is not None and 0 < time_step < np.inf
    text = " ".join(description.split())
    return Image(data, matrix, files, text, time_step if known else None, contrasts, dict(source or {}))


def _three_or_four(name: str | Path, array: np.ndarray) -> np.ndarray:
    shape = array.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) not in (3, 4):
        raise InputError(f"{name}: has shape {array.shape}; 3 axes, or 4 with time, echo or b value last, are needed")
    if 0 in shape or sum(size > 1 for size in shape[:3]) < 2:
        raise InputError(f"{name}: has shape {array.shape}; at least one slice of two axes is needed")
    return array.reshape(shape)


def _check_values(name: str | Path, data: np.ndarray) -> None:
    finite = np.isfinite(data)
    if not finite.all():
        index = tuple(int(axis) for axis in np.unravel_index(np.argmin(finite), data.shape))
        raise InputError(f"{name}: voxel {index} is NaN, Inf or too large for float32; replace such voxels")
    if not data.any():
        raise InputError(f"{name}: all voxels are zero; give a file that holds an image")
    if (peak := float(max(data.max(), -data.min()))) < FAINT:
        raise InputError(f"{name}: its largest voxel is {peak:.1g}, too small for float32; multiply all by a constant")


def coordinates(image: Image) -> int:
    """NIfTI's code of what the affine refers to: 1 for DICOM, 2 where a NIfTI names none."""
    return int(image.source.get("sform_code", 1) or image.source.get("qform_code") or UNKNOWN)


def position_known(image: Image) -> bool:
    """Whether the affine says where voxels lie, and so which side is left."""
    return coordinates(image) != UNKNOWN


def spacing(image: Image) -> tuple[float, float, float]:
    """Distance between neighbouring voxels along (i, j, k), in mm."""
    first, second, third = np.linalg.norm(image.affine[:3, :3], axis=0)
    return float(first), float(second), float(third)


def slice_axis(image: Image, given: int | None = None) -> int:
    """Axis (0, 1 or 2) across slices: the given one, or one of length 1, else one spaced over 1.5 times the others, else the
    last.
    """
    if given is not None:
        return given
    single = [axis for axis in range(3) if image.array.shape[axis] == 1]
    if single:
        return single[-1]
    sizes = spacing(image)
    order = np.argsort(sizes)
    return int(order[2]) if sizes[order[2]] > THICK * sizes[order[1]] else 2


def with_frames(array: np.ndarray) -> np.ndarray:
    """An array (i, j, k[, t]) as (i, j, k, t)."""
    return array if array.ndim == 4 else array[..., None]


def first_frame(array: np.ndarray) -> np.ndarray:
    """The first frame of an array (i, j, k[, t]), (i, j, k)."""
    return with_frames(array)[..., 0]


def frames_of_slices(array: np.ndarray, axis: int) -> np.ndarray:
    """The slices of an array (i, j, k[, t]) across an axis, (frames, slices, rows, cols)."""
    return np.moveaxis(with_frames(array), (3, axis), (0, 1))
