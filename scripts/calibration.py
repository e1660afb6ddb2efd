"""How far the std map can be believed: coverage, rank correlation, calibration error, inside the body, and its curve.

Usage: python scripts/calibration.py FOLDER PICTURE.png [--accels 8,16] [--weights FILE]

FOLDER holds fully sampled .h5 files, none of which the std map was calibrated on. Prints a Markdown table: the mean over
slices, then the least and the greatest.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.metrics.body import body_mask
from mri_d3gm.metrics.calibration import calibration
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct

COLOURS = ((60, 120, 200), (200, 90, 40), (60, 150, 80), (120, 120, 120))
SIZE, MARGIN, BINS = 560, 60, 20


def pairs(file: Path, accel: float, weights: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Error and std inside the body, one pair a slice, divided by the reference volume's maximum."""
    result = reconstruct(open_scan(file), Recon(accel=accel, weights=weights))
    assert result.reference is not None and result.std is not None
    peak, found = float(result.reference.max()), []
    for image, std, reference in zip(result.volume, result.std, result.reference, strict=True):
        inside = body_mask(reference, peak)
        found.append(((image - reference)[inside] / peak, std[inside] / peak))
    return found


def curve(slices: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """RMS std and RMS error in BINS bins of equal count in std over all slices."""
    error, std = (np.concatenate(arrays) for arrays in zip(*slices, strict=True))
    bins = np.array_split(np.argsort(std), BINS)
    return tuple(np.array([np.sqrt((values[b] ** 2).mean()) for b in bins]) for values in (std, error))  # type: ignore[return-value]


def plot(curves: dict[float, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """RMS error upwards against RMS std, logarithmic, a colour for each acceleration, the diagonal in grey."""
    values = np.log10(np.concatenate([np.concatenate(both) for both in curves.values()]))
    low, high = values.min(), values.max()
    picture = Image.new("RGB", (SIZE, SIZE), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)

    def place(x: float) -> float:
        return MARGIN + (SIZE - 2 * MARGIN) * (np.log10(x) - low) / (high - low)

    draw.line((MARGIN, SIZE - MARGIN, SIZE - MARGIN, MARGIN), fill=(200, 200, 200), width=2)
    for (accel, (std, error)), colour in zip(curves.items(), COLOURS, strict=False):
        points = [(place(s), SIZE - place(e)) for s, e in zip(std, error, strict=True)]
        draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        draw.text((points[-1][0] - 20, points[-1][1] - 22), f"{accel:g}x", fill=colour, font=font)
    draw.text((MARGIN, 12), "RMS error against RMS std, twenty bins of std, inside the body", fill=(0, 0, 0), font=font)
    ends = f"both from {10**low:.3f} to {10**high:.3f} of the volume's maximum, logarithmic"
    draw.text((MARGIN, SIZE - 34), ends, fill=(0, 0, 0), font=font)
    picture.save(path)


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--accels", default="8,16")
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    rows, curves = [], {}
    for accel in map(float, arguments.accels.split(",")):
        files = sorted(arguments.folder.glob("*.h5"))
        slices = [pair for file in files for pair in pairs(file, accel, arguments.weights)]
        names = ("coverage_1std", "coverage_2std", "rank_correlation", "expected_calibration_error")
        found = [calibration(*pair) for pair in slices]
        columns = {name: np.array([figures[name] for figures in found]) for name in names}
        columns["mean std"] = np.array([std.mean() for _, std in slices])
        columns["mean |error|"] = np.array([np.abs(error).mean() for error, _ in slices])
        row = {name: f"{v.mean():.3f} ({v.min():.3f} to {v.max():.3f})" for name, v in columns.items()}
        rows.append({"accel": accel, "slices": len(slices)} | row)
        print(rows[-1], flush=True)
        curves[accel] = curve(slices)
    print(to_markdown(rows))
    plot(curves, arguments.picture)


if __name__ == "__main__":
    main()
