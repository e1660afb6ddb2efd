"""Coil maps once more, from the centre of k-space as the network completes it: where few centre lines were measured."""

from collections.abc import Callable

import torch

from mri_d3gm.methods.draws import Agreement
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.measurement import Measurement

PASSES, PASSES_OF_ONE = 2, 1  # of one draw


def passes_of(measurement: Measurement, samples: int | None = 1) -> int:
    """How often a measurement is calibrated again before so many draws of it; each time is one evaluation of the network."""
    if not measurement.poorly_calibrated:
        return 0
    return PASSES_OF_ONE if samples == 1 else PASSES


@torch.no_grad()
def recalibrated(
    measurement: Measurement, network: Denoiser, passes: int, tell: Callable[..., None] = lambda *_: None
) -> Measurement:
    """A measurement whose short centre gave poor coil maps with better ones; tell is called after each evaluation.

    Each pass is one estimate at T; the maps of the next are estimated from its k-space, in which what was measured stays as it
    is. It is the alternation of joint estimation of image and sensitivities (Uecker et al., Magn Reson Med 2008), with the
    network for the image and ESPIRiT for the sensitivities.
    """
    for _ in range(passes):
        agree = Agreement(network, measurement)
        measurement = measurement.recalibrated(agree.restore(agree.first(measurement.prior_mean())))
        tell()
    return measurement
