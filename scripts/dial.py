"""Plots what evaluations, draws and tau trade: mean gain in PSNR over zero-filling against perceptual similarity.

Usage: python scripts/dial.py FOLDER PICTURE.png [--accel 8]

FOLDER holds fully sampled .h5 files; every setting reconstructs all of them. Prints the rows as a Markdown table.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct

EVALUATIONS = ((1, 1), (1, 4), (1, 16), (2, 1), (4, 1), (4, 4), (10, 1), (10, 4))
TAUS = (1.0, 2.0, 4.0)
COLOURS = {1.0: (60, 120, 200), 2.0: (30, 30, 30), 4.0: (200, 90, 40)}
SIZE, MARGIN = (900, 620), 80


def measure(files: list[Path], settings: Recon) -> dict[str, Any]:
    """Mean over files: gain in dB, in ssim_body and in HaarPSI over zero-filling; seconds a slice."""
    gains, seconds, slices = [], 0.0, 0
    for file in files:
        record = reconstruct(open_scan(file), settings).record
        after, before = record["Metrics"], record["MetricsZeroFilled"]
        names = (("fastmri-volume", "psnr"), ("body", "ssim_body"), ("haarpsi", "haarpsi"))
        gains.append([after[protocol][name] - before[protocol][name] for protocol, name in names])
        seconds, slices = seconds + record["Seconds"], slices + record["Slices"]
    psnr, ssim, perceptual = np.mean(gains, 0).round(3).tolist()
    figures = {"psnr_gain": psnr, "ssim_body_gain": ssim, "haarpsi_gain": perceptual, "seconds": round(seconds / slices, 2)}
    return {"evaluations": settings.steps, "draws": settings.samples, "tau": settings.tau} | figures


def plot(rows: list[dict[str, Any]], path: Path, accel: float) -> None:
    """PSNR to the right, HaarPSI upwards, evaluations x draws beside each point, a colour for each tau."""
    x, y = (np.array([row[name] for row in rows]) for name in ("psnr_gain", "haarpsi_gain"))
    picture = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)

    def place(values: np.ndarray, length: int) -> np.ndarray:
        return MARGIN + (length - 2 * MARGIN) * (values - values.min()) / (np.ptp(values) or 1)

    draw.rectangle((MARGIN / 2, MARGIN / 2, SIZE[0] - MARGIN / 2, SIZE[1] - MARGIN / 2), outline=(160, 160, 160))
    for row, across, up in zip(rows, place(x, SIZE[0]), place(y, SIZE[1]), strict=True):
        colour, down = COLOURS[row["tau"]], SIZE[1] - up
        draw.ellipse((across - 5, down - 5, across + 5, down + 5), fill=colour)
        draw.text((across + 8, down - 9), f"{row['evaluations']}x{row['draws']}", fill=colour, font=font)
    draw.text((MARGIN / 2, 8), f"R = {accel:g}: evaluations x draws, tau", fill=(0, 0, 0), font=font)
    for index, (tau, colour) in enumerate(COLOURS.items()):
        draw.text((330 + 60 * index, 8), f"{tau:g}", fill=colour, font=font)
    draw.text(
        (MARGIN / 2, SIZE[1] - 30), f"PSNR over zero-filled: {x.min():.2f} to {x.max():.2f} dB", fill=(0, 0, 0), font=font
    )
    label = f"HaarPSI over zero-filled (upwards): {y.min():.3f} to {y.max():.3f}"
    draw.text((SIZE[0] / 2, SIZE[1] - 30), label, fill=(0, 0, 0), font=font)
    picture.save(path)


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--accel", type=float, default=8)
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.h5"))
    rows = []
    for tau, (steps, samples) in product(TAUS, EVALUATIONS):
        settings = Recon(accel=arguments.accel, steps=steps, samples=samples, tau=tau, trust="off")
        rows.append(measure(files, settings))
        print(rows[-1], flush=True)
    print(to_markdown(rows))
    plot(rows, arguments.picture, arguments.accel)


if __name__ == "__main__":
    main()
