"""`sr --operator auto` against the best interpolation, on volumes that were made smaller in every way.

    python scripts/operators.py VOLUMES... -o ROWS.jsonl [--slices 2] [--noise 0.02]

Each volume's central slices are truncated; truncated to half as much and zero-filled, as scanners do; and blurred by three
random kernels and subsampled: at 4x and 2x, without noise and with Rician noise of the 99th percentile. Scored with
fastmri-volume against themselves. Rows that are there are not made again. Prints the table of gains over the best
interpolation, PSNR and SSIM each over its own best, and that of what was chosen.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mri_d3gm
from mri_d3gm.io.image import slice_axis
from mri_d3gm.io.open_image import open_image
from mri_d3gm.metrics import score
from mri_d3gm.physics.degrade import degraded, rician
from mri_d3gm.physics.occupied import resampled
from mri_d3gm.physics.resolution import truncate

Row = dict[str, Any]
PLAIN = ("sinc", "linear", "cubic", "lanczos")
WAYS = (("truncation", 0), ("interpolated", 0), ("kernel", 1), ("kernel", 2), ("kernel", 3))


def reference_of(path: Path, slices: int, sides: int = 16) -> np.ndarray:
    """Central slices (slices, rows, cols), sides cut to a multiple."""
    image = open_image(path)
    frame = image.array[..., 0] if image.array.ndim == 4 else image.array
    volume = np.moveaxis(frame, slice_axis(image), 0)
    start = max(0, len(volume) - slices) // 2
    rows, cols = (n - n % sides for n in volume.shape[1:])
    return volume[start : start + slices, :rows, :cols]


def made(image: torch.Tensor, way: str, scale: int, noise: float, seed: int) -> np.ndarray:
    """One slice made smaller."""
    if way != "interpolated":
        return degraded(image, way, scale, noise=noise, seed=seed).numpy()
    small = truncate(image, 2 * scale).abs()
    small = rician(small, noise, seed) if noise else small
    return resampled(small, (2 * small.shape[0], 2 * small.shape[1])).abs().numpy()


def measured(reference: np.ndarray, way: str, scale: int, noise: float, seed: int) -> Row:
    """PSNR and SSIM of auto, of the best interpolation in each, and what was chosen."""
    low = np.stack([made(torch.from_numpy(one).float(), way, scale, noise, seed) for one in reference], -1)

    def figures(**options: Any) -> tuple[list[float], Row]:
        result = mri_d3gm.superresolve(low, np.diag([1, 1, 5, 1]), scale=scale, device="cpu", threads=1, **options)
        found = score(reference, np.moveaxis(result.volume, 2, 0), "fastmri-volume")
        return [found["psnr"], found["ssim"]], result.record

    auto, record = figures()
    best = np.max([figures(method=method)[0] for method in PLAIN], 0)
    return {"auto": auto, "best": best.tolist(), "operator": record["Operator"], "seconds": record["Seconds"]}


def table(rows: list[Row]) -> str:
    """Markdown: gains by degradation, mean and least over volumes, how often below, and the choices."""
    head = "made smaller by, scale, noise, volumes, dB, least, SSIM, least, below, truncation, in doubt, unknown, cut back"
    lines = [f"| {head.replace(', ', ' | ')} |", "|" + "---|" * 13]
    for way, scale, noise in dict.fromkeys((row["way"], row["scale"], row["noise"]) for row in rows):
        some = [row for row in rows if (row["way"], row["scale"], row["noise"]) == (way, scale, noise)]
        gain = np.array([np.subtract(row["auto"], row["best"]) for row in some])
        chosen = [row["operator"] for row in some]
        told = [one["Chosen"] == "truncation" for one in chosen]
        doubt = [one["Doubt"] > 0 for one in chosen]
        cut = ["interpolated before" in one["Said"] for one in chosen]
        mean, least, below = gain.mean(0), gain.min(0), (gain < -1e-4).any(1).sum()
        figures = f"{mean[0]:.2f} | {least[0]:.2f} | {mean[1]:.4f} | {least[1]:.4f} | {below}"
        sure = [one for one, unsure in zip(told, doubt, strict=True) if not unsure]
        counts = f"{sum(sure)} | {sum(doubt)} | {len(sure) - sum(sure)} | {sum(cut)}"
        lines.append(f"| {way} | {scale} | {noise:g} | {len(some)} | {figures} | {counts} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", type=Path, nargs="*")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.02)
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = [json.loads(line) for line in given.output.read_text().splitlines()] if given.output.exists() else []
    done = {(row["file"], row["way"], row["scale"], row["noise"], row["seed"]) for row in kept}
    with open(given.output, "a") as file:
        for path, scale, noise, (way, seed) in product(given.volumes, (4, 2), (0.0, given.noise), WAYS):
            if (path.name, way, scale, noise, seed) not in done:
                row = {"file": path.name, "way": way, "scale": scale, "noise": noise, "seed": seed}
                kept.append(row | measured(reference_of(path, given.slices), way, scale, noise, seed))
                file.write(json.dumps(kept[-1]) + "\n")
                file.flush()
    print(table(kept))
