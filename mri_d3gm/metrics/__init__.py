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
    """Metrics of a protocol for magnitudes (slices, rows, cols), whatever their unit: float64, divided by the reference's
    maximum first. KeyError for an unknown protocol, ValueError for shapes that differ; nan where the reference is zero.
    """
    if reference.ndim != 3 or reference.shape != image.shape:
        raise ValueError(f"reference {reference.shape} and image {image.shape}: both must be (slices, rows, cols)")
    peak = float(reference.max())
    return METRICS[protocol](reference.astype(np.float64) / peak, image.astype(np.float64) / peak)
