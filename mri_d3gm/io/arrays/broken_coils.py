"""Coils that hold no signal, in scans whose reader does not look for them itself: they are left out and named."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.receivers import has_signal, named_coils
from mri_d3gm.io.scan import Scan

LOOKS = 8  # images, the first and the last among them, in which a coil without signal in the middle may show some


def without_broken_coils(scan: Scan) -> Scan:
    """A scan without the coils that are silent or hold noise alone; the scan itself where there are none.

    The middle image that is not zero tells. A coil without signal there is left out where other images show none of it either,
    and where some coil has any. A scan that cannot be read stays as it is: reading it says why.
    """
    if scan.coils == 1:
        return scan
    count = scan.frames * scan.slices
    try:
        every = (scan.read(image) for image in sorted(range(count), key=lambda image: abs(image - count // 2)))
        used = _seen(next((data for data in every if data.any()), np.zeros((scan.coils, 1))))
        for image in np.unique(np.linspace(0, count - 1, LOOKS).astype(int)):
            if used.all():
                return scan
            used |= _seen(scan.read(int(image)))
    except InputError:
        return scan
    if used.all() or not used.any():
        return scan
    text = f"{named_coils(~used)} without signal and left out"
    return replace(_of_coils(scan, used, text), parts={name: _of_coils(part, used, text) for name, part in scan.parts.items()})


def _seen(kspace: np.ndarray) -> np.ndarray:
    """Which coils of k-space (coils, rows, cols) hold signal, (coils,) bool."""
    return has_signal(np.square(np.abs(kspace), dtype=np.float64).reshape(len(kspace), -1))


def _of_coils(scan: Scan, used: np.ndarray, text: str) -> Scan:
    """A scan of some of its coils, (coils,) bool, and what is said of the others."""

    def of_coils(read: Callable[[int], np.ndarray]) -> Callable[[int], np.ndarray]:
        return lambda image: read(image)[used]

    return replace(
        scan,
        coils=int(used.sum()),
        coil_matrix=np.eye(len(used), dtype=np.complex64)[used],
        read=of_coils(scan.read),
        calibration=None if scan.calibration is None else of_coils(scan.calibration),
        noise=scan.noise[used] if isinstance(scan.noise, np.ndarray) else scan.noise,
        warnings=(*scan.warnings, text),
    )
