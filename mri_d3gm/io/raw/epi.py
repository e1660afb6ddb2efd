"""Echo-planar readouts: the ghost that lines played backwards make, from navigators without phase encoding, and ramps."""

import numpy as np

from mri_d3gm.io.scan import fft1c, ifft1c

Ghost = tuple[float, float]  # slope in radians a sample of the image along the readout, and offset in radians


def ghost_of(lines: np.ndarray, backwards: np.ndarray) -> Ghost:
    """Phase of lines (count, coils, rows) that were played backwards against those that were not, linear along the readout.

    Both kinds must be there. All coils count, by their signal (Bruder et al., Magn Reson Med 1992).
    """
    images = ifft1c(lines, -1)
    product = (images[backwards].mean(0) * images[~backwards].mean(0).conj()).sum(0)
    slope = float(np.angle((product[1:] * product[:-1].conj()).sum()))
    offset = float(np.angle((product * np.exp(-1j * slope * _places(len(product)))).sum()))
    return slope, offset


def without_ghost(lines: np.ndarray, backwards: np.ndarray, ghost: Ghost) -> np.ndarray:
    """Lines (count, coils, rows) complex64, those played backwards shifted and turned to fit the others."""
    wave = np.exp(-1j * (ghost[0] * _places(lines.shape[-1]) + ghost[1]))
    lines = lines.copy()
    lines[backwards] = fft1c(ifft1c(lines[backwards], -1) * wave, -1)
    return lines


def even_steps(places: np.ndarray) -> np.ndarray:
    """Matrix (n, n) complex64 that takes samples at `places` of k-space, as under the ramps of a gradient, to even steps.

    places: (n,) increasing, in steps of the encoded field of view, from the middle of the n samples. By least squares: exact
    for what lies in the field of view of the widest step.
    """
    count = len(places)
    width = int(count / np.diff(places).max())
    wave = -2j * np.pi * (np.arange(width) - width // 2) / count
    even = np.arange(count) - (count - 1) / 2
    return (np.exp(np.outer(even, wave)) @ np.linalg.pinv(np.exp(np.outer(places, wave)))).astype(np.complex64)


def _places(rows: int) -> np.ndarray:
    return np.arange(rows) - rows // 2
