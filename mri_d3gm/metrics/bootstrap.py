"""Bootstrap intervals over volumes."""

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(values: Sequence[float], level: float = 0.95, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean of `values`, one a volume, seeded; both ends the value itself where there is only
    one. ValueError without values (Efron, 1979).
    """
    array = np.asarray(values, float)
    if not array.size:
        raise ValueError("no values to take an interval of")
    picks = np.random.default_rng(seed).integers(len(array), size=(draws, len(array)))
    low, high = np.quantile(array[picks].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
