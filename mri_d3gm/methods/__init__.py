"""Methods by task and name: (measurement, network, settings, indices, *, run, progress) -> Draws.

A new one is one line here, and its name in `settings`; docs/extending.md says what else.

The network is None for those that use none.
"""

from collections.abc import Callable

from mri_d3gm.methods import classical, diffusion, pictures, upsampling
from mri_d3gm.methods.draws import Draws, prior_mean
from mri_d3gm.settings import Recon, Restore, Settings, SuperResolve

Method = Callable[..., Draws]

METHODS: dict[type[Settings], dict[str, Method]] = {
    Recon: {
        "d3gm": diffusion.d3gm,
        "regression": diffusion.regression,
        "zero-filled": classical.zero_filled,
        "pocs": classical.pocs,
        "sense": classical.sense,
        "l1-wavelet": classical.l1_wavelet,
        "tv": classical.tv,
    },
    SuperResolve: {
        "d3gm": diffusion.d3gm,
        "regression": diffusion.regression,
        "sinc": prior_mean,
        "nearest": upsampling.nearest,
        "linear": upsampling.linear,
        "cubic": upsampling.cubic,
        "lanczos": upsampling.lanczos,
    },
    Restore: {
        "d3gm": pictures.tiled,
        "regression": pictures.tiled,
        "identity": prior_mean,
        "dark-channel": pictures.dark_channel,
        "median": pictures.median,
    },
}
