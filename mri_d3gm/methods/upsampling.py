"""Super-resolution without a network, to compare with: sinc, and Pillow's interpolations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from mri_d3gm.methods.draws import Draws
from mri_d3gm.physics.interpolation import interpolate
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.settings import INTERPOLATIONS, SuperResolve


def _interpolated(kind: str) -> Callable[..., Draws]:
    def method(measurement: Measurement, network: Any, settings: SuperResolve, indices: Sequence[int], **_: Any) -> Draws:
        mean, factor = measurement.prior_mean(), settings.scale
        low = mean[..., ::factor, ::factor].real.cpu().numpy()  # zero-filling keeps the voxels where they were
        images = np.stack([interpolate(image, factor, kind) for image in low])
        return Draws(torch.from_numpy(images)[:, None].to(mean.device, torch.complex64), 0)

    return method


nearest, linear, cubic, lanczos = (_interpolated(kind) for kind in INTERPOLATIONS)
