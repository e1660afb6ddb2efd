"""How rough the phase of training cases is beside that of real scans: the imaginary share at R = 4, as a histogram.

Usage: python scripts/phase_share.py KSPACE PICTURE.png --data DIR [--config training-data] [--cases 100] [--rough 0.5]

The share is `physics.phase.imaginary_share`. KSPACE is a folder of .h5 files, of which the fully sampled ones are measured
slice by slice. The configuration is a file, or the name of one in `configs/`; its sources are relative to the folder DIR.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.physics.coil_maps import estimate_coil_maps
from mri_d3gm.physics.fft import fft2c
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.physics.phase import imaginary_share
from mri_d3gm.training.simulate import simulate
from mri_d3gm.training.sources import load_slices

ACCEL = 4
CONFIGS = Path(__file__).parents[1] / "configs"


def of_file(path: Path) -> list[float]:
    """The share of each slice; none of an undersampled file."""
    scan, found = open_scan(path), []
    if scan.mask is not None:
        return []
    mask = torch.from_numpy(make_mask((scan.rows, scan.cols), ACCEL, limits=scan.limits))
    for index in range(scan.slices):
        kspace = torch.from_numpy(scan.read(index))
        maps = estimate_coil_maps(kspace * mask, mask)[0][None] if scan.coils > 1 else None
        found += imaginary_share(kspace[None], mask[None], maps).tolist()
    return found


def of_training(data: Path, config: str, cases: int, rough: float) -> list[float]:
    """The share of single-coil cases, one of each batch, without noise."""
    file = Path(config) if config.endswith(".json") else CONFIGS / f"{config}.json"
    overlay = json.loads(file.read_text())
    slices = load_slices(data, overlay["sources"])
    found = []
    for seed in range(cases):
        case = simulate(slices, seed, batch=1, many=0.0, accel=float(ACCEL), rough=rough)
        found += imaginary_share(fft2c(case.image)[:, None], case.measurement.sampled() > 0).tolist()
    return found


def plot(training: list[float], files: dict[str, list[float]], path: Path) -> None:
    """Histogram of the cases above, below it a point for each slice of each file; logarithmic from left to right."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, sharex=True, figsize=(9, 7), height_ratios=(2, 1.5), layout="constrained")
    above.hist(np.clip(training, 1e-5, 1), np.geomspace(1e-5, 1, 31))
    above.set(title="imaginary share under the phase of the centre lines, R = 4", ylabel=f"of {len(training)} training cases")
    for row, shares in enumerate(files.values()):
        below.plot(shares, [row] * len(shares), "o")
    below.set(xscale="log", yticks=range(len(files)), yticklabels=list(files), xlim=(1e-5, 1))
    for axes in (above, below):
        axes.grid(axis="x", alpha=0.4)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", default="training-data")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--rough", type=float, default=0.5)
    arguments = parser.parse_args()
    files = {path.stem: of_file(path) for path in sorted(arguments.folder.glob("*.h5"))}
    files = {name: shares for name, shares in files.items() if shares}
    for name, shares in files.items():
        print(f"{name}: " + ", ".join(f"{share:.4f}" for share in shares))
    training = of_training(arguments.data, arguments.config, arguments.cases, arguments.rough)
    parts = ", ".join(f"{np.quantile(training, part):.4f}" for part in (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1))
    print(f"{len(training)} training cases, least, quantiles 10, 25, 50, 75, 90 %, greatest: {parts}")
    plot(training, files, arguments.picture)


if __name__ == "__main__":
    main()
