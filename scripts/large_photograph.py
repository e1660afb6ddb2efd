"""Peak memory, time and seams of restoring a 4000 x 3000 photograph; run as: python scripts/large_photograph.py PHOTOGRAPH

The photograph is enlarged and rained on, written, and restored by the command in a process of its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mri_d3gm.networks.tiles import starts
from mri_d3gm.settings import Restore
from mri_d3gm.weather.rain import add_rain

SIZE, TILE, MARGIN = (4000, 3000), Restore().tile, 128


def rainy(path: Path) -> Image.Image:
    """The photograph at SIZE in heavy rain whose streaks are twice as large as in training."""
    picture = Image.open(path).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    clean = torch.from_numpy(np.asarray(picture, np.float32).transpose(2, 0, 1) / 255)
    rain = add_rain(clean, torch.Generator().manual_seed(0), heavy=True, scale=2.0)
    return Image.fromarray((255 * rain.numpy().transpose(1, 2, 0)).round().astype(np.uint8))


def seam(change: np.ndarray, axis: int) -> float:
    """Steps of what was removed between neighbours, at the middles of the tiles' overlaps over those elsewhere."""
    steps = np.abs(np.diff(change, axis=axis)).mean(axis=tuple(a for a in range(change.ndim) if a != axis))
    size = change.shape[axis]
    middles = [first + MARGIN // 2 for first in starts(size, TILE, MARGIN)[1:]]
    near = np.zeros(size - 1, bool)
    for middle in middles:
        near[middle - MARGIN // 2 : middle + MARGIN // 2] = True
    return float(steps[near].mean() / steps[~near].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--task", default="derain")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "rainy.png"), Path(folder, "restored.png")
        rainy(given.photograph).save(source)
        command = [sys.executable, "-m", "mri_d3gm", "restore", "--task", given.task, str(source), "-o", str(target)]
        started = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        before, after = (np.asarray(Image.open(path), np.float32) for path in (source, target))
    ratios = [seam(before - after, axis) for axis in (0, 1)]
    print(f"{SIZE[0]} x {SIZE[1]}: {peak:.2f} GiB at most, {seconds:.0f} s")
    print(f"steps of what was removed, in overlaps over elsewhere: rows {ratios[0]:.3f}, columns {ratios[1]:.3f}")


if __name__ == "__main__":
    main()
