"""Photographs that tests make."""

from pathlib import Path

import numpy as np
from PIL import Image


def photograph(path: Path, size: tuple[int, int] = (40, 56), seed: int = 0, mode: str = "RGB") -> Path:
    """A smooth picture with an edge."""
    y, x = np.mgrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j]
    turn = np.random.default_rng(seed).uniform(0, 6, 3)
    colours = np.stack([0.5 + 0.3 * np.sin(4 * x + 3 * y + angle) for angle in turn], -1) * np.where(x > 0.5, 1, 0.5)[..., None]
    Image.fromarray((255 * colours).astype(np.uint8)).convert(mode).save(path)
    return path
