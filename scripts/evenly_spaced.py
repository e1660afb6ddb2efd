"""Scans of many coils whose lines are evenly spaced, with calibration lines beside them: ours, SENSE and zero-filling.

Usage: python scripts/evenly_spaced.py FILES.h5... [--accels 2,3,4] [--lines 24] [-o OUT.md]

Each file is fully sampled. Its middle slice keeps every second, third or fourth column, once with the one at the centre and
once without; `--lines` columns around the centre are for the coil maps alone. A Markdown table of PSNR in dB.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.metrics import score
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct

METHODS = {"SENSE": "sense", "ours": "d3gm"}


def row(path: Path, accel: int, offset: int, lines: int) -> dict[str, object]:
    """Figures of one file; offset: of the measured columns from the centre."""
    whole = open_scan(path)
    kspace = whole.read(whole.slices // 2)[None]
    away = np.arange(kspace.shape[-1]) - kspace.shape[-1] // 2
    mask, beside = (away - offset) % accel == 0, (away >= -(lines // 2)) & (away < (lines + 1) // 2)
    scan = replace(scan_of_array(kspace * mask, mask[None]), calibration=lambda index: kspace[index] * beside)
    reference = reconstruct(scan_of_array(kspace), Recon(accel=1, method="zero-filled")).volume
    found = {name: reconstruct(scan, Recon(method=method)) for name, method in METHODS.items()}
    images = {"zero-filled": found["ours"].zero_filled} | {name: result.volume for name, result in found.items()}
    figures = {name: f"{score(reference, image, 'fastmri-volume')['psnr']:.2f}" for name, image in images.items()}
    return {"file": path.stem, "accel": accel, "centre": "no" if offset else "yes", **figures}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--accels", default="2,3,4")
    parser.add_argument("--lines", type=int, default=24)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    accels = [int(text) for text in given.accels.split(",")]
    rows = [row(path, accel, offset, given.lines) for path in given.files for accel in accels for offset in (0, 1)]
    table = to_markdown(rows)
    print(table)
    if given.output:
        given.output.write_text(table)


if __name__ == "__main__":
    main()
