"""What was measured of k-space: of a file without a mask, from the samples that are exactly zero; and what a mask says."""

from collections.abc import Iterable, Sequence
from math import ceil, prod
from typing import NamedTuple

import numpy as np

from mri_d3gm.io.scan import Limits

SLACK = 3  # lines by which both sides of the centre may differ: converters round in different ways


def sampling_of(kspace: np.ndarray, limits: Limits) -> tuple[np.ndarray | None, Limits]:
    """Mask and encoded columns of k-space (..., rows, cols), given the header's limits (first, end) or None.

    Mask: None if nothing inside is missing, else bool (1, cols), (rows, 1) or (rows, cols). Empty lines at the edges
    alone are padding, not undersampling, while the rest is whole, holds the centre and is at least half of the lines; where one
    side of the centre has more of them than the other, what it has more is missing (partial Fourier, partial echo). Limits that
    contradict the data are dropped.
    """
    sampled = pattern_of(kspace)
    rows, cols = sampled.shape
    columns, lines = np.any(sampled, 0), np.any(sampled, 1)
    if limits is not None and outside_is_sampled(kspace, limits):
        limits = None
    limits = hull(limits, cols)
    first, end = limits or (0, cols)
    block, row_block = _block(columns, first, end), _block(lines, 0, rows)
    scattered = sampled[lines][:, columns].mean() < 0.9
    if scattered or (block is None and row_block is None):
        return sampled, limits
    whole = row_block is not None and row_block == (hull(row_block, rows) or (0, rows))
    missing = columns[None] if whole else columns & lines[:, None]
    if block is None:
        return missing, limits
    limits = hull(block, cols)
    if block != (limits or (0, cols)):
        return missing, limits
    return (None if whole else lines[:, None]), limits


def pattern_of(kspace: np.ndarray) -> np.ndarray:
    """Samples of k-space (..., rows, cols) that are not zero in every coil, (rows, cols) bool."""
    return np.any((kspace != 0).reshape(-1, *kspace.shape[-2:]), 0)


class Sampling(NamedTuple):
    """What the images of a scan measured: mask, limits and blank of `Scan`; masks: that of each image, None where they do not
    differ.
    """

    mask: np.ndarray | None
    limits: Limits
    masks: Sequence[np.ndarray] | None = None
    blank: frozenset[int] = frozenset()


def sampling_of_images(patterns: Iterable[np.ndarray], limits: Limits = None) -> Sampling | None:
    """Sampling of images from their patterns, bool (rows, cols), True where a sample is not zero; None where none is.

    limits: the header's, as of `sampling_of`. Empty images count as measured where any other is. Where any image is full,
    scattered zeros of others are taken for weak samples that were rounded. Patterns are not kept.
    """
    found: dict[bytes, tuple[np.ndarray | None, Limits]] = {}
    union, keys, blank = np.zeros(0, bool), [], set()
    for place, pattern in enumerate(patterns):
        union = pattern | union if union.size else pattern
        keys.append(np.packbits(pattern).tobytes())
        if not pattern.any():
            blank.add(place)
        elif keys[-1] not in found:
            found[keys[-1]] = sampling_of(pattern, limits)
    if not found:
        return None
    if any(mask is None for mask, _ in found.values()):
        found = {key: one for key, one in found.items() if one[0] is None or is_of_lines(one[0])}
    (first, first_limits), *rest = found.values()
    mask, limits = sampling_of(union, limits)
    if all(one is None for one, _ in found.values()):
        return Sampling(None, limits)
    if first is not None and all(one is not None and np.array_equal(one, first) and own == first_limits for one, own in rest):
        return Sampling(first, first_limits)
    masks = {key: _inside(union, own) if one is None else one for key, (one, own) in found.items()}
    whole = _inside(union, limits) if mask is None else mask
    return Sampling(whole, limits, [masks.get(key, whole) for key in keys], frozenset(blank))


def _inside(pattern: np.ndarray, limits: Limits) -> np.ndarray:
    """The columns within limits, bool (1, cols)."""
    columns = np.arange(pattern.shape[1])
    start, end = limits or (0, len(columns))
    return ((columns >= start) & (columns < end))[None]


