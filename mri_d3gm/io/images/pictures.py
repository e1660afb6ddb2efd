"""Photographs: PNG, JPEG, TIFF and WebP, 8 and 16 bits, read as floats.

Pillow holds no 16-bit colour, so such files go through imagecodecs (PNG) and tifffile (TIFF), which the extra `photographs`
installs; all others need Pillow alone.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.bounds import check_unpacked
from mri_d3gm.io.image import silent
from mri_d3gm.io.images.picture_tags import NO_TAGS, ORIENTATION, Tags, orientation_of, tags_of, tags_of_tiff, value_of

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
# formats that Pillow does not know, or not everywhere, by how a file begins
OTHERS = {
    "HEIC or HEIF": re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "raw data of a camera": re.compile(rb"....ftypcrx |FUJIFILMCCD-RAW|FOVb|\0MRM", re.DOTALL),
    "SVG": re.compile(rb"\s*<(\?xml.{,1000}<)?svg\b", re.DOTALL),
    "PDF": re.compile(rb"%PDF-"),
    "video": re.compile(rb"....ftyp", re.DOTALL),
}
MOST_PIXELS, MOST_PAGES, SHORTEST_SIDE = 200_000_000, 100, 8
BITS, ICC_PROFILE = 258, 34675
# axes flipped for each value of the orientation tag, after rows and columns are exchanged from 5 on
FLIPS: dict[int, tuple[int, ...]] = {2: (1,), 3: (0, 1), 4: (0,), 5: (), 6: (1,), 7: (0, 1), 8: (0,)}
# columns and rows of a PNG's interlacing: first of each pass, and step
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# Pillow's mode and the one it is read as; a palette becomes colour
MODES = {
    "1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB", "RGBA": "RGBA",
    "RGBa": "RGBA",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A photograph: array (rows, cols, 1 or 3) float32 in [0, 1], upright; alpha (rows, cols) likewise or None; bits 1, 8 or
    16 of the file; icc, its colour profile or None; format PNG, JPEG, TIFF or WEBP; tags, what it says of itself; lossless: of
    a WebP, whether it is; turned: whether it lies otherwise in the file.
    """

    array: np.ndarray
    alpha: np.ndarray | None
    bits: int
    icc: bytes | None
    format: str
    path: str
    tags: Tags = NO_TAGS
    lossless: bool = False
    turned: bool = False

    @property
    def visible(self) -> np.ndarray | None:
        """Where it is not wholly transparent, (rows, cols) bool; None for everywhere."""
        return None if self.alpha is None else self.alpha > 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's own limit of pixels, which ours replaces, and without the decoders' remarks on stderr."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with silent("tifffile"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_picture(path: str | Path) -> Picture:
    """The picture of a PNG, JPEG, TIFF or WebP file, its orientation tag applied; `format` and limits by its content.

    InputError where it is missing, broken, none of these, animated or of several pages, CMYK or other colours, not of
    unsigned integers, below 8 pixels on a side or above 200 million pixels (which the header tells, before decoding).
    """
    from PIL import UnidentifiedImageError

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; give an image file") from error
    try:
        with _quiet():
            return _read_tiff(content, str(path)) if content[:2] in (b"II", b"MM") else _read_other(content, str(path))
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise _unknown(content, str(path)) from error
    except Exception as error:  # decoders raise anything on broken files
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: damaged or incomplete image ({reason}); get the file again") from error


def _unknown(content: bytes, path: str) -> InputError:
    """For what no decoder takes: its format, where it is known by how it begins."""
    kind = next((kind for kind, start in OTHERS.items() if start.match(content)), None)
    return InputError(f"{path}: {f'{kind} is not supported' if kind else 'not a readable image'}; give PNG, JPEG, TIFF or WebP")


