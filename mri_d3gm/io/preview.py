"""Preview picture: panels of one slice side by side, upright, one grey window for all magnitudes."""

from pathlib import Path

import numpy as np

from mri_d3gm.io.atomic import atomic_path

OWN_SCALE = ("std", "error")
MARGIN = 18


def write_preview(path: str | Path, panels: dict[str, np.ndarray], title: str) -> None:
    """Write panels {label: (rows, cols)} as PNG, row 0 at the bottom as a NIfTI viewer shows it.

    Magnitudes share the window from 0 to the 99.5th percentile of the last of them; panels named std or error are shown
    times a power of two that their label says.
    """
    from PIL import Image, ImageDraw

    magnitudes = [image for label, image in panels.items() if label not in OWN_SCALE]
    white = float(np.percentile(magnitudes[-1], 99.5)) or 1.0
    rows, cols = magnitudes[0].shape
    canvas = Image.new("L", (len(panels) * (cols + 4) - 4, rows + 2 * MARGIN))
    draw = ImageDraw.Draw(canvas)
    for position, (label, image) in enumerate(panels.items()):
        gain = 1.0
        if label in OWN_SCALE:
            level = float(np.percentile(image, 99.5)) or white
            gain = 2.0 ** max(0, np.floor(np.log2(white / level)))
            label = f"{label} x{gain:g}"
        grey = np.clip(image[::-1].astype(np.float64) * gain / white, 0, 1)
        canvas.paste(Image.fromarray((255 * grey).astype(np.uint8)), (position * (cols + 4), MARGIN))
        draw.text((position * (cols + 4) + 4, 3), label, fill=255)
    draw.text((4, rows + MARGIN + 3), f"{title}  (left/right unknown; not for diagnosis)", fill=200)
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG")
