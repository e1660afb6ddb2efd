"""Standard deviation of the noise in each real and imaginary part of k-space, equal in the image (orthonormal FFT)."""

import itertools
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.io.sampling import lines_of_block
from mri_d3gm.physics.fft import ifft1c, ifft2c

FLOOR = 1e-4
RINGS = (0.7, 0.8, 0.9, 0.98)
ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class NoiseEstimate:
    """sigma in the data's units, what it was measured on, and whether two ways agree within three times."""

    sigma: float
    source: str
    reliable: bool


def outer_lines(kspace: Tensor, mask: Tensor) -> float | None:
    """From the outermost measured lines (|k| > 0.7), transformed along the full axis: the quietest tenth of positions.

    Rings of |k| are measured apart and the largest is taken, because scanners apodise the rim.
    kspace (coils, rows, cols), mask (rows | 1, cols | 1); None where no such line was measured, and for 2-D masks but those
    whose lines reach all equally far, as after a partial echo.
    """
    if min(mask.shape) > 1:
        whole = lines_of_block(mask.cpu().numpy())
        if whole is None:
            return None
        along = mask.any(1 if len(whole) == 1 else 0).to(kspace.device)
        kspace = kspace[:, along] if len(whole) == 1 else kspace[..., along]
        mask = torch.from_numpy(whole)
    if mask.shape[1] == 1:
        kspace, mask = kspace.transpose(-2, -1), mask.T
    cols = kspace.shape[-1]
    distance = (torch.arange(cols) - cols // 2).abs() / (cols / 2)
    measured = mask[0].cpu() & (kspace.abs().amax((0, 1)).cpu() > 0)
    found = []
    for inner, outer in itertools.pairwise(RINGS):
        lines = measured & (distance > inner) & (distance <= outer)
        if lines.any():
            hybrid = ifft1c(kspace[..., lines.to(kspace.device)], -2)
            power = hybrid.abs().square().mean((0, 2)) / 2
            found.append(_quietest(power[power > 0], 2 * hybrid.shape[0] * hybrid.shape[2]))
    return max(found, default=None)


def _quietest(power: Tensor, freedom: int) -> float:
    """Deviation from the quietest tenth of mean powers, each of `freedom` degrees, corrected for choosing the smallest."""
    count = max(1, len(power) // 10)
    return float((power.sort().values[:count].mean() / _bias(len(power), count, freedom)).sqrt())


@lru_cache(maxsize=64)
def _bias(powers: int, count: int, freedom: int) -> float:
    """Mean of the `count` smallest of `powers` mean powers of unit variance, each of `freedom` degrees."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.distributions.Chi2(torch.tensor(float(freedom)))
    with ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):  # the distribution draws from the generator that all threads share
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        null = draws.sample((200, powers)) / freedom
    return float(null.sort(1).values[:, :count].mean())


def corners(kspace: Tensor) -> float:
    """From the quietest of 16 x 16 tiles, or pixels of a small image, of a fully sampled image, corrected likewise."""
    power = ifft2c(kspace).abs().square().mean(0) / 2
    side = 16 if min(power.shape) >= 32 else 1
    tiles = power.unfold(0, side, side).unfold(1, side, side).mean((-2, -1)).flatten()
    tiles = tiles[tiles > 0]
    return _quietest(tiles, 2 * side**2 * kspace.shape[0]) if len(tiles) else 0.0


def estimate_noise(kspace: Tensor, mask: Tensor, scan: Tensor | float | None = None, scan_scale: float = 1.0) -> NoiseEstimate:
    """Noise of kspace (coils, rows, cols) under mask (rows | 1, cols | 1).

    scan: a noise scan, complex, or a known deviation, which counts times scan_scale. Without it the smaller of the estimates
    that can be made, floored at 1e-4 of the 99th percentile of the image.
    """
    if scan is not None:
        if isinstance(scan, Tensor) and scan.is_complex():
            return NoiseEstimate(float(scan.abs().square().mean().div(2).sqrt()) * scan_scale, "noise scan", True)
        return NoiseEstimate(float(scan) * scan_scale, "given", True)
    scale = float(kspace.abs().max()) or 1.0
    kspace = kspace / scale
    found = {"outermost lines": outer_lines(kspace, mask)}
    if bool(mask.all()):
        found["background"] = corners(kspace)
    usable = {name: value for name, value in found.items() if value is not None and value > 0}
    level = float(np.quantile(ifft2c(kspace).abs().cpu().numpy(), 0.99))
    if not usable:
        return NoiseEstimate(FLOOR * level * scale, "floor", False)
    source = min(usable, key=lambda name: usable[name])
    agree = max(usable.values()) < 3 * min(usable.values())
    return NoiseEstimate(max(usable[source], FLOOR * level) * scale, source, agree)
