"""MONAI dictionary transforms from a k-space file to what the sampler needs."""

from mri_d3gm.transforms.kspace import (
    CoilMapsd,
    LoadKspaced,
    NoiseEstimated,
    NormaliseKspaced,
    UndersampleKspaced,
    ZeroFilledd,
)

__all__ = ["CoilMapsd", "LoadKspaced", "NoiseEstimated", "NormaliseKspaced", "UndersampleKspaced", "ZeroFilledd"]
