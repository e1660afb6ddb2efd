"""Preview picture: panels of one slice side by side, upright, one grey window for all magnitudes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mri_d3gm.io.atomic import atomic_path

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

ERRORS = ("std", "error")  # panels that share a gain of their own
GAP, SMALLEST = 4, 192
LINE, SCREEN = 20, 1200  # height of a line of text in a picture shown that wide, pixels


def write_preview(
    path: str | Path,
    panels: dict[str, np.ndarray],
    title: str,
    spacing: tuple[float, float] = (1.0, 1.0),
    note: str = "left/right unknown; not for diagnosis",
) -> None:
    """Write `preview` as a PNG file, whole or not at all."""
    _save(path, preview(panels, title, spacing, note))


def preview(
    panels: dict[str, np.ndarray],
    title: str,
    spacing: tuple[float, float] = (1.0, 1.0),
    note: str = "left/right unknown; not for diagnosis",
) -> "Image":
    """Panels {label: (rows, cols)} of one shape as a picture, row 0 at the bottom as a NIfTI viewer shows it.

    Magnitudes share the window from 0 to the 99.5th percentile of the last of them that is not empty; panels named std or
    error are both shown times one power of two that their labels say. spacing: (row, column spacing), which sets the panels'
    shape. Text grows with the picture and is broken into lines where it is too long.
    """
    magnitudes = [image for label, image in panels.items() if label not in ERRORS]
    white = white_of(magnitudes)
    gain = min((gain_of(image, white) for label, image in panels.items() if label in ERRORS), default=1.0)
    size = _size(magnitudes[0].shape, spacing)
    labels = [f"{label} x{gain:g}" if label in ERRORS else label for label in panels]
    whites = [white / gain if label in ERRORS else white for label in panels]
    line = _line(labels, list(panels.values()), whites, size)
    return _stacked([line, *(_caption(text, line.width, line.width, 200) for text in (title, note))])


def write_grid(
    path: str | Path,
    rows: dict[str, list[np.ndarray]],
    columns: list[str],
    title: str,
    spacing: tuple[float, float] = (1.0, 1.0),
    width: int = 160,
) -> None:
    """Write rows {label: magnitudes (rows, cols), one a column} as PNG of panels `width` wide, turned as `write_preview`'s.

    One window for all, from 0 to the 99.5th percentile of the very last panel; brighter panels are divided by a power of two
    that their label says. Text as in `write_preview`.
    """
    last = next(reversed(rows.values()))[-1]
    white = white_of([image for images in rows.values() for image in images])
    size = width, round(width * last.shape[0] * spacing[0] / (last.shape[1] * spacing[1]))
    lines = []
    for label, images in rows.items():
        losses = [2.0 ** max(0, round(float(np.log2((level(image) or white) / white)))) for image in images]
        labels = [
            f"{label}  {column}" + (f"  /{loss:g}" if loss > 1 else "") for column, loss in zip(columns, losses, strict=True)
        ]
        lines.append(_line(labels, images, [white * loss for loss in losses], size))
    total = lines[0].width
    _save(path, _stacked([_caption(title, total, total, 200), *lines]))


def _line(labels: list[str], images: list[np.ndarray], whites: list[float], size: tuple[int, int]) -> "Image":
    """Panels of (width, height) side by side, each from 0 to its white and beneath its label."""
    from PIL import Image

    total = len(labels) * (size[0] + GAP) - GAP
    captions = [_caption(label, size[0], total) for label in labels]
    top = max(caption.height for caption in captions)
    line = Image.new("L", (total, top + size[1]))
    for position, (caption, image, white) in enumerate(zip(captions, images, whites, strict=True)):
        line.paste(caption, (position * (size[0] + GAP), 0))
        line.paste(_shown(image, white, size), (position * (size[0] + GAP), top))
    return line


def _stacked(lines: "list[Image]") -> "Image":
    """Pictures one below the other."""
    from PIL import Image

    canvas = Image.new("L", (lines[0].width, sum(line.height for line in lines)))
    for index, line in enumerate(lines):
        canvas.paste(line, (0, sum(before.height for before in lines[:index])))
    return canvas


def _save(path: str | Path, picture: "Image") -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG")


def _shown(image: np.ndarray, white: float, size: tuple[int, int]) -> "Image":
    """Grey picture of (width, height), from 0 to `white`, last row on top."""
    from PIL import Image

    grey = np.clip(np.abs(image[::-1]) / white * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)


def line_height(total: int) -> int:
    """Pixels of a line of text in a picture of width `total`, so that it can be read where the picture is shown smaller."""
    return max(LINE, round(LINE * total / SCREEN))


def _caption(text: str, width: int, total: int, grey: int = 255) -> "Image":
    """Picture of text, `width` wide and as high as it needs, in the size that suits a whole picture of width `total`."""
    from PIL import Image, ImageDraw, ImageFont

    step = line_height(total)
    font = ImageFont.load_default(0.7 * step)
    lines = _wrapped(text, width - 2 * GAP, font)
    picture = Image.new("L", (width, len(lines) * step))
    draw = ImageDraw.Draw(picture)
    for index, line in enumerate(lines):
        draw.text((GAP, index * step + step // 10), line, fill=grey, font=font)
    return picture


def _wrapped(text: str, width: int, font: "FreeTypeFont | ImageFont") -> list[str]:
    """Text in lines of at most `width` pixels, broken at blanks, and within a word that is too long by itself."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def upright(panels: dict[str, np.ndarray], columns: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
    """Panels turned for `write_preview`, and their spacing: rows run up (superior, else anterior), columns to left or back.

    columns: (3, 2) world steps (RAS+, mm) along the panels' two axes.
    """
    place = np.abs(columns).argmax(0)
    turned = place[0] < place[1]
    order = [1, 0] if turned else [0, 1]
    up, right = (columns[place[index], index] > 0 for index in order)
    steps = (slice(None, None, 1 if up else -1), slice(None, None, -1 if right else 1))
    shown = {label: (image.T if turned else image)[steps] for label, image in panels.items()}
    row, column = np.linalg.norm(columns, axis=0)[order]
    return shown, (float(row), float(column))


def level(image: np.ndarray) -> float:
    """White of a window: the 99.5th percentile of the magnitude."""
    return float(np.percentile(np.abs(image), 99.5))


def white_of(images: list[np.ndarray]) -> float:
    """White of the window of images that are shown together: that of the last that is not empty."""
    return next(filter(None, map(level, reversed(images))), 1.0)


def gain_of(image: np.ndarray, white: float) -> float:
    """Largest power of two, at least 1, that keeps the panel inside the window."""
    return float(2.0 ** max(0, np.floor(np.log2(white / (level(image) or white)))))


def _size(shape: tuple[int, ...], spacing: tuple[float, float]) -> tuple[int, int]:
    """Panel's (width, height) in pixels: true proportions, neither side of a voxel below one pixel."""
    finest = min(spacing)
    height, width = shape[0] * spacing[0] / finest, shape[1] * spacing[1] / finest
    scale = max(1, int(np.ceil(SMALLEST / width)))
    return round(width * scale), round(height * scale)
