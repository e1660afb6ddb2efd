"""Load, undersample, normalise, coil maps, zero-fill: each a MONAI transform over the keys named here.

kspace (coils, rows, cols) complex64, mask bool broadcastable to (rows, cols), outside likewise (absent where all was encoded),
coil_maps (coils, rows, cols) complex64 (absent for one coil), zero_filled (rows, cols) complex64, scale float, noise a
dictionary, reference (rows, cols) float32 (absent for undersampled scans). They work on files ({path, slice}) and on arrays
({kspace, mask?}) alike, and give what `pipeline.prepare` gives.
"""

import math
from collections.abc import Hashable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.transforms import InvertibleTransform, MapTransform, Transform

from mri_d3gm.compute import one_thread
from mri_d3gm.io.coil_maps import coil_maps_of, exchanged_coil_maps
from mri_d3gm.io.given_mask import check_marked
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.io.scan import PLAIN, Reading, Scan, read_reference
from mri_d3gm.io.spikes import mended
from mri_d3gm.io.stamps import Stamp, stamps
from mri_d3gm.physics.cartesian import measured
from mri_d3gm.physics.noise import estimate_noise
from mri_d3gm.physics.normalise import normalised_kspace
from mri_d3gm.physics.operators import adjoint
from mri_d3gm.pipeline import check_coil_maps, map_coils, noise_of, sampling
from mri_d3gm.settings import Recon, chosen_images
from mri_d3gm.transforms.keys import Data, each_key


@lru_cache(maxsize=4)
def _opened(path: str, how: Reading, _: tuple[Stamp, ...]) -> Scan:
    return mended(open_scan(path, how))


def scan_of(data: Data, how: Reading = PLAIN) -> Scan:
    """The scan of an item: of its path, described once while the file stays as it is, or of its arrays."""
    if "path" in data:
        return _opened(str(data["path"]), how, stamps([data["path"]]))
    mask = data.get("mask")
    return mended(scan_of_array(_array(data["kspace"])[None], None if mask is None else _array(mask)))


def _array(value: Any) -> np.ndarray:
    """numpy's array of an array or tensor, wherever it lies; of halves, which numpy has none of where they are complex, too."""
    tensor = torch.as_tensor(value)
    return (tensor.to(torch.complex64) if tensor.dtype is torch.complex32 else tensor).numpy(force=True)


def slice_items(path: str, settings: Recon) -> list[dict[str, Any]]:
    """One {path, slice, index} for each chosen image of a file: its place, as `io.scan.Scan` has it, and its `number` there."""
    scan = scan_of({"path": path}, settings.reading())
    number = scan.number or (lambda index: index)
    return [{"path": path, "slice": index, "index": number(index)} for index in chosen_images(scan, settings)]


class LoadKspaced(Transform):
    """{path, slice} to kspace, reference, and calibration where the scan has such lines; the volume is never read."""

    def __init__(self, how: Reading = PLAIN) -> None:
        self.how = how

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan, index = scan_of(data, self.how), data["slice"]
        loaded = dict(data) | {"kspace": torch.from_numpy(scan.read(index))}
        reference = read_reference(scan, index)
        if scan.calibration is not None:
            loaded["calibration"] = torch.from_numpy(scan.calibration(index))
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
        how: Reading = PLAIN,
    ) -> None:
        self.settings = Recon(accel=accel, mask_kind=kind, axis=axis, center_fraction=center_fraction, seed=seed)
        self.how = how

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan = scan_of(data, self.how)
        mask, outside = torch.from_numpy(sampling(scan, self.settings, data.get("slice", 0))[0]), scan.outside()
        kspace = torch.as_tensor(data["kspace"] if "path" in data else scan.read(0))  # of an array what was mended, if anything
        d = dict(data)
        if outside is not None:
            d["outside"] = torch.from_numpy(outside)
            mask = measured(mask, d["outside"])
        kept = kspace * mask
        if scan.mask is not None:
            check_marked(scan.name, data.get("slice", 0), kspace, kept)
        return d | {"mask": mask, "kspace": kept}


class NormaliseKspaced(MapTransform, InvertibleTransform):
    """Divides kspace, and other keys, by the 99th percentile of kspace's zero-filled magnitude, kept in scale; invertible."""

    def __init__(self, keys: Any = "kspace", percentile: float = 99.0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.percentile = percentile

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        d, keys = dict(data), list(self.key_iterator(data))
        if self.keys[0] not in keys:
            return d
        with one_thread():
            d[keys[0]], d["scale"] = normalised_kspace(d[keys[0]], self.percentile)
        return d | {key: d[key] / d["scale"] for key in keys[1:]}

    def inverse(self, data: Data) -> dict[Hashable, Any]:
        """kspace times scale."""
        return each_key(self, data, lambda kspace: kspace * data["scale"]) if self.keys[0] in data else dict(data)


class NoiseEstimated(Transform):
    """kspace and mask to noise: sigma of each real and imaginary part in kspace's units, source, reliable; what the scan knows
    of it counts first.
    """

    def __init__(self, how: Reading = PLAIN) -> None:
        self.how = how

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        known = noise_of(scan_of(data, self.how))
        with one_thread():
            found = estimate_noise(data["kspace"], data["mask"], known, 1 / float(data.get("scale", 1)))
        return dict(data) | {"noise": asdict(found)}


class CoilMapsd(Transform):
    """kspace and mask to coil_maps: those of `file` (dataset coil_maps, (coils, rows, cols) or per slice), those of the scan's
    own file, or estimated, from calibration where there is one; coil_map_fit is then what each set explains of it. They come
    with second_maps, zeros where one set explains the scan. More than 16 coils become virtual ones and what these leave, rest.
    """

    def __init__(self, file: str | None = None, how: Reading = PLAIN) -> None:
        self.file, self.how = file, how

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan, index = scan_of(data, self.how), data.get("slice", 0)
        maps = coil_maps_of(scan, self.file, index)
        with one_thread():
            given = None if maps is None else torch.from_numpy(maps)
            if maps is not None and self.file is not None:
                exchanged = exchanged_coil_maps(self.file, scan, index % scan.slices)
                check_coil_maps(data["kspace"], data["mask"], maps, exchanged, self.file)
            mapped = map_coils(data["kspace"], data["mask"], given, data.get("calibration"))
        fit = torch.tensor((*mapped.maps.fit, math.nan, math.nan)[:2], dtype=torch.float64)
        found = {"kspace": mapped.kspace, "coil_map_source": mapped.maps.source, "coil_map_fit": fit}
        if mapped.maps.maps is not None:
            second = mapped.maps.second
            found |= {
                "coil_maps": mapped.maps.maps,
                "second_maps": torch.zeros_like(mapped.kspace) if second is None else second,
                "short_centre": mapped.maps.short,
            }
        return dict(data) | found | ({} if mapped.rest is None else {"rest": mapped.rest})


class ZeroFilledd(Transform):
    """kspace, mask and coil_maps to zero_filled, the prior mean mu."""

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        maps = data.get("coil_maps")
        with one_thread():
            image = adjoint(data["kspace"][None], data["mask"][None], None if maps is None else maps[None])[0]
        return dict(data) | {"zero_filled": image}
