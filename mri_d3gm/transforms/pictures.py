"""Photographs: load and degrade; each a MONAI transform.

image (3, rows, cols) float32 in [0, 1]; reference: the clean image; zero_filled: what is looked at of the degraded one, the
prior mean mu (the name that all pipelines share); scale: 1.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import torch
from monai.transforms import MapTransform, Transform

from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import Picture, read_picture
from mri_d3gm.io.stamps import Stamp, stamps
from mri_d3gm.settings import Restore
from mri_d3gm.tasks.restore import colour
from mri_d3gm.transforms.keys import Data, each_key
from mri_d3gm.weather.degrade import degraded
from mri_d3gm.weather.haze import add_haze
from mri_d3gm.weather.rain import add_rain
from mri_d3gm.weather.view import view_of


@lru_cache(maxsize=2)
def _read(path: str, _: tuple[Stamp, ...]) -> Picture:
    return read_picture(path)


def cached_picture(path: str) -> Picture:
    """The picture of a file, read once, and again once the file has changed."""
    return _read(path, stamps([path]))


class LoadPictured(Transform):
    """{path, target?} to image, where a clean target is named reference, and where there is alpha visible, (rows, cols) bool;
    grey pictures get three equal channels.
    """

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        source = cached_picture(str(data["path"]))
        d = dict(data) | {"image": colour(source.array)}
        if source.visible is not None:
            d["visible"] = torch.from_numpy(source.visible)
        if (target := d.pop("target", None)) is not None:
            d["reference"] = colour(read_picture(target).array)
            if d["reference"].shape != d["image"].shape:
                raise InputError(f"{target}: {tuple(d['reference'].shape[1:])} pixels, {data['path']} has others; pair them")
        return d


class Rainyd(MapTransform):
    """Synthetic rain, heavy in the manner of Rain100H or light in that of Rain100L; depends on the seed. Not invertible."""

    def __init__(self, keys: Any = "image", heavy: bool = True, seed: int = 0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.heavy, self.seed = heavy, seed

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        generator = torch.Generator().manual_seed(self.seed)
        return each_key(self, data, lambda image: add_rain(image, generator, self.heavy))


class Hazyd(MapTransform):
    """Synthetic haze of the scattering model; depth: a map, or drawn if None; depends on the seed.

    Keeps the transmission (rows, cols) next to the image.
    """

    def __init__(
        self, keys: Any = "image", depth: torch.Tensor | None = None, seed: int = 0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.depth, self.seed = depth, seed

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        d, generator = dict(data), torch.Generator().manual_seed(self.seed)
        for key in self.key_iterator(d):
            d[key], d["transmission"] = add_haze(d[key], generator, self.depth)
        return d


class DegradePictured(Transform):
    """Keeps the image as reference and degrades it (rain-heavy, rain-light or haze), or does nothing (None)."""

    def __init__(self, kind: str | None = None, seed: int = 0) -> None:
        self.settings = Restore(degrade=kind, seed=seed)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        kind, d = self.settings.degrade, dict(data)
        if kind is None:
            return d
        seed = self.settings.seed * 2**20 + int(data.get("index", 0))
        return d | {"reference": d["image"], "image": degraded(d["image"], kind, seed)}


class PriorMeand(Transform):
    """image to zero_filled, the prior mean, which is what is looked at of it for a task (`weather.view`), and scale 1."""

    def __init__(self, task: str = "derain") -> None:
        self.task = Restore(task=task).task

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        seen = view_of(data["image"], self.task, data.get("visible")).seen
        return dict(data) | {"zero_filled": seen, "scale": 1.0, "slice": int(data.get("index", 0))}
