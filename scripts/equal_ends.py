"""Compared dynamics whose last evaluation sees the same ratio of signal to noise, as Markdown, a line a training.

Usage: python scripts/equal_ends.py COMPARED FILE.h5 [FILE.h5 ...] [--ratio 1] [--steps 10] [--accel 8]

COMPARED is the output folder of `mri-d3gm compare`: every NAME-SEED/weights.safetensors in it is sampled on the files along
both axes, by four posterior draws whose grid ends at the time t_min at which A sigma_r / s is `ratio`, before it goes to 0.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from scipy.optimize import brentq

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import load_network
from mri_d3gm.samplers.grids import GRIDS, log_odds
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct


def time_of_ratio(denoiser: Denoiser, ratio: float) -> float:
    """The time at which A sigma_r / s is `ratio`; it falls with t."""

    def excess(t: float) -> float:
        return float(denoiser.path.log_snr(torch.tensor(t, dtype=torch.float64)).exp().sqrt()) * denoiser.sigma_r - ratio

    return float(brentq(excess, 1e-4, 0.98))


def main() -> None:
    """One line as each is finished, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compared", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--ratio", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--accel", type=float, default=8.0)
    arguments = parser.parse_args()
    rows = []
    for weights in sorted(arguments.compared.glob("*-[0-9]*/weights.safetensors")):
        t_min = time_of_ratio(load_network(weights), arguments.ratio)
        GRIDS["log-odds"] = partial(log_odds, t_min=t_min)
        settings = Recon(accel=arguments.accel, steps=arguments.steps, samples=4, trust="off", weights=weights)
        both = [replace(settings, axis=axis) for axis in ("phase", "readout")]
        runs = [reconstruct(open_scan(file), chosen) for file in arguments.files for chosen in both]
        found = [run.record["Metrics"] for run in runs]
        psnr = mean(metrics["fastmri-volume"]["psnr"] for metrics in found)
        ssim = mean(metrics["body"]["ssim_body"] for metrics in found)
        line = {"training": weights.parent.name, "t_min": round(t_min, 3), "psnr": round(psnr, 2), "ssim_body": round(ssim, 4)}
        rows.append(line)
        print(line, flush=True)
    print(to_markdown(rows))


if __name__ == "__main__":
    main()
