"""Bootstrap intervals over volumes."""

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values`, one a volume, seeded; both ends the value itself where there is only
    one. ValueError without values (Efron, 1979).
    """
    array = np.asarray(values, float)
    if not array.size:
        raise ValueError("no values to take an interval of")
    picks = np.random.default_rng(0).integers(len(array), size=(2000, len(array)))
    low, high = np.quantile(array[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)
