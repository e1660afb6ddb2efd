"""Scanning Fourier ring correlation between an image and its reference (Kc et al., TechRxiv 2024; arXiv 2603.04673).

Patches are windowed and correlated ring by ring of their spectra. The frequency at which the correlation first falls below
THRESHOLD is a patch's cut-off; a patch whose cut-off lies below CUTOFF may hold a hallucination: a structure that was added,
moved or lost. The paper finds the cut-off out of patches that are known to hold one, of a few tuning images; the published
values for MRI are taken here: patches of 48 pixels, a Hann window, threshold 0.75, and the cut-off of the U-Net.
"""

from typing import NamedTuple

import numpy as np

PATCH, THRESHOLD = 48, 0.75
CUTOFF = 0.16  # cycles a pixel; the paper's for its U-Net at 3x, 0.17 for total variation
INSIDE = 0.5  # of a patch that must lie in the body


class Patches(NamedTuple):
    """First rows and columns (patches, 2), side in pixels, and cut-offs in cycles a pixel (patches,), 0.5 for none."""

    corners: np.ndarray
    size: int
    cutoffs: np.ndarray

    def flagged(self, cutoff: float = CUTOFF) -> np.ndarray:
        """Which patches are candidates, (patches,) bool."""
        return self.cutoffs < cutoff


def ring_correlation(reference: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in cycles a pixel, up to 0.5, and the correlation of two square patches (size, size) in each ring.

    Real part of the cross-spectrum over the root of both powers, in rings one sample wide, after a Hann window. Rings
    without energy in either patch correlate fully, in one of them not at all.
    """
    size = len(reference)
    window = np.hanning(size + 2)[1:-1]
    first, second = (np.fft.fft2(patch * np.outer(window, window)) for patch in (reference, image))
    frequency = np.fft.fftfreq(size)
    ring = np.rint(size * np.hypot(frequency[:, None], frequency)).astype(int).ravel()
    rings = size // 2 + 1

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(ring, values.ravel(), minlength=rings)[:rings]

    power = np.sqrt(summed(abs(first) ** 2) * summed(abs(second) ** 2))
    either = summed(abs(first) ** 2 + abs(second) ** 2)
    cross = summed((first * second.conj()).real)
    nothing = power <= 1e-12 * either.max(initial=1e-300)
    empty = either <= 1e-12 * either.max(initial=1e-300)
    correlation = np.where(nothing, np.where(empty, 1.0, 0.0), cross / np.where(nothing, 1.0, power))
    return np.arange(rings) / size, correlation


def cutoff_of(frequencies: np.ndarray, correlation: np.ndarray, threshold: float = THRESHOLD) -> float:
    """The frequency at which a correlation first falls below the threshold, between rings linearly; the last where it never
    does, 0 where it starts below.
    """
    below = np.flatnonzero(correlation < threshold)
    if not len(below):
        return float(frequencies[-1])
    index = int(below[0])
    if index == 0:
        return 0.0
    high, low = correlation[index - 1], correlation[index]
    step = (high - threshold) / (high - low)
    return float(frequencies[index - 1] + step * (frequencies[index] - frequencies[index - 1]))


def patch_cutoff(reference: np.ndarray, image: np.ndarray, corner: tuple[int, int], size: int) -> float:
    """The cut-off of the patch of a side that begins at a row and column of images (rows, cols)."""
    part = np.s_[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
    return cutoff_of(*ring_correlation(reference[part], image[part]))


def scan_patches(reference: np.ndarray, image: np.ndarray, body: np.ndarray) -> Patches:
    """The cut-offs of patches half of a patch apart, of magnitudes (rows, cols), at least half in the body (bool).

    Patches are PATCH wide, or as wide as a smaller image.
    """
    size = min(PATCH, *reference.shape)
    step = max(1, size // 2)
    rows, cols = (sorted({*range(0, side - size, step), side - size}) for side in reference.shape)
    every = [(row, col) for row in rows for col in cols]
    corners = [(r, c) for r, c in every if body[r : r + size, c : c + size].mean() >= INSIDE]
    cutoffs = [patch_cutoff(reference, image, corner, size) for corner in corners]
    return Patches(np.array(corners, int).reshape(-1, 2), size, np.array(cutoffs))


def around(centre: tuple[int, int], shape: tuple[int, ...]) -> tuple[tuple[int, int], int]:
    """Corner and side of the patch around a place that lies within an image of a shape."""
    size = min(PATCH, *shape)
    row, col = (min(max(0, place - size // 2), side - size) for place, side in zip(centre, shape, strict=True))
    return (row, col), size
