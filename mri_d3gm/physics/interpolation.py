"""Interpolation by Pillow, onto the Fourier grid and through slices: what super-resolution is compared with."""

import numpy as np

from mri_d3gm.settings import INTERPOLATIONS

FILTERS = dict(zip(INTERPOLATIONS, ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS"), strict=True))


def interpolate(image: np.ndarray, factor: int, kind: str) -> np.ndarray:
    """(rows, cols) float32 to (factor rows, factor cols): voxel factor x i keeps the value of voxel i, borders repeated."""
    from PIL import Image

    margin = 4
    padded = Image.fromarray(np.pad(image.astype(np.float32), margin, mode="edge"))
    rows, cols = image.shape
    first = margin + 0.5 - 0.5 / factor
    box = (first, first, first + cols, first + rows)
    size = (factor * cols, factor * rows)
    return np.asarray(padded.resize(size, Image.Resampling[FILTERS[kind]], box=box))


def slice_weights(slices: int, spacing: float, count: int, kind: str) -> np.ndarray:
    """Share of each slice in each of `count` voxels through a stack of the same centre, (count, slices) float32.

    The first and the last slice are repeated. spacing: between slices, in voxels.
    """
    from PIL import Image

    margin = int(count / spacing) + 4
    rows = np.pad(np.eye(slices, dtype=np.float32), ((0, 0), (margin, margin)), mode="edge")
    first = margin + slices / 2 - count / 2 / spacing
    box = (first, 0, first + count / spacing, slices)
    chosen = Image.Resampling[FILTERS[kind]]
    return np.asarray(Image.fromarray(rows).resize((count, slices), chosen, box=box)).T
