"""From arrays to arrays: prepare a measurement, solve it, finish an image. No files, no global state, any batch.

One after the other:

    prepared = prepare(kspace, mask)                       # k-space to Measurement
    draws = solve(prepared.measurement, network, settings) # Measurement to Draws
    finished = finish(draws, prepared.scale)               # Draws to magnitudes
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.compute import Map, Progress
from mri_d3gm.errors import InputError
from mri_d3gm.io.sampling import mean_accel
from mri_d3gm.io.scan import Scan
from mri_d3gm.methods import METHODS, classical
from mri_d3gm.methods.draws import Draws
from mri_d3gm.methods.operator_rule import Choice
from mri_d3gm.metrics.calibration import calibrated_std
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.cartesian import Cartesian, measured, weight_of
from mri_d3gm.physics.coil_maps import CoilMaps, contradiction, estimate_apart, estimate_coil_maps
from mri_d3gm.physics.coil_maps import normalised as normalised_maps
from mri_d3gm.physics.compression import compressed
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.noise import NoiseEstimate, estimate_noise
from mri_d3gm.physics.normalise import image_scale, normalised_kspace
from mri_d3gm.physics.occupied import within
from mri_d3gm.physics.truncation import Truncation
from mri_d3gm.physics.unknown import Unknown
from mri_d3gm.settings import LEARNED, Recon, Settings, SuperResolve, entries, flag_of

FURTHEST = 4  # times what was measured that the network was trained for


def sampling(scan: Scan, settings: Recon, index: int | None = None) -> tuple[np.ndarray, list[str]]:
    """What is measured of a scan, bool (1, cols), (rows, 1) or (rows, cols), and what to say about it: the scan's own mask
    where it has one, else one drawn from the seed. index: of one of its images; without, what any of them measured.
    """
    if index is not None and scan.masks is not None:
        return scan.masks(index), []
    if scan.mask is not None:
        drawn = [entry for entry in entries(Recon) if entry.name in ("mask_kind", "axis", "center_fraction")]
        flags = ", ".join(flag_of(entry) for entry in drawn if getattr(settings, entry.name) != entry.default)
        said = [f"it is undersampled already; {flags} ignored"] if flags else []
        own = mean_accel(scan.own_masks(), scan.limits)
        if settings.accel is not None and abs(settings.accel / own - 1) > 0.2:
            return scan.mask, [f"it is undersampled already (R = {own:.1f}); --accel {settings.accel:g} is ignored", *said]
        return scan.mask, said
    accel = 8.0 if settings.accel is None else settings.accel
    options = settings.mask_kind, settings.axis, settings.center_fraction, settings.seed
    return make_mask((scan.rows, scan.cols), accel, *options, limits=scan.limits), []


def noise_of(scan: Scan) -> Tensor | float | None:
    """What the scan knows of its noise, for `prepare`."""
    return torch.from_numpy(scan.noise) if isinstance(scan.noise, np.ndarray) else scan.noise


class Prepared(NamedTuple):
    """A batch ready to be solved: its measurement on normalised images, the scale of each, (batch,), and what was found out of
    k-space: noise in normalised units, where the coil maps are from (given, espirit, low-resolution or none), and what they
    explain of lines that were measured for them alone (`CoilMaps`).
    """

    measurement: Measurement
    scale: np.ndarray
    noise: list[NoiseEstimate]
    map_sources: list[str]
    fits: Sequence[tuple[float, ...]] = ()


class Finished(NamedTuple):
    """Magnitudes (batch, rows, cols) float32 in the data's units, the deviation of their error to expect, or None, and the
    phase of the mean over draws in radians.
    """

    images: np.ndarray
    std: np.ndarray | None
    phase: np.ndarray


def prepare(
    kspace: Tensor,
    mask: Tensor,
    *,
    outside: Tensor | None = None,
    coil_maps: Tensor | None = None,
    noise: Tensor | float | None = None,
    calibration: Tensor | None = None,
) -> Prepared:
    """The Cartesian measurement of k-space (batch, coils, rows, cols) complex.

    mask: bool or numbers (cols,), (1, cols), (rows, 1) or (rows, cols), what was measured; InputError for other shapes.
    outside: bool, (1, cols) and so on, where nothing was encoded. coil_maps (batch, coils, rows, cols): estimated where there
    are several coils and none are given. noise: deviation of the noise in each real and imaginary part in the data's units, or
    a noise scan (coils, samples) complex; estimated without. calibration: k-space like kspace that coil maps are estimated
    from, zero where not measured.
    """
    shape = kspace.shape[-2:]
    if not 1 <= mask.ndim <= 2 or any(size not in (1, full) for size, full in zip(mask.shape[::-1], shape[::-1], strict=False)):
        raise InputError(f"mask: shape {tuple(mask.shape)}; (cols,), (1, cols), (rows, 1) or {tuple(shape)} is needed")
    mask = measured(torch.atleast_2d(mask) != 0, outside)
    scales, found, mapped = [], [], []
    for index, one in enumerate(kspace):
        normalised, scale = normalised_kspace(one * mask)
        scales.append(scale)
        found.append(estimate_noise(normalised, mask, noise, 1 / scale))
        given, lines = (None if item is None else item[index] for item in (coil_maps, calibration))
        mapped.append(map_coils(normalised, mask, given, lines))
    sources = [one.maps.source for one in mapped]
    measurement = Cartesian(
        torch.stack([one.kspace for one in mapped]),
        mask[None],
        _stacked(one.maps.maps for one in mapped),
        None if outside is None else outside[None],
        torch.tensor([estimate.sigma for estimate in found]),
        torch.tensor([weight_of(source) for source in sources]),
        _stacked(one.maps.second for one in mapped),
        rest=_stacked(one.rest for one in mapped),
        short_centre=torch.tensor([one.maps.short for one in mapped]),
    )
    return Prepared(measurement, np.array(scales), found, sources, [one.maps.fit for one in mapped])


class Mapped(NamedTuple):
    """K-space (coils, rows, cols) of coils that may be virtual, their maps, and what they leave (`compression`), or None."""

    kspace: Tensor
    maps: CoilMaps
    rest: Tensor | None = None


def map_coils(kspace: Tensor, mask: Tensor, coil_maps: Tensor | None = None, calibration: Tensor | None = None) -> Mapped:
    """K-space (coils, rows, cols) with its coil maps, given or estimated; more than 16 coils become virtual ones.

    calibration: likewise, lines to estimate from in place of those of kspace.
    """
    if len(kspace) == 1 and coil_maps is None:
        return Mapped(kspace, CoilMaps(None, "none"))
    few = compressed(kspace)
    kspace, rest = (kspace, None) if few is None else (few.kspace, few.rest)
    if coil_maps is None and calibration is not None:
        lines = calibration if few is None else torch.einsum("vc,cyx->vyx", few.matrix, calibration)
        return Mapped(kspace, estimate_apart(lines), rest)
    if coil_maps is None:
        return Mapped(kspace, estimate_coil_maps(kspace, mask), rest)
    coil_maps = coil_maps.to(kspace.dtype)
    if few is not None:
        coil_maps = normalised_maps(torch.einsum("vc,cyx->vyx", few.matrix, coil_maps))
    return Mapped(kspace, CoilMaps(coil_maps, "given"), rest)


def check_coil_maps(
    kspace: Tensor, mask: Tensor, coil_maps: np.ndarray, exchanged: np.ndarray | None, name: str | Path | None
) -> None:
    """InputError where kspace (coils, rows, cols) under a mask contradicts maps that a user gives (`contradiction`); name: the
    file that they are from.
    """
    other = None if exchanged is None else torch.from_numpy(exchanged)
    wrong = contradiction(kspace * mask, mask, torch.from_numpy(coil_maps), other)
    if wrong is not None:
        raise InputError(f"{name or 'coil_maps'}: coil maps {wrong}; correct them, or leave them out to have them estimated")


def _stacked(maps: Iterable[Tensor | None]) -> Tensor | None:
    """Maps of a batch, zeros where only some have any, None where none has."""
    every = list(maps)
    like = next((one for one in every if one is not None), None)
    return None if like is None else torch.stack([torch.zeros_like(like) if one is None else one for one in every])


def prepare_low_resolution(images: Tensor, settings: SuperResolve, choice: Choice | None = None) -> Prepared:
    """The measurement that real low-resolution images (batch, rows, cols) are, on a grid of settings.scale times the matrix, or
    of 4 times what was measured where that is less.

    choice: what is taken for known; without, what settings.operator says, and truncation for auto.
    """
    choice = choice or Choice("unknown" if settings.operator == "unknown" else "truncation")
    scales = [image_scale(image, settings.scale) for image in images]
    normalised = torch.stack([image / peak / level for image, (peak, level) in zip(images, scales, strict=True)])
    if choice.matrix is None:
        truncation = Truncation.of(normalised, settings.scale)
    else:
        size = [settings.scale * n for n in images.shape[-2:]]
        part = min(1.0, FURTHEST * max(few / n for few, n in zip(choice.matrix, size, strict=True)))
        truncation = within(normalised, choice.matrix, (round(part * size[0]), round(part * size[1])))
    known: Measurement = replace(truncation, doubt=choice.doubt)
    if choice.operator == "unknown":
        known = Unknown(truncation.prior_mean(), without_phase=True)
    return Prepared(known, np.array([peak * level for peak, level in scales]), [], [])


def prepare_picture(pictures: Tensor) -> Prepared:
    """The measurement of degraded pictures (batch, 3, rows, cols) in [0, 1], of which nothing is known."""
    return Prepared(Unknown(pictures), np.ones(len(pictures)), [], [])


def solve(
    measurement: Measurement,
    network: Denoiser | None,
    settings: Settings,
    indices: Sequence[int] | None = None,
    *,
    run: Map = map,
    progress: Progress | None = None,
) -> Draws:
    """Draws of a batch by settings.method, on the network's device where there is a network.

    indices: one for each of the batch, which its draws depend on besides the seed; 0, 1, ... without. run: what maps a function
    over independent parts, such as `compute.in_parallel`. progress is told (done, all).
    """
    method = METHODS[type(settings)][settings.method]  # type: ignore[attr-defined]
    if isinstance(settings, Recon) and settings.method not in LEARNED and not isinstance(measurement, Cartesian):
        raise InputError(f"--method {settings.method}: is for k-space, and this is {type(measurement).__name__}; take d3gm")
    weights = None if network is None else next(network.parameters(), None)
    measurement = measurement if weights is None else measurement.to(weights.device)
    chosen = range(len(measurement)) if indices is None else indices
    return method(measurement, network, settings, chosen, run=run, progress=progress)


def finish(
    draws: Draws,
    scale: np.ndarray,
    noise: Sequence[NoiseEstimate] = (),
    calibrate: Callable[..., np.ndarray] | None = calibrated_std,
    *,
    signed: bool = False,
) -> Finished:
    """Mean magnitude over draws in the data's units, and its std where there are several draws or a predicted error.

    signed: the real part in place of the magnitude, for images that are real and not magnitudes.

    noise: of each of the batch, as `Prepared` holds it. calibrate: None leaves the deviation of the draws, or of a single
    draw the predicted error, as it is.
    """
    images, stds = [], []
    for index, (drawn, unit) in enumerate(zip(draws.images, scale, strict=True)):
        magnitudes = (drawn.real if signed else drawn.abs()).cpu().double().numpy() * unit
        with np.errstate(over="ignore"):
            images.append(magnitudes.mean(0).astype(np.float32))
        error = None if draws.error is None else draws.error[index].cpu().numpy() * unit
        if len(magnitudes) == 1 and error is None:
            continue
        std = magnitudes.std(0).astype(np.float32)
        if calibrate is None:
            stds.append(std if error is None or len(magnitudes) > 1 else error.astype(np.float32))
            continue
        found = None if draws.support is None else draws.support[index]
        sigma = noise[index].sigma * unit if noise else 0.0
        stds.append(calibrate(std, error, sigma, None if found is None else found.error()))
    phase = np.stack([torch.view_as_real(drawn.mean(0) + 0j).cpu().numpy() for drawn in draws.images])
    return Finished(np.stack(images), np.stack(stds) if stds else None, np.arctan2(phase[..., 1], phase[..., 0]))


def zero_filled(prepared: Prepared) -> np.ndarray:
    """Root of the sum of squares of the zero-filled coils, (batch, rows, cols) float32 in the data's units."""
    measurement = prepared.measurement
    assert isinstance(measurement, Cartesian)
    return finish(classical.zero_filled(measurement), prepared.scale).images
