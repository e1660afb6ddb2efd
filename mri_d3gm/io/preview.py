"""Preview picture: panels of one slice side by side, upright, one grey window for all magnitudes."""

from pathlib import Path

import numpy as np

from mri_d3gm.io.atomic import atomic_path

OWN_SCALE = ("std", "error")
GAP, MARGIN, SMALLEST = 4, 18, 192


def write_preview(
    path: str | Path,
    panels: dict[str, np.ndarray],
    title: str,
    spacing: tuple[float, float] = (1.0, 1.0),
    note: str = "left/right unknown; not for diagnosis",
) -> None:
    """Write panels {label: (rows, cols)} of one shape as PNG, row 0 at the bottom as a NIfTI viewer shows it.

    Magnitudes share the window from 0 to the 99.5th percentile of the last of them; panels named std or error are
    shown times a power of two that their label says. spacing: (row, column spacing), which sets the panels' shape.
    """
    from PIL import Image, ImageDraw

    magnitudes = [image for label, image in panels.items() if label not in OWN_SCALE]
    white = _level(magnitudes[-1]) or 1.0
    width, height = _size(magnitudes[0].shape, spacing)
    canvas = Image.new("L", (len(panels) * (width + GAP) - GAP, height + 3 * MARGIN))
    draw = ImageDraw.Draw(canvas)
    for position, (label, image) in enumerate(panels.items()):
        gain = _gain(image, white) if label in OWN_SCALE else 1.0
        grey = np.clip(np.abs(image[::-1]) * (gain / white) * 255, 0, 255).astype(np.uint8)
        left = position * (width + GAP)
        canvas.paste(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR), (left, MARGIN))
        draw.text((left + GAP, 3), f"{label} x{gain:g}" if label in OWN_SCALE else label, fill=255)
    draw.text((GAP, height + MARGIN + 3), title, fill=200)
    draw.text((GAP, height + 2 * MARGIN + 1), note, fill=200)
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG")


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
    that their label says.
    """
    from PIL import Image, ImageDraw

    last = next(reversed(rows.values()))[-1]
    white = _level(last) or 1.0
    height = round(width * last.shape[0] * spacing[0] / (last.shape[1] * spacing[1]))
    canvas = Image.new("L", (len(columns) * (width + GAP) - GAP, len(rows) * (height + MARGIN) + MARGIN))
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, 3), title, fill=200)
    for line, (label, images) in enumerate(rows.items()):
        top = MARGIN + line * (height + MARGIN)
        for position, (column, image) in enumerate(zip(columns, images, strict=True)):
            loss = 2.0 ** max(0, round(float(np.log2((_level(image) or white) / white))))
            grey = np.clip(np.abs(image[::-1]) / (loss * white) * 255, 0, 255).astype(np.uint8)
            left = position * (width + GAP)
            shown = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)
            canvas.paste(shown, (left, top + MARGIN))
            text = f"{label}  {column}" + (f"  /{loss:g}" if loss > 1 else "")
            draw.text((left + GAP, top + 3), text, fill=255)
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG")


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


def _level(image: np.ndarray) -> float:
    return float(np.percentile(np.abs(image), 99.5))


def _gain(image: np.ndarray, white: float) -> float:
    """Largest power of two, at least 1, that keeps the panel inside the window."""
    level = _level(image) or white
    return float(2.0 ** max(0, np.floor(np.log2(white / level))))


def _size(shape: tuple[int, ...], spacing: tuple[float, float]) -> tuple[int, int]:
    """Panel's (width, height) in pixels: true proportions, neither side of a voxel below one pixel."""
    finest = min(spacing)
    height, width = shape[0] * spacing[0] / finest, shape[1] * spacing[1] / finest
    scale = max(1, int(np.ceil(SMALLEST / width)))
    return round(width * scale), round(height * scale)