def _check_size(path: str, size: tuple[int, int], stored: int, channels: int = 3, bits: int = 8) -> None:
    """size: columns and rows; stored: bytes of the file; bits: of each channel."""
    width, height = size
    if width * height > MOST_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels, above the limit of 200 million; cut or shrink it first")
    if min(width, height) < SHORTEST_SIDE:
        raise InputError(f"{path}: {width} x {height} pixels, too small; give at least {SHORTEST_SIDE} on each side")
    values = width * height * channels
    check_unpacked(path, values, values * bits // 8, stored)


def _read_other(content: bytes, path: str) -> Picture:
    """PNG, JPEG, WebP."""
    from PIL import Image

    if content[8:12] == b"WEBP":
        _check_size(path, _size_of_webp(content), len(content))  # Pillow takes the memory when it opens the file
    image = Image.open(BytesIO(content))
    # phones append depth maps and gain maps to a JPEG as further pictures
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{path}: animated {kind}; give single pictures, save its frames first")
    if kind not in FORMATS.values():
        raise InputError(f"{path}: {kind} is not supported; give PNG, JPEG, TIFF or WebP")
    _check_size(path, image.size, len(content), len(image.getbands()), content[24] if kind == "PNG" else 8)
    if kind == "PNG" and content[24] == 16:
        array = _decoded_png16(content, path)
        found = _picture(array, orientation_of(image), image.info.get("icc_profile"), kind, path)
        return replace(found, tags=tags_of(image))
    return replace(_of_pillow(image, kind, path), lossless=kind == "WEBP" and b"VP8L" in _chunks_of_webp(content))


def _chunks_of_webp(content: bytes) -> list[bytes]:
    """Names of the chunks of a file."""
    names, place = [], 12
    while place + 8 <= len(content):
        names.append(content[place : place + 4])
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return names


def _size_of_webp(content: bytes) -> tuple[int, int]:
    """Width and height of a picture, or of the canvas of an animation, from the first chunk."""
    kind, head = content[12:16], content[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    bits = int.from_bytes(head[1:5] if kind == b"VP8L" else head[6:10], "little")
    if kind == b"VP8L":
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return bits & 0x3FFF, bits >> 16 & 0x3FFF


def _decoded_png16(content: bytes, path: str) -> np.ndarray:
    """Pixels (rows, cols[, channels]) of a PNG of 16 bits.

    libpng gets the image alone, pass by pass where it is interlaced: it writes remarks about anything else on stderr.
    """
    width, height, _, colours, *methods = struct.unpack_from(">IIBBBBB", content, 16)  # compression, filter, interlacing
    channels, transparency = {0: (1, 2), 2: (3, 6), 4: (2, None), 6: (4, None)}.get(colours, (0, None))
    image, key, place, whole = b"", b"", 8, methods <= [0, 0, 1]
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        chunk = content[place : place + size + 12]
        whole &= kind != b"IDAT" or chunk == png_chunk(kind, chunk[8:-4])
        image += chunk[8:-4] if kind == b"IDAT" else b""
        key = chunk if kind == b"tRNS" and size == transparency else key
        place += size + 12
    passes = ADAM7 if methods[2] else ((0, 0, 1, 1),)
    sizes = [(max(0, -(-(height - y) // down)), max(0, -(-(width - x) // right))) for x, y, right, down in passes]
    lengths = [rows * (1 + 2 * channels * cols) if cols else 0 for rows, cols in sizes]
    lines = zlib.decompressobj().decompress(image, sum(lengths) + 1)
    if not whole or len(lines) != sum(lengths):
        raise InputError(f"{path}: damaged PNG; get the file again")
    decode, array = needed("imagecodecs", path).png_decode, None
    for (x, y, right, down), (rows, cols), length in zip(passes, sizes, lengths, strict=True):
        if length:
            header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", cols, rows, 16, colours, 0, 0, 0))
            packed = png_chunk(b"IDAT", zlib.compress(lines[:length], 0))
            found = decode(content[:8] + header + key + packed + png_chunk(b"IEND", b""))
            array = np.empty((height, width, *found.shape[2:]), np.uint16) if array is None else array
            array[y::down, x::right], lines = found, lines[length:]
    assert array is not None
    return array


def _of_pillow(image: "Image.Image", kind: str, path: str) -> Picture:
    """Decode a picture of at most 8 bits."""
    if image.mode not in MODES:
        what = {"CMYK": "CMYK colours", "F": "floating point"}.get(image.mode, f"pixels of type {image.mode}")
        raise InputError(f"{path}: {what}; convert it to grey or RGB of 8 or 16 bits")
    orientation = orientation_of(image)
    image.load()
    mode, one_bit, tags = MODES[image.mode], image.mode == "1", tags_of(image)
    if "transparency" in image.info and not mode.endswith("A"):
        image, mode = image.convert("RGBA"), "RGBA" if mode == "RGB" else "LA"
    # Pillow turns TIFF pictures itself while it loads them, and then takes the tag away
    found = _picture(np.asarray(image.convert(mode)), orientation_of(image), image.info.get("icc_profile"), kind, path)
    bits = 1 if one_bit and found.alpha is None else found.bits
    return replace(found, tags=tags, bits=bits, turned=orientation in FLIPS)


def needed(package: str, path: str) -> Any:
    """A package of the extra `photographs`; InputError where it is not installed."""
    try:
        return import_module(package)
    except ImportError as error:
        raise _missing(package, path) from error


def _missing(package: str, path: str) -> InputError:
    return InputError(f"{path}: 16 bits need the package {package}; pip install 'mri-d3gm[photographs]'")


def _read_tiff_by_pillow(content: bytes, path: str) -> Picture:
    """One page of at most 8 bits, where tifffile is not installed; InputError that asks for it for others."""
    from PIL import Image, UnidentifiedImageError

    try:
        image: Any = Image.open(BytesIO(content))
    except UnidentifiedImageError as error:
        if content[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
            raise
        raise _missing("tifffile", path) from error
    if image.n_frames > 1:
        raise InputError(f"{path}: TIFF of {image.n_frames} pages; give single pictures, save its pages first")
    bits = max(image.tag_v2.get(BITS, (1,)))
    _check_size(path, image.size, len(content), len(image.getbands()), bits)
    if bits > 8:
        raise _missing("tifffile", path)
    return _of_pillow(image, "TIFF", path)


def _read_tiff(content: bytes, path: str) -> Picture:
    """One page; grey and RGB by tifffile, palettes, YCbCr and fewer than 8 bits by Pillow."""
    from PIL import Image

    try:
        from tifffile import TiffFile, TiffFileError
    except ImportError:
        return _read_tiff_by_pillow(content, path)
    try:
        file = TiffFile(BytesIO(content))
    except TiffFileError as error:
        raise _unknown(content, path) from error
    with file:
        # offsets of a damaged file may lead in a circle
        pages = [page for page in islice(file.pages, MOST_PAGES) if not getattr(page, "is_reduced", False)]
        if len(pages) != 1:
            raise InputError(f"{path}: TIFF of {len(pages)} pages; give single pictures, save its pages first")
        page: Any = pages[0]
        size = page.imagewidth, page.imagelength
        _check_size(path, size, len(content), page.samplesperpixel, page.bitspersample)
        if page.photometric.name in ("SEPARATED", "CIELAB", "ICCLAB", "ITULAB"):
            raise InputError(f"{path}: CMYK or Lab colours; convert it to grey or RGB")
        if page.sampleformat != 1 or page.bitspersample not in (1, 2, 4, 8, 16):
            kind = "floating point" if page.sampleformat == 3 else f"{page.bitspersample}-bit"
            raise InputError(f"{path}: {kind} samples; convert it to unsigned integers of 8 or 16 bits")
        plain = page.photometric.name in ("MINISBLACK", "MINISWHITE", "RGB")
        if page.bitspersample < 8 or (page.bitspersample == 8 and not plain):
            return _of_pillow(Image.open(BytesIO(content)), "TIFF", path)
        if not plain:
            raise InputError(f"{path}: 16-bit TIFF of {page.photometric.name}; convert it to grey or RGB")
        try:
            array = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            if page.bitspersample == 8:
                return _of_pillow(Image.open(BytesIO(content)), "TIFF", path)
            raise _missing("imagecodecs", path) from error
        if page.planarconfig == 2 and array.ndim == 3:
            array = np.moveaxis(array, 0, -1)
        if page.photometric.name == "MINISWHITE":
            planes = array.shape[2] if array.ndim == 3 else 1
            inverted = np.arange(planes) < max(1, planes - len(page.extrasamples))
            array = np.where(inverted, np.iinfo(array.dtype).max - array, array)
        orientation, profile = (value_of(page, code, content) for code in (ORIENTATION, ICC_PROFILE))
        found = replace(_picture(array, orientation, profile, "TIFF", path), tags=tags_of_tiff(page, content))
    if found.alpha is not None and page.extrasamples and page.extrasamples[0] == 1:
        # colours were multiplied by alpha
        divided = np.clip(found.array / np.maximum(found.alpha, 1 / 65535)[..., None], 0, 1)
        return replace(found, array=divided)
    return found


def _picture(array: np.ndarray, orientation: int | None, icc: bytes | None, kind: str, path: str) -> Picture:
    """From integers (rows, cols[, 1 to 4]) as they lie in the file."""
    array = array[..., None] if array.ndim == 2 else array
    if array.shape[2] > 4:
        raise InputError(f"{path}: {array.shape[2]} channels; give grey or RGB, with or without alpha")
    if orientation in FLIPS:
        array = np.flip(array.swapaxes(0, 1) if orientation >= 5 else array, FLIPS[orientation])
    bits = 8 * array.dtype.itemsize
    scaled = np.divide(array, 2**bits - 1, dtype=np.float32)
    colours = 1 if scaled.shape[2] < 3 else 3
    alpha = np.ascontiguousarray(scaled[..., -1]) if scaled.shape[2] > colours else None
    colour = np.ascontiguousarray(scaled[..., :colours])
    return Picture(colour, alpha, bits, icc, kind, path, turned=orientation in FLIPS)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file: length, kind, body, checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
