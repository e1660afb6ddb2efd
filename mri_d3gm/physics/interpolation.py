"""Interpolation onto the Fourier grid by Pillow: what super-resolution is compared with."""

import numpy as np

INTERPOLATIONS = ("nearest", "linear", "cubic", "lanczos")


def interpolate(image: np.ndarray, factor: int, kind: str) -> np.ndarray:
    """(rows, cols) float32 to (factor rows, factor cols): voxel factor x i keeps the value of voxel i, borders repeated."""
    from PIL import Image

    filters = dict(zip(INTERPOLATIONS, ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS"), strict=True))
    margin = 4
    padded = Image.fromarray(np.pad(image.astype(np.float32), margin, mode="edge"))
    rows, cols = image.shape
    first = margin + 0.5 - 0.5 / factor
    box = (first, first, first + cols, first + rows)
    size = (factor * cols, factor * rows)
    return np.asarray(padded.resize(size, Image.Resampling[filters[kind]], box=box))
