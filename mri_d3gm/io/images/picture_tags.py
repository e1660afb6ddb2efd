"""What a photograph says of itself: camera, date, place, words (EXIF), and dots an inch; its orientation aside."""

from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

EXIF, GPS = 0x8769, 0x8825
# description, maker, model, software, date, artist, host, rating, copyright, and what Windows adds
TEXTS = (270, 271, 272, 305, 306, 315, 316, 18246, 33432, 40091, 40092, 40093, 40094, 40095)
SOFTWARE = 305  # which tifffile writes itself
ORIENTATION = 274
OF_THE_FILE = (40962, 40963, 40965)  # size and index of the file that it was in
X_DOTS, Y_DOTS, UNIT = 282, 283, 296
INCH, CENTIMETRE = 2, 3
MOST = 65_000  # bytes that a JPEG has room for


class Tags(NamedTuple):
    """EXIF without orientation and thumbnail, as files hold it; dots an inch along columns and rows. None where unknown.

    colours: name and body of a PNG's chunks that say how its colours look: gAMA, cHRM, sRGB.
    """

    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    colours: tuple[tuple[bytes, bytes], ...] = ()


NO_TAGS = Tags()


class _AsRead(str):
    """A text that was decoded as Latin-1, whatever it is in. It is written as the bytes that it was; Pillow's own way leaves
    ASCII alone.
    """

    def encode(self, *_: str, **__: str) -> bytes:
        return super().encode("latin-1", "replace")


def _as_read(values: Mapping[int, Any]) -> dict[int, Any]:
    return {code: _AsRead(value) if isinstance(value, str) else value for code, value in values.items()}


