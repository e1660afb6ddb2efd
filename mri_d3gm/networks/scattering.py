"""Haze by its physics: a network that sees the whole picture, small, and answers with transmission and airlight alone."""

import torch
from torch import Tensor
from torch.nn import functional

from mri_d3gm.errors import InputError
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.nafnet import NAFTrunk
from mri_d3gm.weather.guided_filter import box_mean
from mri_d3gm.weather.haze import least_within

PATCHES = (3, 7, 15)
LEAST = 0.1  # transmission
RADIUS, EPS = 24, 1e-3  # of the guided filter; with 4 pixels the grid of the coarsest level shows in smooth backgrounds


def brightest_haze(image: Tensor, dark: Tensor) -> Tensor:
    """Mean colour (batch, 3, 1, 1) of the thousandth of pixels whose dark channel (batch, 1, rows, cols) is the brightest."""
    flat = dark.flatten(1)
    places = flat.topk(max(1, flat.shape[1] // 1000), 1).indices[:, None].expand(-1, 3, -1)
    return image.flatten(2).gather(2, places).mean(2)[..., None, None]


def sharpened(small: Tensor, guide_small: Tensor, guide: Tensor) -> Tensor:
    """A map (batch, 1, rows, cols) of a small picture brought to the size and the edges of its large one.

    The guided filter's slope and offset are found in the small picture and enlarged (He, Sun, Fast Guided Filter, 2015).
    """
    mean, level = box_mean(guide_small, RADIUS), box_mean(small, RADIUS)
    variance = (box_mean(guide_small * guide_small, RADIUS) - mean * mean).clamp_min(0)
    slope = (box_mean(guide_small * small, RADIUS) - mean * level) / (variance + EPS)
    lines = torch.cat([box_mean(slope, RADIUS), box_mean(level - slope * mean, RADIUS)], 1)
    slope, offset = functional.interpolate(lines, guide.shape[-2:], mode="bilinear").split(1, 1)
    return slope * guide + offset


class Scattering(NAFTrunk):
    """x0 = (mu - A) / t + A of colour pictures, t (one a pixel) and A (one colour a picture) from the trunk.

    The trunk sees the picture with a long side of `size` pixels, so that the scene is seen as a whole and the time does not
    grow with the photograph, and squeezes over `reach` of these on each side; `whole` keeps tiles away. It corrects what the
    dark channel prior (He, Sun, Tang, CVPR 2009) says of t and A. InputError for images other than of 3 channels.
    """

    whole = True

    def __init__(
        self,
        features: int = 32,
        *,
        levels: int = 4,
        blocks: int = 1,
        embedding: int = 64,
        channels: int = 3,
        size: int = 640,
        reach: int = 160,
        unshuffle: int = 4,
    ) -> None:
        if channels != 3:
            raise InputError(f"scattering: is for colour pictures, of 3 channels, not {channels}")
        sizes = {"levels": levels, "blocks": blocks, "embedding": embedding, "reach": reach, "unshuffle": unshuffle}
        super().__init__(3 * channels + len(PATCHES) + 4, 4, features, **sizes)
        self.size = size

    def forward(self, noisy: Tensor, start: Tensor, mu: Tensor, log_snr: Tensor, **_: object) -> Estimates:
        """One estimate of x0, of mu's shape (batch, 3, rows, cols); arguments as in `NAFNet`."""
        rows, cols = mu.shape[-2:]
        scale = min(1.0, self.size / max(rows, cols))
        shape = [max(1, round(n * scale)) for n in (rows, cols)]
        small = [functional.interpolate(image, shape, mode="area") for image in (start, mu, noisy)]
        lowest = -functional.adaptive_max_pool2d(-mu.amin(1, keepdim=True), shape)
        dark = [least_within(lowest, patch) for patch in PATCHES]
        airlight = brightest_haze(small[1], dark[-1]).clamp(0.1, 1)
        prior = 1 - least_within((small[1] / airlight).amin(1, keepdim=True), PATCHES[1])
        given = torch.cat([*small, *dark, airlight.expand_as(small[1]), prior], 1)
        answer = 0.5 * self.through(given, log_snr)
        clear = 1.02 * torch.sigmoid(torch.logit(prior.clamp(LEAST, 0.95)) + answer[:, :1])
        guides = [image.mean(1, keepdim=True) for image in (small[1], mu)]
        transmission = sharpened(clear, guides[0], guides[1]).clamp(LEAST, 1)
        airlight = (airlight + 0.1 * answer[:, 1:].mean((-2, -1), keepdim=True)).clamp(0.1, 1.2)
        return Estimates([(mu - airlight) / transmission + airlight])
