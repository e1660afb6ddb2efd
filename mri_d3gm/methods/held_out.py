"""What a low-resolution image says of how it was made: the outer half of its own k-space, held out and predicted."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.compute import Map
from mri_d3gm.methods.diffusion import regression
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.degrade import blurred
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.normalise import PERCENTILE
from mri_d3gm.physics.occupied import resampled, within
from mri_d3gm.physics.resolution import embed
from mri_d3gm.physics.unknown import Unknown

RINGS = (0.25, 0.5, 0.65, 0.8, 1.0, math.inf)  # of the distance from k-space's centre, 1 at the border
LEAST = 16  # voxels that a side needs to be judged
DARK = 0.05  # of the 99th percentile is background


class HeldOut(NamedTuple):
    """Sums over slices: power (2, rings) of k-space as it was predicted and as it was measured, of samples (rings,);
    `background`; gain (2, 3), of each operator (truncation, unknown) Re<p - i, y - i>, |p - i|^2 and |y - i|^2 of prediction p,
    interpolation i and image y; peak, the square of the largest voxel; how many slices.
    """

    power: np.ndarray
    samples: np.ndarray
    background: np.ndarray
    gain: np.ndarray
    peak: float = 1.0
    slices: int = 1


def total(parts: Sequence[HeldOut]) -> HeldOut:
    """Of all slices together."""
    return HeldOut(*map(sum, zip(*parts, strict=True)))  # type: ignore[arg-type]


def held_out(image: Tensor, network: Denoiser, run: Map = map) -> HeldOut:
    """Of one slice, real (rows, cols), cut back to what was measured: two evaluations at its own size, run by `run`."""
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].float()
    rows, cols, device = *even.shape, next(network.parameters()).device
    even = even / float(np.percentile(even.abs().numpy(), PERCENTILE) or even.abs().max() or 1.0)
    kept = within(even[None], (rows // 2, cols // 2), (rows, cols)).to(device)
    fewer = blurred(even, 2, seed=rows * cols)
    blind = Unknown(ifft2c(embed(fewer[None], 2)).to(device), without_phase=True)
    told, guessed = run(partial(_predicted, network=network), (kept, blind))
    power, samples = _sums(fft2c(told + 0j), fft2c(even + 0j))
    gains = [_gain(p, one.prior_mean()[0].real.cpu(), even) for p, one in ((told, kept), (guessed, blind))]
    return HeldOut(power, samples, background(even), np.array(gains), float(even.square().max()))


def _predicted(measurement: Measurement, network: Denoiser) -> Tensor:
    return regression(measurement, network).images[0, 0].real.cpu()


def _gain(predicted: Tensor, interpolated: Tensor, image: Tensor) -> list[float]:
    added, missing = (predicted - interpolated).double(), (image - interpolated).double()
    return [float((added * missing).sum()), float(added.square().sum()), float(missing.square().sum())]


def _sums(predicted: Tensor, measured: Tensor) -> tuple[np.ndarray, np.ndarray]:
    y, x = ((torch.arange(n) - n // 2) / (n / 2) for n in measured.shape)
    ring = torch.bucketize((y[:, None] ** 2 + x**2).sqrt(), torch.tensor(RINGS), right=True).flatten()
    values = predicted.abs().square(), measured.abs().square(), torch.ones(measured.shape)
    sums = [torch.bincount(ring, each.double().flatten(), len(RINGS))[1:].numpy() for each in values]
    return np.stack(sums[:2]), sums[2]


def background(image: Tensor) -> np.ndarray:
    """Mean squares and squared medians, (2, 2), in the background of a normalised image (rows, cols): of its band-limited
    interpolation between voxels, and on voxels. Truncation rings on both alike, subsampling between them alone.
    """
    rows, cols = image.shape
    mean = torch.nn.functional.avg_pool2d(image.abs()[None, None], 7, 1, 3, count_include_pad=False)[0, 0]
    dark = mean < DARK
    if int(dark.sum()) < 32:
        return np.zeros((2, 2))
    between = resampled(image, (2 * rows, 2 * cols)).real[1::2, 1::2]
    found = [one.double()[dark] for one in (between, image)]
    return np.array([[float(one.square().mean()) for one in found], [float(one.abs().median()) ** 2 for one in found]])
