"""Scale of a slice: a percentile of its zero-filled magnitude, which it is divided by, invertibly; and the background."""

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.operators import rss
from mri_d3gm.physics.resolution import embed

PERCENTILE = 99.0
ROUNDING = 1e-3  # of the percentile: what is no further below zero is no sign that values are signed
NEAR, MANY = 0.05, 0.1  # of the range lies the background above the lowest value, and of the voxels are there
MOST, EVEN = 0.3, 0.02  # of the voxels of a background without negative values, and its deviation over its mean, at most
LOOKED_AT = 10**6  # voxels


def normalised_kspace(kspace: Tensor, percentile: float = PERCENTILE) -> tuple[Tensor, float]:
    """K-space (coils, rows, cols) complex64 over a scale, and the scale: the percentile of the root-sum-of-squares image.

    An empty slice has scale 1. The peak is divided out first, so that no unit of the data is too large or too small.
    """
    peak = float(kspace.abs().max())
    if not peak > 0:
        return kspace.to(torch.complex64), 1.0
    whole = (kspace.to(torch.complex128) / peak).to(torch.complex64)
    level = float(np.percentile(rss(ifft2c(whole)).cpu().numpy(), percentile)) or 1.0
    return whole / level, peak * level


def image_scale(image: Tensor, factor: int) -> tuple[float, float]:
    """Peak of a real image (rows, cols), and the percentile, in peaks, of the image zero-filled to `factor` times its size."""
    peak = float(image.abs().max()) or 1.0
    return peak, float(np.percentile(ifft2c(embed(image / peak, factor)).abs().cpu().numpy(), PERCENTILE)) or 1.0


def is_signed(image: np.ndarray) -> bool:
    """Whether an image has values below zero that are more than what interpolation or a bias field leaves of zeros."""
    least = float(image.min())
    return least < 0 and least < -ROUNDING * float(np.percentile(np.abs(image), PERCENTILE))


def pedestal(image: np.ndarray) -> float:
    """The value of the background of images, where it is clearly another than 0, as in z-scores; 0 where that cannot be told.

    A background is where many voxels are near the lowest value: the value that most of these have, else the lowest. Where many
    are exactly 0, that is it. Without negative values it has more voxels, and is more even than the noise of magnitudes is.
    """
    values = image.ravel("K")[:: max(1, image.size // LOOKED_AT)].astype(np.float64)
    low, high = (float(value) for value in np.quantile(values, (0.001, PERCENTILE / 100)))
    near = values[values <= low + NEAR * (high - low)]
    if not low < high or len(near) < MANY * len(values) or np.mean(values == 0) >= MANY:
        return 0.0
    flat, least = float(np.median(near)), float(image.min())
    if not is_signed(image) and (len(near) < MOST * len(values) or near.std() > EVEN * near.mean()):
        return 0.0
    lowest = least if least > low - NEAR * (high - low) else low
    ground = flat if np.mean(near == flat) >= 0.5 else lowest
    return ground if abs(ground) > NEAR * (high - ground) else 0.0
