"""What a photograph says of itself: camera, date, place, words (EXIF), and dots an inch; its orientation aside."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

EXIF, GPS = 0x8769, 0x8825
# description, maker, model, software, date, artist, host, rating, copyright, and what Windows adds
TEXTS = (270, 271, 272, 305, 306, 315, 316, 18246, 33432, 40091, 40092, 40093, 40094, 40095)
SOFTWARE = 305  # which tifffile writes itself
OF_THE_FILE = (40962, 40963, 40965)  # size and index of the file that it was in
X_DOTS, Y_DOTS, UNIT = 282, 283, 296
INCH, CENTIMETRE = 2, 3
MOST = 65_000  # bytes that a JPEG has room for


class Tags(NamedTuple):
    """EXIF without orientation and thumbnail, as files hold it; dots an inch along columns and rows. None where unknown."""

    exif: bytes | None = None
    dpi: tuple[float, float] | None = None


NO_TAGS = Tags()


def tags_of(image: "Image.Image") -> Tags:
    """The tags of a picture that Pillow opened; what is damaged is left out."""
    with suppress(Exception):  # of a damaged block, which is no reason to refuse the picture
        found = image.getexif()
        return tags_from(dict(found), found.get_ifd(EXIF), found.get_ifd(GPS), image.info.get("dpi"))
    return NO_TAGS


def tags_from(first: dict[int, Any], camera: dict[int, Any], place: dict[int, Any], dpi: Any = None) -> Tags:
    """Tags from those of a file by number: the first directory, the camera's, the place's. dpi: where it is told apart."""
    from PIL import Image

    with suppress(Exception):
        kept = Image.Exif()
        for code in TEXTS:
            if isinstance(first.get(code), str | bytes | int):  # others are damaged
                kept[code] = first[code]
        camera = {code: value for code, value in camera.items() if code not in OF_THE_FILE}
        for code, below in ((EXIF, camera), (GPS, place)):
            if below:
                kept.get_ifd(code).update(below)
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
    from PIL import Image

    exif = _with_dots(tags) if kind == "WEBP" and tags.dpi is not None else tags.exif
    found: dict[str, Any] = {"exif": exif, "dpi": None if kind == "WEBP" else tags.dpi}
    if kind == "TIFF" and exif is not None:
        found["exif"] = Image.Exif()
        found["exif"].load(exif)
        if {EXIF, GPS} & set(found["exif"]):
            found["compression"] = "raw"
    return {name: value for name, value in found.items() if value is not None}


def tiff_options(tags: Tags) -> dict[str, Any]:
    """Options of tifffile's writer: dots an inch and the words, for which alone it has room."""
    from PIL import Image

    words = Image.Exif()
    if tags.exif is not None:
        words.load(tags.exif)
    texts = {code: value for code, value in words.items() if code in TEXTS and code != SOFTWARE and isinstance(value, str)}
    extra = [(code, 2, 0, value, True) for code, value in texts.items()]
    dots = {} if tags.dpi is None else {"resolution": tags.dpi, "resolutionunit": INCH}
    return {"extratags": extra, **dots}


def png_chunks(tags: Tags) -> list[tuple[bytes, bytes]]:
    """Chunks pHYs and eXIf of a PNG, by name."""
    found = []
    if tags.dpi is not None:
        per_metre = (round(dots / 0.0254) for dots in tags.dpi)
        found.append((b"pHYs", b"".join(dots.to_bytes(4, "big") for dots in per_metre) + b"\1"))
    if tags.exif is not None:
        found.append((b"eXIf", tags.exif.removeprefix(b"Exif\0\0")))
    return found


def _with_dots(tags: Tags) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    if tags.exif is not None:
        exif.load(tags.exif)
    assert tags.dpi is not None
    exif[X_DOTS], exif[Y_DOTS], exif[UNIT] = *tags.dpi, INCH
    return exif.tobytes()
