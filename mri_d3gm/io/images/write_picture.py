"""Writes photographs with what they came with: depth, alpha, colour profile, tags."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path
from mri_d3gm.io.images.picture_tags import options_of, png_chunks, tiff_options
from mri_d3gm.io.images.pictures import FORMATS, Picture, needed, png_chunk

OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
LONGEST = {"JPEG": 65_500, "WEBP": 16_383}  # pixels that a side may have


def format_of(path: str | Path, like: Picture) -> str:
    """The format of path's ending; InputError where it names none, or one that cannot hold what `like` has: 16 bits, alpha, its
    size. It is known before the picture is made.
    """
    kind = FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise InputError(f"{path}: the ending names no format; choose {', '.join(FORMATS)}")
    if like.bits == 16 and kind in ("JPEG", "WEBP"):
        raise InputError(f"{path}: {kind} holds 8 bits and {like.path} has 16; choose .png or .tif")
    if like.alpha is not None and kind == "JPEG":
        raise InputError(f"{path}: JPEG holds no alpha and {like.path} has it; choose .png, .tif or .webp")
    side = max(like.array.shape[:2])
    if side > LONGEST.get(kind, side):
        raise InputError(f"{path}: {kind} holds {LONGEST[kind]} pixels a side and {like.path} has {side}; choose .png or .tif")
    if like.bits == 16:
        needed("tifffile" if kind == "TIFF" else "imagecodecs", str(path))
    return kind


def write_picture(path: str | Path, picture_array: np.ndarray, like: Picture) -> None:
    """Write (rows, cols, 1 or 3), cut to [0, 1], in the format of path's ending, with bits, alpha, profile and tags of `like`.

    JPEG and WebP of quality 95, WebP lossless where `like` is; one bit where PNG or TIFF hold it. Written whole or not at all.
    InputError as of `format_of`, and where it cannot be written; ValueError for another size than like's, or values not finite.
    """
    kind = format_of(path, like)
    if picture_array.shape[:2] != like.array.shape[:2] or picture_array.shape[2:] not in ((1,), (3,)):
        raise ValueError(f"picture {picture_array.shape} for one of {like.array.shape}")
    if not np.isfinite(picture_array).all():
        raise ValueError("picture has values that are not finite")
    planes = picture_array if like.alpha is None else np.concatenate([picture_array, like.alpha[..., None]], -1)
    bits = 8 if like.bits == 1 and kind in ("JPEG", "WEBP") else like.bits
    array = np.round(np.clip(planes, 0, 1).astype(np.float64) * (2**bits - 1))
    array = array.astype({1: np.bool_, 8: np.uint8, 16: np.uint16}[bits])
    array = np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array)
    with atomic_path(path) as temporary:
        try:
            _encode(temporary, array, kind, like, str(path))
        except ValueError as error:
            raise InputError(f"{path}: cannot be written as {kind}: {error}; choose another format") from error


def write_or_copy(path: str | Path, picture_array: np.ndarray, like: Picture) -> None:
    """As `write_picture`, but a copy of the file of `like` where nothing differs: values, format, and how it lies there."""
    if FORMATS.get(Path(path).suffix.lower()) != like.format or like.turned or not np.array_equal(picture_array, like.array):
        write_picture(path, picture_array, like)
        return
    content = Path(like.path).read_bytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _encode(temporary: Path, array: np.ndarray, kind: str, like: Picture, path: str) -> None:
    """Write integers or bools (rows, cols[, 2 to 4]) with profile and tags of `like`; path: for messages."""
    from PIL import Image

    if kind == "TIFF" and array.dtype == np.uint16:
        grey = array.ndim == 2 or array.shape[2] == 2
        extra = ["unassalpha"] if array.ndim == 3 and array.shape[2] in (2, 4) else None
        needed("tifffile", path).imwrite(
            temporary,
            array,
            photometric="minisblack" if grey else "rgb",
            planarconfig="contig" if array.ndim == 3 else None,
            extrasamples=extra,
            compression="zlib",
            iccprofile=like.icc,
            metadata=None,
            **tiff_options(like.tags),
        )
    elif array.dtype == np.uint16:
        png = bytes(needed("imagecodecs", path).png_encode(array))
        colours = [] if like.icc is None else [(b"iCCP", b"ICC profile\0\0" + zlib.compress(like.icc))]
        more = b"".join(png_chunk(*chunk) for chunk in (*colours, *png_chunks(like.tags)))
        temporary.write_bytes(png[:33] + more + png[33:])  # behind the header
    else:
        grey = array.ndim == 2 or array.shape[2] == 2
        # WebP has no grey, and a grey profile would not fit its colours
        profile = None if grey and kind == "WEBP" else like.icc
        options = OPTIONS[kind] | options_of(like.tags, kind) | ({"lossless": True} if kind == "WEBP" and like.lossless else {})
        Image.fromarray(array).save(temporary, kind, icc_profile=profile, **options)
