"""Where the std map is wrong: the places where the error exceeds the std most, by slice, in one picture.

Usage: python scripts/overlooked.py FOLDER PICTURE.png [--accel 8] [--count 4]

FOLDER holds fully sampled .h5 files. Rows are the slices with the worst places; columns are reconstruction, reference, error
and std (both four times as bright); a box marks the place.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.metrics.body import body_mask
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct

BLUR, HALF = 4.0, 14


class Place(NamedTuple):
    """A slice's worst place: by how much the blurred error exceeds the blurred std there, of the volume's maximum."""

    excess: float
    name: str
    row: int
    col: int
    panels: list[np.ndarray]


def worst_places(file: Path, accel: float) -> list[Place]:
    """One place a slice; panels are in units of the slice's 99.7th percentile."""
    result = reconstruct(open_scan(file), Recon(accel=accel))
    assert result.reference is not None and result.std is not None
    peak, places = float(result.reference.max()), []
    for index, (image, std, reference) in enumerate(zip(result.volume, result.std, result.reference, strict=True)):
        error, scale = np.abs(image - reference), np.percentile(reference, 99.7)
        excess = (gaussian_filter(error, BLUR) - gaussian_filter(std, BLUR)) * body_mask(reference, peak)
        row, col = np.unravel_index(int(excess.argmax()), excess.shape)
        panels = [image / scale, reference / scale, 4 * error / scale, 4 * std / scale]
        name = f"{file.stem} {index}"
        places.append(Place(float(excess.max()) / peak, name, int(row), int(col), panels))
    return places


def drawn(place: Place) -> Image.Image:
    """The panels of a place side by side, the place in a box."""
    strip = Image.fromarray((255 * np.clip(np.concatenate(place.panels, 1), 0, 1)).astype(np.uint8)).convert("RGB")
    draw, width = ImageDraw.Draw(strip), place.panels[0].shape[1]
    for left in range(0, strip.width, width):
        x, y = left + place.col, place.row
        draw.rectangle((x - HALF, y - HALF, x + HALF, y + HALF), outline=(255, 210, 60))
    draw.text((4, 4), f"{place.name}: error {place.excess:.2f} above std", fill=(255, 210, 60))
    return strip


def main() -> None:
    """Find, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--accel", type=float, default=8)
    parser.add_argument("--count", type=int, default=4)
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.h5"))
    places = [max(worst_places(file, arguments.accel), key=lambda place: place.excess) for file in files]
    strips = []
    for place in sorted(places, key=lambda place: -place.excess)[: arguments.count]:
        print(f"{place.name}: row {place.row}, column {place.col}, error above std by {place.excess:.3f} of the maximum")
        strips.append(drawn(place))
    picture = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)))
    top = 0
    for strip in strips:
        picture.paste(strip, (0, top))
        top += strip.height
    picture.save(arguments.picture)


if __name__ == "__main__":
    main()
