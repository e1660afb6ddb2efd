"""Prints the metrics of rainy inputs themselves, which published deraining tables also give; check values of the protocols.

Usage: python scripts/restoration_check_values.py FOLDER, one with pairs rain-*.png and norain-*.png of Rain100H.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from mri_d3gm.metrics.restoration import RESTORATION_METRICS


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), np.float64) / 255


def main() -> None:
    """Markdown table: one protocol a row, mean over the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    rainy = sorted(parser.parse_args().folder.glob("rain-*.png"))
    if not rainy:
        parser.error("the folder holds no rain-*.png")
    pairs = [(_read(path.with_name(f"no{path.name}")), _read(path)) for path in rainy]
    print(f"{len(pairs)} pairs\n\n| protocol | psnr | ssim |\n| --- | --- | --- |")
    for name, metric in RESTORATION_METRICS.items():
        values = [metric(clean, rain) for clean, rain in pairs]
        psnr, ssim = (np.mean([value[key] for value in values]) for key in ("psnr", "ssim"))
        print(f"| {name} | {psnr:.3f} | {ssim:.4f} |")


if __name__ == "__main__":
    main()
