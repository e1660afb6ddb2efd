"""Places in k-space that readouts bring with them: whether they are those of a Cartesian scan."""

from collections.abc import Sequence

import numpy as np

EVEN = 0.05  # of a step by which steps may differ


def is_cartesian(paths: Sequence[np.ndarray]) -> bool:
    """Whether readouts (samples, axes) go in even steps along one line, forwards or backwards; places that are all zero say
    nothing. Those of one number of axes are judged together, without a last axis that holds weights.
    """
    return all(_even([path for path in paths if path.shape[1] == axes]) for axes in {path.shape[1] for path in paths})


def _even(paths: Sequence[np.ndarray]) -> bool:
    """Whether readouts with equally many axes go in even steps along one line."""
    steps = [np.abs(np.diff(np.asarray(path, np.float64), axis=0)) for path in paths if len(path) > 1 and np.any(path)]
    if not steps:
        return True
    every = np.concatenate(steps)
    if every[:, :-1].any() and all((path[:, -1] >= 0).all() for path in paths):
        every = every[:, :-1]  # weights, or times: places are negative before the centre
    usual = np.median(every, 0)
    return bool(np.abs(every - usual).max() <= EVEN * np.linalg.norm(usual))
