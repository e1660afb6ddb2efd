"""Voxels that are far brighter than all others of an image, as damage to a file or a wrong fill value leaves them.

Anatomy is no single voxel: what is bright is so beside it too, and other voxels come near it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from mri_d3gm.io.image import Bright, Image, slice_axis

FAR = 5.0  # times all others, and those beside it in plane; no voxel of eight volumes of scanners is over 1.3 times the next
MOST = 16  # voxels of an image that may be so


def without_bright_voxels(source: Image, axis: int | None = None) -> Image:
    """An image whose bright voxels have the median of their neighbours in plane, `bright` says which; itself without any.

    axis: across slices; found from the spacing if None.
    """
    across = slice_axis(source, axis)
    found = {}
    for one in _far_above(np.abs(source.array)):
        beside = _beside(source.array, one.place, across)
        if beside.size and FAR * np.abs(beside).max() < abs(source.array[one.place]):
            found[one] = np.median(beside)
    if not found:
        return source
    array = source.array.copy()
    for one, value in found.items():
        array[one.place] = value
    return replace(source, array=array, bright=tuple(found))


def words(found: Sequence[Bright], axis: int) -> str:
    """What is said of bright voxels, of which there are some; axis: across slices."""
    first = max(found, key=lambda one: one.times)
    where = f"voxel {', '.join(map(str, first.place))} of slice {first.place[axis]}"
    size = f"{first.times:.0f} times as large as all others"
    if len(found) == 1:
        return f"{where} is {size}, which no anatomy is: it was given the median of its neighbours"
    return (
        f"{len(found)} voxels are far larger than all others and were given the median of their neighbours: {where} is {size}"
    )


def _beside(array: np.ndarray, place: tuple[int, ...], across: int) -> np.ndarray:
    """Values of the up to eight voxels around one in its plane."""
    steps = [(0,) if axis == across or axis > 2 else (-1, 0, 1) for axis in range(array.ndim)]
    places = np.array(place) + np.array([step for step in product(*steps) if any(step)])
    inside = ((places >= 0) & (places < array.shape)).all(1)
    return array[tuple(places[inside].T)]


def _far_above(size: np.ndarray) -> list[Bright]:
    """The few values that are more than FAR times the largest of the others; none where these are 0."""
    few = min(MOST + 1, size.size)
    order = np.argpartition(size, size.size - few, axis=None)[-few:]
    order = order[np.argsort(-size.flat[order], kind="stable")]
    values = size.flat[order].astype(np.float64)
    gaps = np.flatnonzero(values[:-1] > FAR * values[1:])
    count = int(gaps[-1]) + 1 if len(gaps) else 0
    if not count or not values[count]:
        return []
    places = np.stack(np.unravel_index(order[:count], size.shape), -1).tolist()
    return [Bright(tuple(place), float(value / values[count])) for place, value in zip(places, values, strict=False)]
