"""Load, undersample, normalise, coil maps, zero-fill: each a MONAI transform over the keys named here.

kspace (coils, rows, cols) complex64, mask bool broadcastable to (rows, cols), outside likewise (absent where all was encoded),
coil_maps (coils, rows, cols) complex64 (absent for one coil), zero_filled (rows, cols) complex64, scale float, noise a
dictionary, reference (rows, cols) float32 (absent for undersampled scans). They work on files ({path, slice}) and on arrays
({kspace, mask?}) alike, and give what `pipeline.prepare` gives.
"""

from collections.abc import Hashable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Transform

from mri_d3gm.compute import one_thread
from mri_d3gm.io.coil_maps import read_coil_maps
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.io.scan import Scan, read_reference
from mri_d3gm.io.stamps import Stamp, stamps
from mri_d3gm.physics.cartesian import measured
from mri_d3gm.physics.noise import estimate_noise
from mri_d3gm.physics.normalise import normalised_kspace
from mri_d3gm.physics.operators import adjoint
from mri_d3gm.pipeline import map_coils, sampling
from mri_d3gm.settings import Recon, chosen_slices
from mri_d3gm.transforms.keys import Data, each_key


@lru_cache(maxsize=4)
def _opened(path: str, crop: bool, _: tuple[Stamp, ...]) -> Scan:
    return open_scan(path, crop)


def scan_of(data: Data, crop: bool = True) -> Scan:
    """The scan of an item: of its path, described once while the file stays as it is, or of its arrays."""
    if "path" in data:
        return _opened(str(data["path"]), crop, stamps([data["path"]]))
    mask = data.get("mask")
    return scan_of_array(np.asarray(data["kspace"])[None], None if mask is None else np.asarray(mask))


def slice_items(path: str, settings: Recon) -> list[dict[str, Any]]:
    """One {path, slice} for each chosen slice of a file."""
    scan = scan_of({"path": path}, settings.crop)
    return [{"path": path, "slice": index} for index in chosen_slices(scan.name, scan.slices, settings.slices)]


class LoadKspaced(Transform):
    """{path, slice} to kspace and reference; one slice is read, never the volume."""

    def __init__(self, crop: bool = True) -> None:
        self.crop = crop

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan = scan_of(data, self.crop)
        loaded = dict(data) | {"kspace": torch.from_numpy(scan.read(data["slice"]))}
        reference = read_reference(scan, data["slice"])
        return loaded if reference is None else loaded | {"reference": torch.from_numpy(np.ascontiguousarray(reference))}


class UndersampleKspaced(Transform):
    """kspace to mask, outside and masked kspace; a mask that the scan has of its own wins over accel, kind, axis and seed."""

    def __init__(
        self,
        accel: float | None = None,
        kind: str = "equispaced-fraction",
        axis: str = "phase",
        center_fraction: float | None = None,
        *,
        seed: int = 0,
        crop: bool = True,
    ) -> None:
        self.settings = Recon(accel=accel, mask_kind=kind, axis=axis, center_fraction=center_fraction, seed=seed, crop=crop)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan = scan_of(data, self.settings.crop)
        mask, outside = torch.from_numpy(sampling(scan, self.settings)[0]), scan.outside()
        d = dict(data)
        if outside is not None:
            d["outside"] = torch.from_numpy(outside)
            mask = measured(mask, d["outside"])
        return d | {"mask": mask, "kspace": torch.as_tensor(data["kspace"]) * mask}


class NormaliseKspaced(MapTransform):
    """Divides kspace by the 99th percentile of its zero-filled magnitude, recorded in scale; invertible."""

    def __init__(self, keys: Any = "kspace", percentile: float = 99.0) -> None:
        super().__init__(keys)
        self.percentile = percentile

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        d = dict(data)
        with one_thread():
            for key in self.key_iterator(d):
                d[key], d["scale"] = normalised_kspace(d[key], self.percentile)
        return d

    def inverse(self, data: Data) -> dict[Hashable, Any]:
        """kspace times scale."""
        return each_key(self, data, lambda kspace: kspace * data["scale"])


class NoiseEstimated(Transform):
    """kspace and mask to noise: sigma of each real and imaginary part in kspace's units, source, reliable."""

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        with one_thread():
            return dict(data) | {"noise": asdict(estimate_noise(data["kspace"], data["mask"]))}


class CoilMapsd(Transform):
    """kspace and mask to coil_maps, estimated or from `file` (dataset coil_maps, (coils, rows, cols) or per slice); crop as
    in `LoadKspaced`. They come with second_maps, zeros where one set explains the scan. More than 12 coils become virtual ones
    and what these leave, rest.
    """

    def __init__(self, file: str | None = None, crop: bool = True) -> None:
        self.file, self.crop = file, crop

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        kspace, given = data["kspace"], None
        if self.file is not None:
            given = torch.from_numpy(read_coil_maps(self.file, scan_of(data, self.crop), data.get("slice", 0)))
        with one_thread():
            mapped = map_coils(kspace, data["mask"], given)
        found = {"kspace": mapped.kspace, "coil_map_source": mapped.maps.source}
        if mapped.maps.maps is not None:
            second = mapped.maps.second
            found |= {
                "coil_maps": mapped.maps.maps,
                "second_maps": torch.zeros_like(mapped.kspace) if second is None else second,
            }
        return dict(data) | found | ({} if mapped.rest is None else {"rest": mapped.rest})


class ZeroFilledd(Transform):
    """kspace, mask and coil_maps to zero_filled, the prior mean mu."""

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        maps = data.get("coil_maps")
        with one_thread():
            image = adjoint(data["kspace"][None], data["mask"][None], None if maps is None else maps[None])[0]
        return dict(data) | {"zero_filled": image}
