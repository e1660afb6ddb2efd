"""Readouts as scanners measure them, of any raw format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

COUNTERS = ("repetition", "phase", "contrast", "set")  # that make further images; the first that counts makes frames


@dataclass(frozen=True)
class Readouts:
    """All readouts of one encoding of a scan, n of them.

    line, partition, slice, average: (n,) counters of the first and second phase encode, of slices and of averages; counters:
    those of `COUNTERS`, by name, (n,) each. samples, centre: of each readout, (n,) int, how many and which one, as if played
    forwards, is the centre of k-space. imaging,
    calibration, noise, correction: (n,) bool, what each is for (one may be for imaging and calibration; correction: phase
    navigators of EPI); backwards: (n,) bool, played from its end. position (n, 3) mm: the centre of slice or slab; read, phase,
    normal (n, 3): unit vectors; all LPS of the patient, zeros where unknown. dwell: (n,) microseconds between samples, 0 where
    unknown; time: (n,) seconds, 0 where unknown. load: numbers of readouts of one length to (count, coils, samples) complex.
    """

    line: np.ndarray
    partition: np.ndarray
    slice: np.ndarray
    average: np.ndarray
    counters: Mapping[str, np.ndarray]
    samples: np.ndarray
    centre: np.ndarray
    imaging: np.ndarray
    calibration: np.ndarray
    noise: np.ndarray
    correction: np.ndarray
    backwards: np.ndarray
    position: np.ndarray
    read: np.ndarray
    phase: np.ndarray
    normal: np.ndarray
    dwell: np.ndarray
    time: np.ndarray
    load: Callable[[np.ndarray], np.ndarray]
