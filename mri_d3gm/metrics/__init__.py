"""Metrics by the name of their protocol. A new one is one file and one line here."""

from collections.abc import Callable

import numpy as np

from mri_d3gm.metrics.body import body
from mri_d3gm.metrics.fastmri_volume import fastmri_volume
from mri_d3gm.metrics.haarpsi import haarpsi
from mri_d3gm.metrics.lpips import lpips
from mri_d3gm.metrics.slice_max import slice_max

Metric = Callable[[np.ndarray, np.ndarray], dict[str, float]]

METRICS: dict[str, Metric] = {
    "fastmri-volume": fastmri_volume,
    "slice-max": slice_max,
    "body": body,
    "haarpsi": haarpsi,
    "lpips": lpips,
}


def score(reference: np.ndarray, image: np.ndarray, protocol: str) -> dict[str, float]:
    """Metrics of a protocol for magnitudes (slices, rows, cols), in float64 and units of the reference's maximum."""
    peak = float(reference.max())
    return METRICS[protocol](reference.astype(np.float64) / peak, image.astype(np.float64) / peak)