def _loaded(block: bytes) -> "Image.Exif":
    """EXIF to write on."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(block)
    for code, value in _as_read(exif).items():
        exif[code] = value
    for code in {EXIF, GPS} & set(exif):
        below = exif.get_ifd(code)
        below.update(_as_read(below))
    return exif


def orientation_of(image: "Image.Image") -> Any:
    """What the orientation tag of a picture that Pillow opened says; 1, upright, where it is missing or damaged."""
    with suppress(Exception):
        return image.getexif().get(ORIENTATION, 1)
    return 1


def tags_of(image: "Image.Image") -> Tags:
    """The tags of a picture that Pillow opened; what is damaged is left out."""
    with suppress(Exception):  # of a damaged block, which is no reason to refuse the picture
        found, dpi = image.getexif(), image.info.get("dpi")
        tags = tags_from(dict(found), found.get_ifd(EXIF), found.get_ifd(GPS), dpi)
        return tags._replace(colours=_colours_of(image.info))
    return NO_TAGS


def _colours_of(info: Mapping[Any, Any]) -> tuple[tuple[bytes, bytes], ...]:
    """From what Pillow says of a PNG."""
    numbers = {b"gAMA": [info["gamma"]] if "gamma" in info else [], b"cHRM": info.get("chromaticity", [])}
    found = [(name, b"".join(round(1e5 * one).to_bytes(4, "big") for one in ones)) for name, ones in numbers.items() if ones]
    return (*found, *([(b"sRGB", bytes([info["srgb"]]))] if "srgb" in info else []))


def tags_of_tiff(page: Any, content: bytes) -> Tags:
    """The tags of a page of a TIFF that tifffile opened; content: the file.

    What is damaged is left out, and so are the camera's and the place's where Pillow cannot open the file.
    """
    from PIL import Image

    values = {code: value_of(page, code, content) for code in (*TEXTS, X_DOTS, Y_DOTS, UNIT)}
    first = {code: value for code, value in values.items() if value is not None}
    with suppress(Exception):
        found = Image.open(BytesIO(content)).getexif()
        return tags_from(first, found.get_ifd(EXIF), found.get_ifd(GPS))
    return tags_from(first, {}, {})


def value_of(page: Any, code: int, content: bytes) -> Any:
    """A tag of a page that tifffile opened: fractions as numbers, texts as Pillow decodes them; None where it is missing or
    damaged. Of several the first: tifffile adds a description of its own.
    """
    with suppress(Exception):
        tag = page.tags[code]
        if isinstance(tag.value, str):
            return content[tag.valueoffset : tag.valueoffset + tag.valuebytecount].rstrip(b"\0").decode("latin-1")
        return tag.value[0] / max(1, tag.value[1]) if isinstance(tag.value, tuple) else tag.value
    return None


def tags_from(first: dict[int, Any], camera: dict[int, Any], place: dict[int, Any], dpi: Any = None) -> Tags:
    """Tags from those of a file by number: the first directory, the camera's, the place's. dpi: where it is told apart."""
    from PIL import Image

    with suppress(Exception):
        kept = Image.Exif()
        for code, value in _as_read(first).items():
            if code in TEXTS and isinstance(value, str | bytes | int):  # others are damaged
                kept[code] = value
        camera = {code: value for code, value in camera.items() if code not in OF_THE_FILE}
        for code, below in ((EXIF, camera), (GPS, place)):
            if below:
                kept.get_ifd(code).update(_as_read(below))
        if dpi is None and X_DOTS in first and Y_DOTS in first and first.get(UNIT, INCH) in (INCH, CENTIMETRE):
            scale = 2.54 if first.get(UNIT) == CENTIMETRE else 1
            dpi = float(first[X_DOTS]) * scale, float(first[Y_DOTS]) * scale
        dots = (float(dpi[0]), float(dpi[1])) if dpi is not None and 0 < min(dpi) <= max(dpi) < 1e6 else None
        block = kept.tobytes() if len(kept) or camera or place else b""
        return Tags(block if 0 < len(block) < MOST else None, dots)
    return NO_TAGS


def options_of(tags: Tags, kind: str) -> dict[str, Any]:
    """Options of Pillow's writer of a format.

    WebP has no place for dots an inch but EXIF. Pillow's compression of TIFF has none for the camera's and the place's
    directories: with them it is not compressed.
    """
    exif = _with_dots(tags) if kind == "WEBP" and tags.dpi is not None else tags.exif
    found: dict[str, Any] = {"exif": exif, "dpi": None if kind == "WEBP" else tags.dpi}
    if kind == "TIFF" and exif is not None:
        found["exif"] = _loaded(exif)
        if {EXIF, GPS} & set(found["exif"]):
            found["compression"] = "raw"
    if kind == "PNG" and tags.colours:
        from PIL.PngImagePlugin import PngInfo

        found["pnginfo"] = PngInfo()
        for chunk in tags.colours:
            found["pnginfo"].add(*chunk)
    return {name: value for name, value in found.items() if value is not None}


def tiff_options(tags: Tags) -> dict[str, Any]:
    """Options of tifffile's writer: dots an inch and the words, for which alone it has room."""
    words = {} if tags.exif is None else dict(_loaded(tags.exif))
    texts = {code: value for code, value in words.items() if code in TEXTS and code != SOFTWARE and isinstance(value, str)}
    extra = [(code, 2, 0, value.encode(), True) for code, value in texts.items()]
    dots = {} if tags.dpi is None else {"resolution": tags.dpi, "resolutionunit": INCH}
    return {"extratags": extra, **dots}


def png_chunks(tags: Tags) -> list[tuple[bytes, bytes]]:
    """Chunks of a PNG by name: pHYs, eXIf, and those of its colours."""
    found = list(tags.colours)
    if tags.dpi is not None:
        per_metre = (round(dots / 0.0254) for dots in tags.dpi)
        found.append((b"pHYs", b"".join(dots.to_bytes(4, "big") for dots in per_metre) + b"\1"))
    if tags.exif is not None:
        found.append((b"eXIf", tags.exif.removeprefix(b"Exif\0\0")))
    return found


def _with_dots(tags: Tags) -> bytes:
    from PIL import Image

    exif = Image.Exif() if tags.exif is None else _loaded(tags.exif)
    assert tags.dpi is not None
    exif[X_DOTS], exif[Y_DOTS], exif[UNIT] = *tags.dpi, INCH
    return exif.tobytes()