def hull(block: Limits, size: int) -> Limits:
    """Lines (first, end) of `size` that a block around the centre is part of, as many on either side; None for all.

    A block that is a little off the centre stays as it is.
    """
    if block is None:
        return None
    left, right = size // 2 - block[0], block[1] - size // 2
    if abs(left - right) > max(SLACK, size // 32) and min(left, right) >= 0:
        block = max(0, size // 2 - max(left, right)), min(size, size // 2 + max(left, right))
    return None if block == (0, size) else block


def lines_of(mask: np.ndarray) -> np.ndarray:
    """A mask (rows | 1, cols | 1) as (1, cols) or (rows, 1) where it measures whole columns or rows."""
    if (mask == mask[:1]).all():
        return mask[:1]
    return mask[:, :1] if (mask == mask[:, :1]).all() else mask


def is_of_lines(mask: np.ndarray) -> bool:
    """Whether a mask (rows | 1, cols | 1) measures all points where some rows and some columns meet."""
    return bool((mask == np.any(mask, 0) & np.any(mask, 1)[:, None]).all())


def lines_of_block(mask: np.ndarray) -> np.ndarray | None:
    """The lines, (1, cols) or (rows, 1), of a mask (rows, cols) of both axes that all reach equally far, as after a partial
    echo; None of other masks.
    """
    if min(mask.shape) == 1 or not is_of_lines(mask):
        return None
    down, across = np.any(mask, 1), np.any(mask, 0)
    for along, lines in ((down, across[None]), (across, down[:, None])):
        places = np.flatnonzero(along)
        if len(places) and places[-1] - places[0] + 1 == len(places):
            return lines
    return None


def outside_is_sampled(kspace: np.ndarray, limits: tuple[int, int]) -> bool:
    """Whether k-space (..., rows, cols) has data outside columns first to end, which limits then contradict."""
    return bool(np.any(kspace[..., : limits[0]]) or np.any(kspace[..., limits[1] :]))


def _block(measured: np.ndarray, first: int, end: int) -> tuple[int, int] | None:
    """Extent of the measured lines within first..end if they are one block with the centre, half of them or more."""
    inside = np.flatnonzero(measured)
    start, stop = int(inside[0]), int(inside[-1]) + 1
    whole = len(inside) == stop - start >= (end - first) / 2
    return (start, stop) if whole and start <= len(measured) // 2 < stop else None


def achieved_accel(mask: np.ndarray, limits: Limits = None) -> float:
    """Samples inside the limits over those measured there."""
    inside = mask if limits is None or mask.shape[-1] == 1 else mask[..., limits[0] : limits[1]]
    return inside.size / max(1, int(inside.sum()))


def run_through_centre(line: np.ndarray) -> tuple[int, int]:
    """(first, end) of the entries of a line that are True without a gap around its centre; equal where there are none."""
    middle = len(line) // 2
    right, left = np.flatnonzero(~line[middle:]), np.flatnonzero(~line[:middle])
    return int(left[-1]) + 1 if len(left) else 0, middle + int(right[0]) if len(right) else len(line)


def central_block(mask: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, end) of the rows and of the columns of the fully sampled rectangle through the centre of mask (rows, cols).

    Of the rectangles whose rows are those nearest to the centre it is the largest. It reaches as far to each side as samples
    do: after partial Fourier it need not have the centre in its middle.
    """
    (top, bottom), (left, right) = run_through_centre(mask[:, mask.shape[1] // 2]), run_through_centre(mask[mask.shape[0] // 2])
    if mask[top:bottom, left:right].all():
        return (top, bottom), (left, right)
    middle, full = mask.shape[0] // 2, np.ones(mask.shape[1], bool)
    first = end = middle
    largest = ((middle, middle), (left, left))
    for row in sorted(range(top, bottom), key=lambda row: abs(row - middle)):
        full &= mask[row]
        first, end = min(first, row), max(end, row + 1)
        cols = run_through_centre(full)
        largest = max(largest, ((first, end), cols), key=area)
    return largest


def area(block: tuple[tuple[int, int], tuple[int, int]]) -> int:
    """Samples of a block, as `central_block` has it."""
    (top, bottom), (left, right) = block
    return (bottom - top) * (right - left)


def center_lines(mask: np.ndarray) -> tuple[int, int]:
    """Size (rows, cols) of `central_block`; 1 for an axis of length 1."""
    (top, bottom), (left, right) = central_block(mask)
    return bottom - top, right - left


def partial_fourier(mask: np.ndarray, limits: Limits = None) -> float | None:
    """Part of the lines of a mask (rows | 1, cols | 1) that reaches from one edge past the centre; None where both sides of the
    centre were measured as far. limits: encoded columns.
    """
    for axis in (1, 0):
        size, lines = mask.shape[axis], np.flatnonzero(mask.any(1 - axis))
        if size == 1 or not len(lines):
            continue
        first, end = (limits if axis == 1 else None) or (0, size)
        left, right = size // 2 - int(lines[0]), int(lines[-1]) + 1 - size // 2
        gap = int(np.diff(lines).max(initial=1))
        if min(left, right) >= 0 and abs(left - right) > max(SLACK, size // 32, gap):
            return min(1.0, (left + right) / min(end - first, 2 * max(left, right)))
    return None


def mean_accel(masks: Iterable[np.ndarray], limits: Limits = None) -> float:
    """Samples of all images over those that were measured, from their masks, inside the limits."""
    shares = [1 / achieved_accel(mask, limits) for mask in masks]
    return 1 / float(np.mean(shares))


def misses_centre(mask: np.ndarray) -> bool:
    """Whether a mask (rows | 1, cols | 1) measures nothing at the centre, nor as near to it as its lines and samples lie."""
    axes = [np.flatnonzero(mask.any(1 - axis)) for axis in (0, 1)]
    if not len(axes[0]):
        return True
    gaps = [float(np.median(np.diff(lines))) if len(lines) > 1 else 1.0 for lines in axes]
    middles = [size // 2 for size in mask.shape]
    if any(np.abs(lines - middle).min() > gap for lines, middle, gap in zip(axes, middles, gaps, strict=True)):
        return True
    spread = ceil((prod(int(np.ptp(lines)) + 1 for lines in axes) / mask.sum()) ** 0.5)  # between samples that lie evenly
    reach = [max(spread, int(gap)) for gap in gaps]
    block = [slice(max(0, middle - far), middle + far + 1) for middle, far in zip(middles, reach, strict=True)]
    return 1 not in mask.shape and not mask[tuple(block)].any()
