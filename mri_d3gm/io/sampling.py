"""What a file without a mask measured, from the lines that are exactly zero."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class Sampling(NamedTuple):
    """What the images of a scan measured: mask and limits of `Scan`; masks: that of each image, None where all have one."""

    mask: np.ndarray | None
    limits: Limits
    masks: Sequence[np.ndarray] | None = None


def sampling_of_images(patterns: Iterable[np.ndarray], limits: Limits = None) -> Sampling | None:
    """Sampling of images from their patterns, bool (rows, cols), True where a sample is not zero; None where none is.

    limits: the header's, as of `sampling_of`. Empty images count as measured where any other is. Where any image is full,
    scattered zeros of others are taken for weak samples that were rounded. Patterns are not kept.
    """
    found: dict[bytes, tuple[np.ndarray | None, Limits]] = {}
    union, keys = np.zeros(0, bool), []
    for pattern in patterns:
        union = pattern | union if union.size else pattern
        keys.append(np.packbits(pattern).tobytes())
        if keys[-1] not in found and pattern.any():
            found[keys[-1]] = sampling_of(pattern, limits)
    if not found:
        return None
    if any(mask is None for mask, _ in found.values()):
        found = {key: one for key, one in found.items() if one[0] is None or 1 in one[0].shape}
    (first, first_limits), *rest = found.values()
    mask, limits = sampling_of(union, limits)
    if all(one is None for one, _ in found.values()):
        return Sampling(None, limits)
    if first is not None and all(one is not None and np.array_equal(one, first) and own == first_limits for one, own in rest):
        return Sampling(first, first_limits)
    masks = {key: _inside(union, own) if one is None else one for key, (one, own) in found.items()}
    whole = _inside(union, limits) if mask is None else mask
    return Sampling(whole, limits, [masks.get(key, whole) for key in keys])


def _inside(pattern: np.ndarray, limits: Limits) -> np.ndarray:
    """The columns within limits, bool (1, cols)."""
    columns = np.arange(pattern.shape[1])
    start, end = limits or (0, len(columns))
    return ((columns >= start) & (columns < end))[None]


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
