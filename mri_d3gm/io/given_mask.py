"""A mask that a file or a user gives, held against the samples that are zero."""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.sampling import Sampling, hull, lines_of
from mri_d3gm.io.scan import Limits

UNFIT = "its mask does not fit every image: samples that are zero count as not measured"
INVERTED = "mask marks none of the samples{} that are not zero; is it inverted?"


def sampling_by_mask(
    name: str,
    masks: np.ndarray,
    limits: Limits,
    pattern: Callable[[int], np.ndarray],
    images: Iterable[int],
    first: int | None,
) -> tuple[Sampling | None, list[str]]:
    """Sampling by the masks given, bool (images | 1, rows | 1, cols | 1), and what to say; None where one mask is given for
    images that were measured by several.

    pattern: the samples of an image that are not zero, bool (rows, cols); first: the number of an image with signal, None where
    there is none. What a mask marks and is zero is taken out. All `images` are looked at only where the first contradicts its
    mask. InputError where the mask marks nothing that the first holds.
    """
    same = bool((masks == masks[:1]).all())
    lines = [lines_of(one) for one in (masks[:1] if same else masks)]
    said = []
    if first is not None:
        own, here = 0 if same else first, pattern(first)
        if not (lines[own] & here).any():
            raise InputError(f"{name}: {INVERTED.format('')}")
        if _empty(lines[own], here).any():
            seen = [reduce(np.logical_or, map(pattern, images))] if same else map(pattern, images)
            empty = [_empty(mask, one) for mask, one in zip(lines, seen, strict=True)]
            said = _said(lines, empty)
            lines = [lines_of(mask & ~out) for mask, out in zip(lines, empty, strict=True)]
            if same and _empty(lines[0], here).any():
                return None, []
    return Sampling(lines_of(reduce(np.logical_or, lines)), limits, None if same else lines), said


def check_marked(name: str, number: int, whole: Any, kept: Any) -> None:
    """InputError where an image of this number, an array or a tensor, holds signal of which its mask kept nothing."""
    if whole.any() and not kept.any():
        raise InputError(f"{name}: {INVERTED.format(f' of image {number}')}")


def _empty(mask: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """What a mask (rows | 1, cols | 1) marks although it is zero: whole lines, or points of a mask of both axes where they are
    more than rounding makes zero. Empty edges were not encoded: what it marks there stays.
    """
    found = mask & ~pattern.any(tuple(axis for axis in (0, 1) if mask.shape[axis] == 1), keepdims=True)
    if not pattern.any() or (min(mask.shape) > 1 and found.sum() <= 0.1 * mask.sum()):
        return np.zeros_like(mask)
    for axis in (0, 1):
        if mask.shape[axis] > 1:
            found = found & np.expand_dims(_encoded(np.any(pattern, 1 - axis)), 1 - axis)
    return found


def _encoded(filled: np.ndarray) -> np.ndarray:
    """Lines without the empty ones at the edges, (lines,) bool: padding is wider than the gaps between filled lines, and where
    one side of the centre has more of it than the other, what it has more was encoded.
    """
    size, lines = len(filled), np.flatnonzero(filled)
    gap = int(np.diff(lines).max(initial=1))
    first, end = hull((int(lines[0]), int(lines[-1]) + 1), size) or (0, size)
    places = np.arange(size)
    return (places >= (0 if first < gap else first)) & (places < (size if size - end < gap else end))


def _said(masks: list[np.ndarray], empty: list[np.ndarray]) -> list[str]:
    """How many lines, or points, of the masks are empty."""
    out, marked = (sum(int(one.sum()) for one in each) for each in (empty, masks))
    kind = "points" if min(masks[0].shape) > 1 else "lines"
    return [f"of {marked} {kind} that the mask marks {out} are zero in every coil: they count as not measured"] if out else []
