"""What cannot be reconstructed of readouts, and why."""

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.header import CARTESIAN, Encoding
from mri_d3gm.io.raw.lines import Axis
from mri_d3gm.io.raw.readouts import Readouts

EMPTY, SHORT = 256, 16  # how many times more a matrix may hold than was measured, and the readout than its samples


def check(name: str, readouts: Readouts, encoding: Encoding, data: np.ndarray) -> None:
    """InputError for scans that cannot be reconstructed."""
    if encoding.trajectory not in CARTESIAN:
        raise InputError(f"{name}: its trajectory is {encoding.trajectory}; only Cartesian scans can be reconstructed")
    if encoding.bands > 1:
        raise InputError(f"{name}: {encoding.bands} slices were excited at once; simultaneous slices cannot be separated")
    if encoding.on_ramps:
        raise InputError(f"{name}: EPI that is sampled on the ramps of its gradient; resample its readouts evenly first")
    if not data.any():
        held = [kind for kind in ("noise", "calibration", "correction") if getattr(readouts, kind).any()]
        raise InputError(f"{name}: holds no imaging readouts{', only ' + ' and '.join(held) if held else ''}")
    count = len(np.unique(readouts.slice[data]))
    if count > 1 and np.ptp(readouts.partition[data]) > 0:
        raise InputError(f"{name}: is a 3-D scan of {count} slabs; only one slab can be reconstructed")
    turned = readouts.backwards[data]
    mixed = turned.any() and not turned.all() and not _one_way(readouts, data)
    if mixed and len(np.unique(readouts.backwards[readouts.correction])) < 2:
        raise InputError(f"{name}: lines are read both ways (EPI) and there are no navigators to correct their ghost")
    if min(encoding.encoded.matrix[:2]) < 8:
        raise InputError(f"{name}: its encoded matrix is {encoding.encoded.matrix}; at least 8 x 8 is needed")
    longest, samples = int(readouts.samples[data].max()), encoding.encoded.matrix[0]
    if longest > samples:
        raise InputError(
            f"{name}: readouts have {longest} samples and the header's encoded matrix {samples}, so that their field of view "
            "is unknown: encodedSpace must be that of the readouts as they are, with their oversampling"
        )
    if encoding.encoded.matrix[0] > SHORT * readouts.samples[data].max():
        raise InputError(f"{name}: its header declares {encoding.encoded.matrix[0]} samples, but readouts are much shorter")


def _one_way(readouts: Readouts, data: np.ndarray) -> bool:
    """Whether each contrast is read one way, as the echoes of a bipolar gradient echo are."""
    ways = (
        readouts.backwards[data & (readouts.counters["contrast"] == one)] for one in np.unique(readouts.counters["contrast"])
    )
    return all(way.all() or not way.any() for way in ways)


def check_filled(name: str, readouts: Readouts, data: np.ndarray, lines: Axis, partitions: Axis) -> None:
    """InputError for a matrix of which next to nothing was measured."""
    places = lines.entries(readouts.line[data]) * partitions.size
    if partitions.size > 1:
        places += partitions.entries(readouts.partition[data])
    if lines.size * partitions.size > EMPTY * len(np.unique(places)):
        size = f"{lines.size} x {partitions.size}"
        raise InputError(f"{name}: its header declares {size} lines, of which next to none were measured; it is damaged")
