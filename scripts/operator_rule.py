"""Fit the rule of `sr --operator auto` on volumes that were made smaller, and print it with the table of its decisions.

    python scripts/operator_rule.py DATA... -o ROWS.jsonl [--minutes 60]

DATA: volumes and slices of high resolution that the network may have been trained on, never those of a benchmark. Each is
truncated, and blurred twice by random kernels, at 2x and 4x, with and without noise. Rows that are there are not made again. A
third of the subjects, by a checksum of their names, is left out of the fit and makes the table.
"""

import argparse
import json
import math
import re
import time
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from mri_d3gm import pipeline
from mri_d3gm.methods.held_out import held_out, total
from mri_d3gm.methods.operator_rule import CERTAIN, OPERATORS, SURE, features, unknown_share
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.degrade import degraded
from mri_d3gm.runs.model import load
from mri_d3gm.settings import SuperResolve
from mri_d3gm.training.sources import _volume, limit_band

Row = dict[str, Any]
INTERPOLATED = {"cheng": 256, "spider": 320}  # slices of these were interpolated by the scanner to more
PLAIN = ("sinc", "cubic", "lanczos", "linear")


def subject(name: str) -> str:
    """Of a file."""
    patterns = r"openms_long\d+", r"prostatex\d+", r"tcga_fg\d+", r"fnndsc_adi", r"lgg_TCGA_\w\w_\w+?(?=_s\d)", r"[a-z]+_\d+"
    found = re.match("|".join(patterns), name)
    return found.group() if found else name


def sharp_slices(path: Path) -> list[torch.Tensor]:
    """Up to three around the middle, at most 320 voxels on a side, which 8 divides."""
    volume = _volume(path)
    middle = len(volume) // 2
    chosen = volume[[middle - 3, middle, middle + 3]] if len(volume) >= 9 else volume[middle : middle + 1]
    images = [torch.from_numpy(np.ascontiguousarray(image)).float() for image in chosen]
    limit = INTERPOLATED.get(path.name.split("_")[0], 256 if max(images[0].shape) > 320 else 320)
    images = [limit_band(image, limit) if max(image.shape) > limit else image for image in images]
    return [image[tuple(slice(n - n % 8) for n in image.shape)] for image in images]


def solved(low: torch.Tensor, network: Denoiser, method: str, operator: str, scale: int) -> np.ndarray:
    """One slice by one evaluation, or an interpolation."""
    settings = SuperResolve(scale=scale, operator=operator, method=method, device="cpu")
    prepared = pipeline.prepare_low_resolution(low[None], settings)
    return pipeline.finish(pipeline.solve(prepared.measurement, network, settings), prepared.scale, calibrate=None).images[0]


def measured(images: list[torch.Tensor], network: Denoiser, kind: str, scale: int, noise: float, seed: int) -> Row:
    """What the rule sees of a made volume, and mean products, of what `truncation`, `unknown` and the truth of its middle slice
    have beside cubic interpolation, over the square of the largest voxel; best: the PSNR of the best interpolation.
    """
    lows = [degraded(image, kind, scale, noise=noise, seed=seed) for image in images]
    held = total([held_out(low, network) for low in lows])
    reference, low = images[len(images) // 2].double().numpy(), lows[len(images) // 2]
    plain = {method: solved(low, network, method, "truncation", scale) for method in PLAIN}
    made = [solved(low, network, "regression", operator, scale) for operator in OPERATORS]
    beside = np.stack([(image - plain["cubic"]).ravel() for image in (*made, reference)])
    errors = [float(((image - reference) ** 2).mean() / reference.max() ** 2) for image in plain.values()]
    return {
        "features": features(held).tolist(),
        "products": (beside @ beside.T / reference.size / reference.max() ** 2).tolist(),
        "best": -10 * math.log10(min(errors)),
    }


def make(paths: list[Path], output: Path, minutes: float) -> None:
    """Rows of all files, as far as the time goes."""
    network, begun = load(SuperResolve(device="cpu")), time.monotonic()
    done = {json.loads(line)["file"] for line in output.read_text().splitlines()} if output.exists() else set()
    with open(output, "a") as rows:
        for path in paths:
            if path.name in done or time.monotonic() - begun > 60 * minutes:
                continue
            images, draw = sharp_slices(path), np.random.default_rng(zlib.crc32(path.name.encode()))
            lines = []
            for scale in (4, 2):
                for kind in ("truncation", "kernel", "kernel"):
                    noise = float(draw.choice([0.0, math.exp(draw.uniform(math.log(0.001), math.log(0.03)))]))
                    seed = int(draw.integers(2**31))
                    row = {"file": path.name, "subject": subject(path.name), "scale": scale, "kind": kind, "noise": noise}
                    lines.append(row | measured(images, network, kind, scale, noise, seed))
            rows.write("".join(json.dumps(line) + "\n" for line in lines))
            rows.flush()


def gains(share: np.ndarray, rows: list[Row]) -> np.ndarray:
    """dB over the best interpolation, of images of which that share takes nothing for known."""
    mixed = np.stack([1 - share, share, -np.ones_like(share)], 1)
    errors = np.einsum("ni,nij,nj->n", mixed, np.array([row["products"] for row in rows]), mixed)
    return -10 * np.log10(errors.clip(1e-9)) - np.array([row["best"] for row in rows])


def fitted(rows: list[Row]) -> np.ndarray:
    """Coefficients of the features, and last the constant, for which the gains are large and most of all never losses: the mean
    of exp(-gain / 10) is the least.
    """
    seen = np.array([row["features"] for row in rows])
    mean, std = seen.mean(0), seen.std(0)
    x = np.append((seen - mean) / std, np.ones((len(rows), 1)), 1)

    def loss(w: np.ndarray) -> float:
        return float(np.exp(-gains(1 / (1 + np.exp(-x @ w)), rows) / 10).mean() + 1e-3 * (w[:-1] ** 2).sum())

    found = minimize(loss, np.zeros(x.shape[1]), method="L-BFGS-B").x
    slopes = found[:-1] / std
    return np.append(slopes, found[-1] - slopes @ mean)


def table(rows: list[Row], rule: np.ndarray) -> str:
    """Markdown: how they were made, what the rule says of it, and the gains."""
    lines = [
        "| made smaller by | scale | volumes | truncation | in doubt | unknown | dB | least |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, scale in product(("truncation", "kernel"), (4, 2)):
        some = [row for row in rows if (row["kind"], row["scale"]) == (kind, scale)]
        share = np.array([unknown_share(np.array(row["features"]), rule) for row in some])
        gain = gains(share, some)
        counts = (share <= SURE).sum(), ((share > SURE) & (share < CERTAIN)).sum(), (share >= CERTAIN).sum()
        figures = " | ".join(map(str, counts))
        lines.append(f"| {kind} | {scale} | {len(some)} | {figures} | {gain.mean():.2f} | {gain.min():.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    torch.set_num_threads(1)
    make(given.data, given.output, given.minutes)
    every = [json.loads(line) for line in given.output.read_text().splitlines()]
    left = [row for row in every if zlib.crc32(row["subject"].encode()) % 3 == 0]
    rule = fitted([row for row in every if row not in left])
    print(np.round(rule, 3).tolist())
    print(table(left, rule))
