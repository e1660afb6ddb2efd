"""Slices of magnitude volumes: load, degrade, bring to the Fourier grid; each a MONAI transform.

image (rows, cols) float32 in the file's units, above the background of its volume where that is not 0; reference: the image
before it was degraded; zero_filled (factor rows, factor cols) complex64, the prior mean mu; kspace (1, ...) and mask as in
`transforms.kspace`, and low_resolution True, all three absent where the operator is unknown.
"""

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import InvertibleTransform, MapTransform, Transform

from mri_d3gm.compute import one_thread
from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, slice_axis, with_frames
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.stamps import Stamp, stamps
from mri_d3gm.methods.operator_rule import Choice
from mri_d3gm.physics.degrade import blurred, degraded, rician
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.resolution import embed, truncate
from mri_d3gm.physics.truncation import Truncation
from mri_d3gm.pipeline import prepare_low_resolution
from mri_d3gm.runs.model import load
from mri_d3gm.settings import LEARNED, SuperResolve
from mri_d3gm.tasks.operator import choose, seen, signed
from mri_d3gm.tasks.sr import jobs_of
from mri_d3gm.transforms.keys import Data, each_key


@lru_cache(maxsize=2)
def _read(path: str, series: str | None) -> tuple[Image, tuple[Stamp, ...]]:
    image = seen(open_image(path, series), SuperResolve(series=series))
    return image, stamps(_watched(path, image))


def _watched(path: str, image: Image) -> list[Path]:
    """The files of an image and, where a folder was given, the folders that they lie in."""
    folders = dict.fromkeys(file.parent for file in image.files) if Path(path).is_dir() else {}
    return [Path(path), *folders, *image.files]


def cached_volume(path: str, series: str | None = None) -> Image:
    """The volume of a path, as a network has it `seen`, so that its slices share one reading; read again once one of its files
    has changed.
    """
    image, before = _read(path, series)
    if stamps(_watched(path, image)) != before:
        _read.cache_clear()
        image, _ = _read(path, series)
    return image


@lru_cache(maxsize=2)
def _choose(path: str, settings: SuperResolve, _: Any) -> Choice:
    return choose(cached_volume(path, settings.series), settings, load(settings) if settings.method in LEARNED else None)


def cached_choice(path: str, settings: SuperResolve) -> Choice:
    """What is taken for known of the volume of a path, found once while its files stay as they are."""
    return _choose(path, settings, stamps(_watched(path, cached_volume(path, settings.series))))


@lru_cache(maxsize=2)
def _signed(path: str, settings: SuperResolve, _: Any) -> bool:
    return signed(cached_volume(path, settings.series), settings)


def cached_sign(path: str, settings: SuperResolve) -> bool:
    """Whether the volume of a path keeps values below 0, found once while its files stay as they are."""
    return _signed(path, settings, stamps(_watched(path, cached_volume(path, settings.series))))


def volume_items(path: str, settings: SuperResolve) -> list[dict[str, Any]]:
    """One {path, slice, frame, index} for each chosen slice of each frame of a volume."""
    if settings.isotropic:
        raise InputError("isotropic: is of whole volumes, not of slices one by one; use mri-d3gm sr or mri_d3gm.superresolve")
    source = cached_volume(path, settings.series)
    axis, chosen, frames = jobs_of(source, settings)
    total = source.array.shape[axis]
    return [{"path": path, "slice": k, "frame": t, "index": t * total + k} for t in range(frames) for k in chosen]


class LoadSliced(Transform):
    """{path, slice, frame} to image: slice along `axis` (found from the spacing if None), cut to a multiple of `multiple`."""

    def __init__(self, series: str | None = None, axis: int | None = None, multiple: int = 1) -> None:
        self.series, self.axis, self.multiple = series, axis, multiple

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        volume = cached_volume(str(data["path"]), self.series)
        axis = slice_axis(volume, self.axis)
        plane = np.take(with_frames(volume.array)[..., data.get("frame", 0)], data["slice"], axis=axis)
        rows, cols = (n - n % self.multiple for n in plane.shape)
        return dict(data) | {"image": torch.from_numpy(np.ascontiguousarray(plane[:rows, :cols]))}


class TruncateKspaced(MapTransform, InvertibleTransform):
    """Magnitude of the image whose k-space is the centre of this one's; inverse: zero-filled to the former size."""

    def __init__(self, keys: Any = "image", factor: int = 4, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.factor = factor

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        return each_key(self, data, lambda image: truncate(image, self.factor).abs())

    def inverse(self, data: Data) -> dict[Hashable, Any]:
        return each_key(self, data, lambda image: ifft2c(embed(image, self.factor)).real)


class BlurSubsampled(MapTransform):
    """A random anisotropic blur kernel, then every factor-th voxel; the kernel depends on seed and slice. Not invertible."""

    def __init__(self, keys: Any = "image", factor: int = 4, seed: int = 0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.factor, self.seed = factor, seed

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        seed = self.seed * 2**20 + data.get("slice", 0)
        return each_key(self, data, lambda image: blurred(image, self.factor, seed))


class RicianNoised(MapTransform):
    """Rician noise of `level` times the image's 99th percentile; depends on seed and slice. Not invertible."""

    def __init__(self, keys: Any = "image", level: float = 0.01, seed: int = 0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.level, self.seed = level, seed

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        seed = self.seed * 2**20 + data.get("slice", 0)
        return each_key(self, data, lambda image: rician(image, self.level, seed))


class Degraded(Transform):
    """Keeps the image as reference and degrades it: truncation, kernel or None (nothing, no reference)."""

    def __init__(self, kind: str | None = None, factor: int = 4, noise: float = 0.0, seed: int = 0) -> None:
        self.settings = SuperResolve(degrade=kind, scale=factor, noise=noise, seed=seed)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        chosen, d = self.settings, dict(data)
        if chosen.degrade is None:
            return d
        seed = chosen.seed * 2**20 + data.get("slice", 0)
        image = degraded(d["image"], chosen.degrade, chosen.scale, noise=chosen.noise, seed=seed)
        return d | {"reference": d["image"], "image": image}


class FourierGridd(Transform):
    """image to zero_filled on the grid of `factor` times the matrix, and, for operator truncation, kspace, mask and doubt.

    scale: the 99th percentile of the zero-filled magnitude, which all are divided by. settings: of the whole run, with which
    operator auto chooses for the volume that `path` names.
    """

    def __init__(self, factor: int = 4, operator: str = "truncation", settings: SuperResolve | None = None) -> None:
        self.settings = SuperResolve(scale=factor, operator=operator) if settings is None else settings
        self.whole = settings is not None

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        choice = cached_choice(str(data["path"]), self.settings) if self.whole else None
        with one_thread():
            prepared = prepare_low_resolution(data["image"][None], self.settings, choice)
            measurement = prepared.measurement
            d = dict(data) | {"zero_filled": measurement.prior_mean()[0], "scale": float(prepared.scale[0])}
        if isinstance(measurement, Truncation):
            d |= {"kspace": measurement.kspace[0], "mask": measurement.mask[0], "low_resolution": True}
            d["doubt"] = measurement.doubt
        return d
