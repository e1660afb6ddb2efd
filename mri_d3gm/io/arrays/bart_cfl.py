"""Reader of BART's pairs of files: X.hdr with the lengths of sixteen axes, X.cfl with the samples, the first axis fastest.

READ is rows, PHS1 cols, COIL coils, SLICE slices. AVG is averaged where it was measured. Of the other axes longer than 1, TIME,
TE, TIME2 and BATCH in this order, the first is frames; any others are scans of their own. PHS2 longer than 1 makes a 3-D scan:
after the inverse Fourier transform along READ its slices lie along READ, PHS1 is rows and PHS2 is cols. Files are mapped.
"""

import math
from pathlib import Path

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.hybrid import along_readout
from mri_d3gm.io.arrays.named_arrays import Index, Named, Stored, make_scan
from mri_d3gm.io.image import reading
from mri_d3gm.io.scan import PLAIN, Reading, Scan

HEADER_ENDING = ".hdr"
DIMENSIONS = "# Dimensions"
NAMES = (
    "read", "phs1", "phs2", "coil", "maps", "te", "coeff", "coeff2",
    "iter", "cshift", "time", "time2", "level", "slice", "avg", "batch",
)  # fmt: skip
FLAT = {"read": "rows", "phs1": "cols", "coil": "coils", "slice": "slices"}
VOLUME = {"read": "slices", "phs1": "rows", "phs2": "cols", "coil": "coils", "slice": "slab"}
FRAMES = {"time": "repetition", "te": "echo", "time2": "phase", "batch": "batch"}


def is_cfl(path: Path) -> bool:
    """Whether a file is X.cfl or X.hdr of such a pair."""
    header = path.with_suffix(HEADER_ENDING)
    if path.suffix not in (".cfl", HEADER_ENDING) or not header.is_file():
        return False
    with header.open("rb") as file:
        return DIMENSIONS.encode() in file.read(4096)


def read_cfl(path: Path, how: Reading = PLAIN) -> Scan:
    """The Cartesian scan of a pair of files; InputError for what cannot be used.

    Readout oversampling stays, because the header does not tell of it.
    """
    header, data = path.with_suffix(HEADER_ENDING), path.with_suffix(".cfl")
    if how.axes is not None:
        raise InputError(f"{path}: --axes {how.axes}: BART's axes have their order; leave it out")
    for file in (header, data):
        if not file.is_file():
            raise InputError(f"{file}: no such file; BART's {header.name} and {data.name} belong together")
    with reading(path):
        sizes = _sizes(header)
        if data.stat().st_size != 8 * math.prod(sizes):
            held = f"{data.stat().st_size:,} bytes, but {header.name} says {8 * math.prod(sizes):,}"
            raise InputError(f"{data}: holds {held}; copy both files again")
        return _scan(path, (header, data), sizes, how)


def _sizes(header: Path) -> list[int]:
    """Lengths of the sixteen axes; InputError for others."""
    with header.open("rb") as file:
        lines = file.read(2**16).decode("ascii", "replace").splitlines()
    title = next((number for number, line in enumerate(lines) if line.strip() == DIMENSIONS), len(lines))
    words = lines[title + 1].split() if title + 1 < len(lines) else []
    sizes = [int(word) for word in words if word.isdecimal() and len(word) < 19]
    if not sizes or len(sizes) != len(words) or min(sizes) < 1 or any(size > 1 for size in sizes[len(NAMES) :]):
        raise InputError(f"{header}: no line of up to {len(NAMES)} positive lengths below {DIMENSIONS}; write it again")
    return sizes[: len(NAMES)] + [1] * (len(NAMES) - len(sizes))


def _scan(path: Path, files: tuple[Path, Path], sizes: list[int], how: Reading) -> Scan:
    lengths = dict(zip(NAMES, sizes, strict=True))
    if lengths["read"] == 1:
        raise InputError(f"{path}: READ has length 1, as of non-Cartesian samples; Cartesian k-space is needed")
    names = VOLUME if lengths["phs2"] > 1 else FLAT
    frames = next((axis for axis in FRAMES if lengths[axis] > 1), "")
    axes = tuple("frames" if axis == frames else names.get(axis, FRAMES.get(axis, axis)) for axis in NAMES)

    def read(index: Index) -> np.ndarray:
        return np.asarray(np.memmap(files[1], "<c8", "r", shape=tuple(sizes), order="F")[index])

    kspace = Named(Stored(tuple(sizes), np.dtype(np.complex64), read), axes)
    if lengths["avg"] > 1:
        kspace = _averaged(kspace)
    if names is VOLUME:
        kspace = along_readout(str(path), kspace)
    used = [axis for axis in NAMES if lengths[axis] > 1 or axis in ("read", "phs1")]
    return make_scan(
        str(path),
        kspace,
        how.voxel_mm,
        frame_axis=FRAMES.get(frames, ""),
        files=files,
        facts={"Axes": ", ".join(used), "Shape": [lengths[axis] for axis in used], "Volume": names is VOLUME},
    )


def _averaged(kspace: Named) -> Named:
    """K-space without its axis avg: the mean of the samples that are not zero."""
    place = kspace.axes.index("avg")
    shape = kspace.array.shape

    def read(index: Index) -> np.ndarray:
        every = kspace.array.read((*index[:place], slice(None), *index[place:]))
        axis = sum(isinstance(one, slice) for one in index[:place])
        return every.sum(axis) / np.maximum((every != 0).sum(axis), 1)

    array = Stored(shape[:place] + shape[place + 1 :], kspace.array.dtype, read)
    return Named(array, kspace.axes[:place] + kspace.axes[place + 1 :])
