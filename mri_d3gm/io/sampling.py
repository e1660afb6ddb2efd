"""What a file without a mask measured, from the lines that are exactly zero."""

import numpy as np

from mri_d3gm.io.scan import Limits


def sampling_of(kspace: np.ndarray, limits: Limits) -> tuple[np.ndarray | None, Limits]:
    """Mask and encoded columns of k-space (..., rows, cols), given the header's limits (first, end) or None.

    Mask: None if nothing inside is missing, else bool (1, cols), (rows, 1) or (rows, cols). Empty lines at the edges
    alone are padding, not undersampling, while the rest is whole, holds the centre and is at least half of the lines.
    Limits that contradict the data are dropped.
    """
    rows, cols = kspace.shape[-2:]
    sampled = (np.abs(kspace) > 0).reshape(-1, rows, cols).any(0)
    columns, lines = sampled.any(0), sampled.any(1)
    if limits is not None and outside_is_sampled(kspace, limits):
        limits = None
    first, end = limits or (0, cols)
    block, rows_whole = _block(columns, first, end), _block(lines, 0, rows) is not None
    scattered = sampled[lines][:, columns].mean() < 0.9
    if scattered or (block is None and not rows_whole):
        return sampled, limits
    if block is None:
        return columns[None], limits
    limits = None if block == (0, cols) else block
    return (None if rows_whole else lines[:, None]), limits


def lines_of(mask: np.ndarray) -> np.ndarray:
    """A mask (rows | 1, cols | 1) as (1, cols) or (rows, 1) where it measures whole columns or rows."""
    if (mask == mask[:1]).all():
        return mask[:1]
    return mask[:, :1] if (mask == mask[:, :1]).all() else mask


def outside_is_sampled(kspace: np.ndarray, limits: tuple[int, int]) -> bool:
    """Whether k-space (..., rows, cols) has data outside columns first to end, which limits then contradict."""
    return bool(np.any(kspace[..., : limits[0]]) or np.any(kspace[..., limits[1] :]))


def _block(measured: np.ndarray, first: int, end: int) -> tuple[int, int] | None:
    """Extent of the measured lines within first..end if they are one block with the centre, half of them or more."""
    inside = np.flatnonzero(measured)
    start, stop = int(inside[0]), int(inside[-1]) + 1
    whole = len(inside) == stop - start >= (end - first) / 2
    return (start, stop) if whole and start <= len(measured) // 2 < stop else None
