"""Reconstruction without a network, to compare with: zero-filled, POCS, and sigpy's SENSE, l1-wavelet and tv."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mri_d3gm.methods.draws import Draws
from mri_d3gm.physics import baselines
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.phase import pocs as projected


def zero_filled(measurement: Cartesian, *_: Any, **__: Any) -> Draws:
    """Root of the sum of squares of the zero-filled coils."""
    return Draws(measurement.zero_filled().to(torch.complex64)[:, None], 0)


def pocs(measurement: Cartesian, *_: Any, **__: Any) -> Draws:
    """Projection onto convex sets under the low-resolution phase."""
    image = projected(measurement.first_kspace, measurement.known, measurement.coil_maps)
    return Draws(measurement.shown(image)[:, None], 0)


def _by_sigpy(solve: Callable[..., np.ndarray]) -> Callable[..., Draws]:
    def method(measurement: Cartesian, *_: Any, **__: Any) -> Draws:
        maps = torch.ones_like(measurement.kspace) if measurement.coil_maps is None else measurement.coil_maps
        parts = (measurement.first_kspace, measurement.known, maps)
        images = [solve(*(part.cpu().numpy() for part in one)) for one in zip(*parts, strict=True)]
        found = torch.from_numpy(np.stack(images)).to(measurement.kspace.device, torch.complex64)
        return Draws(measurement.shown(found)[:, None], 0)

    return method


sense, l1_wavelet, tv = (_by_sigpy(solve) for solve in (baselines.sense, baselines.l1_wavelet, baselines.tv))
