"""MONAI dictionary transforms from a file to what the sampler needs."""

from mri_d3gm.transforms.kspace import (
    CoilMapsd,
    LoadKspaced,
    NoiseEstimated,
    NormaliseKspaced,
    UndersampleKspaced,
    ZeroFilledd,
    slice_items,
)
from mri_d3gm.transforms.pictures import DegradePictured, Hazyd, LoadPictured, PriorMeand, Rainyd
from mri_d3gm.transforms.resolution import (
    BlurSubsampled,
    Degraded,
    FourierGridd,
    LoadSliced,
    RicianNoised,
    TruncateKspaced,
    volume_items,
)
