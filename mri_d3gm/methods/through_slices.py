"""Volumes of isotropic voxels from thick slices.

A volume is estimated in the planes that each in-plane axis spans with the axis through the slices. Both estimates are averaged,
and the average is brought into agreement with the slices. Arrays are (a, b, slices) and (a, b, cols) float32.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.compute import at_once, in_one_batch, in_parallel, resolve_device
from mri_d3gm.methods.diffusion import regression
from mri_d3gm.methods.drawing import one_draw, view_of
from mri_d3gm.methods.draws import draw_seed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.normalise import PERCENTILE, is_signed
from mri_d3gm.physics.slice_stack import SliceStack
from mri_d3gm.settings import SuperResolve

PIXEL_BYTES = 1100  # that a plane takes for each pixel of the result: measured
DARK = 0.1  # of the volume's level is the least that a plane is divided by
TOGETHER = 32  # planes in one step that takes little memory
VIEWS = 2


class Estimated(NamedTuple):
    """Mean of the draws, their std, that of a sample, where there are several, and the RMS of what the slices say otherwise
    than the network, in the slices' units.
    """

    mean: np.ndarray
    std: np.ndarray | None
    residual: float


class Planes(NamedTuple):
    """What the estimates of all planes have in common: profile (slices, cols), with another column where cols is even, level of
    the volume, how many at once.
    """

    profile: Tensor
    cols: int
    settings: SuperResolve
    network: Denoiser
    level: float
    threads: int


def draws_of(settings: SuperResolve) -> int:
    """How many volumes are drawn."""
    return (settings.samples or 1) if settings.method == "d3gm" else 1


def evaluations(shape: tuple[int, int], cols: int, settings: SuperResolve) -> int:
    """How often `estimate` calls `tell` for (a, b)."""
    batches = sum(len(list(_batches(*sides, cols, settings))) for sides in (shape, shape[::-1]))
    return draws_of(settings) * batches * _steps(settings)


def seen(settings: SuperResolve) -> int:
    """How often the network sees each voxel."""
    return VIEWS * draws_of(settings) * _steps(settings)


def _steps(settings: SuperResolve) -> int:
    return (settings.steps or 1) if settings.method == "d3gm" else 1


def estimate(
    slices: np.ndarray, profile: Tensor, settings: SuperResolve, network: Denoiser, frame: int, tell: Callable[..., None]
) -> Estimated:
    """The volume of slices by their profile (slices, cols).

    frame: its number in a series, which its draws depend on; tell is called after each evaluation of the network.
    """
    unit = float(np.abs(slices).max()) or 1.0
    known = torch.from_numpy(np.ascontiguousarray(slices / np.float32(unit)))
    signed, level = is_signed(known.numpy()), float(np.percentile(known.abs().numpy(), PERCENTILE))
    odd = torch.nn.functional.pad(profile, (0, 1 - profile.shape[1] % 2))  # mirrored voxels of even sizes change ends
    bytes_each = max(known.shape[:2]) * profile.shape[1] * PIXEL_BYTES
    threads = at_once(settings.threads, resolve_device(settings.device), bytes_each)
    planes = Planes(odd, profile.shape[1], settings, network, level, threads)
    mean, squares = torch.zeros(*known.shape[:2], profile.shape[1]), torch.zeros(())
    residuals: list[float] = []
    for draw in range(draws_of(settings)):
        (volume, missed), (other, more) = (
            plane_estimates(known.transpose(0, view), planes, draw, VIEWS * frame + view, tell) for view in range(VIEWS)
        )
        residuals += missed + more
        volume = agreed(volume.add_(other.transpose(0, 1)).div_(VIEWS), known, planes, signed)[..., : planes.cols]
        away = volume - mean
        mean = mean + away / (draw + 1)
        squares = squares + away * (volume - mean)
    free = draws_of(settings) - 1
    std = (squares / free).sqrt().numpy() * np.float32(unit) if free else None
    return Estimated(mean.numpy() * np.float32(unit), std, unit * float(np.sqrt(np.mean(np.square(residuals or [0.0])))))


def _batches(count: int, rows: int, cols: int, settings: SuperResolve) -> Iterator[slice]:
    """Of `count` planes (rows, cols), as many at a time as fit on the device."""
    size = in_one_batch(resolve_device(settings.device), rows * cols * PIXEL_BYTES)
    return (slice(start, start + size) for start in range(0, count, size))


def plane_estimates(
    known: Tensor, planes: Planes, draw: int, series: int, tell: Callable[..., None]
) -> tuple[Tensor, list[float]]:
    """One draw of the planes (rows, cols) along the first axis of slices (planes, rows, slices), and the residual of each that
    is not empty; series: what tells the draws of these planes from those of others.
    """
    parts = _batches(len(known), known.shape[1], planes.cols, planes.settings)
    one = partial(_batch, known, planes, draw, series, tell=tell)
    found = list(in_parallel(one, parts, planes.threads))
    return torch.cat([image for image, _ in found]), [value for _, values in found for value in values]


def _batch(
    known: Tensor, planes: Planes, draw: int, series: int, part: slice, *, tell: Callable[..., None]
) -> tuple[Tensor, list[float]]:
    """Of some planes; those without signal stay empty."""
    settings, numbers = planes.settings, range(len(known))[part]
    every = known[part]
    filled = every.flatten(1).any(1)
    images = every.new_zeros(len(every), every.shape[1], planes.profile.shape[1])
    if not filled.any():
        for _ in range(_steps(settings)):
            tell()
        return images, []
    device = resolve_device(settings.device)
    data = every[filled].to(device, torch.complex64)
    stack = SliceStack(data, planes.profile.to(device).expand(len(data), -1, -1))
    mu = stack.prior_mean()
    scale = mu.abs().flatten(1).quantile(PERCENTILE / 100, 1).clamp_min(max(DARK * planes.level, 1e-6))[:, None, None]
    stack, mu = stack.with_tensors({"data": data / scale}), mu / scale
    if settings.method == "d3gm":
        seeds = [draw_seed(settings.seed, series << 16 | n, draw) for n, full in zip(numbers, filled, strict=True) if full]
        view = view_of(stack, draw)
        drawn = one_draw(stack, planes.network, settings, mu, view, seeds=seeds, progress=lambda *_: tell())
        image, residual = drawn.images, drawn.residual
    else:
        answer = regression(stack, planes.network)
        image, residual = answer.images[:, 0], answer.residual
        tell()
    assert residual is not None
    images[filled] = (image.real * scale).float().cpu()
    return images, (residual * scale[:, 0, 0]).tolist()


@torch.no_grad()
def agreed(volume: Tensor, known: Tensor, planes: Planes, signed: bool) -> Tensor:
    """The volume (a, b, cols) in agreement with the slices (a, b, slices); not below zero unless it is signed."""

    def one(start: int) -> Tensor:
        part = slice(start, start + TOGETHER)
        data = known[part].to(torch.complex64)
        stack = SliceStack(data, planes.profile.expand(len(data), -1, -1))
        image = volume[part] if signed else volume[part].clamp_min(0)
        image = stack.agree(image.to(torch.complex64)).real
        return image if signed else image.clamp_min(0)

    return torch.cat(list(in_parallel(one, range(0, len(known), TOGETHER), planes.threads)))
