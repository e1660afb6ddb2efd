"""Lesions of known size and contrast: made, placed, and what an image has of their contrast.

A lesion is a soft disc. Its contrast is the mean inside less the mean of a ring around it; `contrast_map` takes that at every
pixel, so that a lesion and any place without one are judged by the same statistic.
"""

from collections.abc import Mapping, Sequence

import numpy as np

EDGE, GAP, NARROWEST = 0.5, 1.0, 2.0  # pixels: half of a lesion's edge, from the lesion to its ring, of a ring's width
MARGIN = 3.0  # pixels that `body_mask` adds to the body
BRIGHT = 0.5  # of the body's median: the least mean intensity at a place for a lesion
Centre = tuple[int, int]


def soft_disc(shape: tuple[int, int], centre: Centre, radius: float) -> np.ndarray:
    """1 inside, 0 outside, falling over one pixel, (rows, cols) float64; radius in pixels."""
    return np.clip(radius + EDGE - _distance(shape, centre), 0, 1)


def reach(radius: float) -> float:
    """How far from its centre the ring around a lesion goes, in pixels."""
    return radius + GAP + max(NARROWEST, radius / 2)


def contrast_map(image: np.ndarray, radius: float) -> np.ndarray:
    """Mean inside less mean of the ring for a disc around every pixel of an image (rows, cols); nothing lies beyond it."""
    inside, ring = _kernels(radius)
    return _filtered(image, inside - ring)


def mean_map(image: np.ndarray, radius: float) -> np.ndarray:
    """Mean inside a disc around every pixel of an image (rows, cols)."""
    return _filtered(image, _kernels(radius)[0])


def room(image: np.ndarray, body: np.ndarray, radius: float) -> np.ndarray:
    """Where a lesion and its ring lie inside the body and on tissue, (rows, cols) bool.

    image: magnitudes; body: of `body_mask`. Tissue: the mean inside is at least half of the body's median.
    """
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(body, 1))[1:-1, 1:-1]
    bright = mean_map(image, radius) >= BRIGHT * np.median(image[body]) if body.any() else body
    return (depth > reach(radius) + MARGIN) & bright


def place(radii: Sequence[float], rooms: Mapping[float, np.ndarray], generator: np.random.Generator) -> list[Centre | None]:
    """A random centre for a lesion of each of some radii within its room, none on the ring of another; None without room.

    rooms: by radius. The largest are placed first.
    """
    centres: list[Centre | None] = [None] * len(radii)
    placed: list[tuple[Centre, float]] = []
    for index in sorted(range(len(radii)), key=lambda index: -radii[index]):
        candidates = np.flatnonzero(apart(rooms[radii[index]], placed, radii[index]))
        if len(candidates):
            row, column = np.unravel_index(int(generator.choice(candidates)), rooms[radii[index]].shape)
            centre = centres[index] = int(row), int(column)
            placed.append((centre, radii[index]))
    return centres


def apart(room: np.ndarray, lesions: Sequence[tuple[Centre, float]], radius: float) -> np.ndarray:
    """The part of a room whose discs and rings touch no lesion, nor the rings of lesions (centre, radius) the discs."""
    left = room.copy()
    for centre, other in lesions:
        left &= _distance(left.shape, centre) > max(reach(radius) + other, radius + reach(other)) + 1
    return left


def spread(change: np.ndarray, places: np.ndarray) -> float:
    """Root mean square of a contrast map at places (bool) where it should be zero; nan without places."""
    return float(np.sqrt(np.mean(change[places] ** 2))) if places.any() else float("nan")


def detected(kept: float, change: float, noise: float, share: float, times: float) -> bool:
    """Whether a lesion counts as detected: more than `share` of its contrast is kept, and its contrast, `change`, is more
    than `times` the spread at places without one (nan: nothing to compare with).
    """
    return kept > share and not abs(change) <= times * noise


def _distance(shape: tuple[int, ...], centre: Centre) -> np.ndarray:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - centre[0], cols - centre[1])


def _kernels(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Means over the inside, without the soft edge, and over the ring."""
    half = int(np.ceil(reach(radius)))
    distance = _distance((2 * half + 1, 2 * half + 1), (half, half))
    inside = distance <= max(radius - EDGE, 0)
    ring = (distance > radius + GAP) & (distance <= reach(radius))
    return inside / inside.sum(), ring / ring.sum()


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.signal import oaconvolve

    half = len(kernel) // 2
    whole = oaconvolve(image.astype(np.float64), kernel)
    return np.asarray(whole[half : half + image.shape[0], half : half + image.shape[1]])
