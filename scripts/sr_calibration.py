"""How far the std map of super-resolution can be believed: coverage, rank correlation, calibration error, inside the body.

Usage: python scripts/sr_calibration.py VOLUME... [--central 2] [--scales 2,4]

Central slices of each volume are made smaller, by truncation and by a blur, and super-resolved by the default. Prints a
Markdown table: the mean over slices, then the least and the greatest.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from mri_d3gm.io.image import slice_axis
from mri_d3gm.io.open_image import open_image
from mri_d3gm.metrics.body import body_mask
from mri_d3gm.metrics.calibration import calibration
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.settings import SuperResolve
from mri_d3gm.tasks.sr import superresolve

NAMES = ("coverage_1std", "coverage_2std", "rank_correlation", "expected_calibration_error")


def found(path: Path, kind: str, scale: int, central: int) -> list[list[float]]:
    """Of each slice the figures of NAMES, mean std and mean |error|, of the volume's maximum."""
    source = open_image(path)
    if source.array.ndim == 4:
        raise SystemExit(f"{path}: a series in time; give volumes")
    axis = slice_axis(source)
    first = max(0, (source.array.shape[axis] - central) // 2)
    result = superresolve(source, SuperResolve(scale=scale, degrade=kind, slices=f"{first}:{first + central}"))
    assert result.reference is not None and result.std is not None
    peak, rows = float(result.reference.max()), []
    for image, std, reference in zip(
        *(np.moveaxis(a, axis, 0) for a in (result.volume, result.std, result.reference)), strict=True
    ):
        inside = body_mask(reference, peak)
        error, expected = (image - reference)[inside] / peak, std[inside] / peak
        figures = calibration(error, expected)
        rows.append([*(figures[name] for name in NAMES), float(expected.mean()), float(np.abs(error).mean())])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", type=Path, nargs="+")
    parser.add_argument("--central", type=int, default=2)
    parser.add_argument("--scales", default="2,4")
    arguments = parser.parse_args()
    lines = []
    for kind, scale in product(("truncation", "kernel"), map(int, arguments.scales.split(","))):
        slices = np.array([row for path in arguments.volumes for row in found(path, kind, scale, arguments.central)])
        shown = [f"{v.mean():.3f} ({v.min():.3f} to {v.max():.3f})" for v in slices.T]
        lines.append(
            {"made smaller by": kind, "scale": scale, "slices": len(slices)}
            | dict(zip([*NAMES, "mean std", "mean |error|"], shown, strict=True))
        )
    print(to_markdown(lines))


if __name__ == "__main__":
    main()
