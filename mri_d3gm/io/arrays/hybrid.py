"""3-D k-space to slices along its readout, each of which is 2-D k-space of two phase-encode axes."""

from threading import Lock

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.named_arrays import IMAGE, Index, Named, Stored
from mri_d3gm.io.scan import ifft1c


def along_readout(name: str, kspace: Named) -> Named:
    """K-space whose axis slices is the readout, not transformed yet, after a centred orthonormal inverse FFT along it.

    The volume of one frame and part is kept in memory until another is asked for. InputError where lines were not measured
    over the whole readout.
    """
    block = ("slices", *IMAGE)
    others = tuple(axis for axis in kspace.axes if axis not in block and kspace.size(axis) > 1)
    axes = (*others, *block)
    lock = Lock()
    kept: dict[Index, np.ndarray] = {}

    def read(index: Index) -> np.ndarray:
        place = index[: len(others)]
        with lock:
            if place not in kept:
                kept.clear()
                at = {axis: number for axis, number in zip(others, place, strict=True) if isinstance(number, int)}
                kept[place] = _transformed(name, kspace.part(block, at))
            return kept[place][index[len(others) :]]

    return Named(Stored(tuple(map(kspace.size, axes)), np.dtype(np.complex64), read), axes)


def _transformed(name: str, volume: np.ndarray) -> np.ndarray:
    """(readout, coils, rows, cols) to slices, complex64, coil by coil."""
    slices = np.empty(volume.shape, np.complex64)
    measured = np.zeros((len(volume), *volume.shape[2:]), bool)
    for coil in range(volume.shape[1]):
        one = volume[:, coil]
        measured |= one != 0
        with np.errstate(over="ignore", invalid="ignore"):
            slices[:, coil] = ifft1c(one.astype(np.complex64), 0)
    lines, places = measured.any(0), measured.any((1, 2))
    if lines.any() and measured[places][:, lines].mean() < 0.9:
        raise InputError(f"{name}: a 3-D scan whose readout has gaps; lines measured from end to end are needed")
    return slices
