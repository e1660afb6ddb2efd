"""Load, undersample, normalise, coil maps, zero-fill: each a MONAI transform over the keys named here.

kspace (coils, rows, cols) complex64, mask bool broadcastable to (rows, cols), coil_maps (coils, rows, cols) complex64
(absent for one coil), zero_filled (rows, cols) complex64, scale float, reference (rows, cols) float32 (absent for
undersampled files), note: list of what the user should know.
"""

from collections.abc import Hashable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Transform

from mri_d3gm.errors import InputError
from mri_d3gm.io.fastmri_h5 import Scan, open_scan, read_reference, read_slice
from mri_d3gm.physics.coil_maps import estimate_coil_maps
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.masks import achieved_accel, make_mask
from mri_d3gm.physics.noise import estimate_noise
from mri_d3gm.physics.operators import adjoint, rss

Data = Mapping[Hashable, Any]


@lru_cache(maxsize=4)
def cached_scan(path: str, crop: bool = True) -> Scan:
    """The opened scan of a file, so that a volume's slices share one validation."""
    return open_scan(path, crop=crop)


def sampling(
    scan: Scan, accel: float | None, kind: str, axis: str, center_fraction: float | None, seed: int
) -> tuple[np.ndarray, list[str]]:
    """The mask of a scan and what to say about it: the file's own where it has one, else one drawn from the seed."""
    if scan.mask is not None:
        own = achieved_accel(scan.mask, scan.limits)
        if accel is not None and abs(accel / own - 1) > 0.2:
            return scan.mask, [f"the file's own mask (R = {own:.1f}) is used; --accel {accel:g} is ignored"]
        return scan.mask, []
    shape = (scan.rows, scan.cols)
    limits = scan.limits if axis == "phase" else None
    mask = make_mask(shape, 8.0 if accel is None else accel, kind, axis, center_fraction, seed, limits)
    if limits is not None:
        inside = np.zeros(scan.cols, bool)
        inside[limits[0] : limits[1]] = True
        mask = mask | ~inside
    return mask, []


class LoadKspaced(Transform):
    """{path, slice} to kspace, reference and the file's mask; one slice is read, never the volume."""

    def __init__(self, crop: bool = True) -> None:
        self.crop = crop

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan = cached_scan(str(data["path"]), self.crop)
        loaded = dict(data) | {"kspace": torch.from_numpy(read_slice(scan, data["slice"]))}
        reference = read_reference(scan, data["slice"]) if scan.mask is None else None
        if reference is not None:
            loaded["reference"] = torch.from_numpy(np.ascontiguousarray(reference))
        return loaded


class UndersampleKspaced(Transform):
    """kspace to mask and masked kspace; the file's own mask wins over accel, kind, axis and seed."""

    def __init__(
        self,
        accel: float | None = None,
        kind: str = "equispaced-fraction",
        axis: str = "phase",
        center_fraction: float | None = None,
        seed: int = 0,
        crop: bool = True,
    ) -> None:
        self.arguments = (accel, kind, axis, center_fraction, seed)
        self.crop = crop

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        scan = cached_scan(str(data["path"]), self.crop)
        mask = torch.from_numpy(np.atleast_2d(sampling(scan, *self.arguments)[0]))
        return dict(data) | {"mask": mask, "kspace": data["kspace"] * mask}


class NormaliseKspaced(MapTransform):
    """Divides kspace by the 99th percentile of its zero-filled magnitude, recorded in scale; invertible."""

    def __init__(self, keys: Any = "kspace", percentile: float = 99.0) -> None:
        super().__init__(keys)
        self.percentile = percentile

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            peak = float(d[key].abs().max())
            kspace = (d[key].to(torch.complex128) / peak if peak > 0 else d[key]).to(torch.complex64)
            level = float(np.percentile(rss(ifft2c(kspace)).numpy(), self.percentile))
            level = level if level > 0 else 1.0
            d[key], d["scale"] = kspace / level, peak * level if peak > 0 else 1.0
        return d

    def inverse(self, data: Data) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = d[key] * d["scale"]
        return d


class NoiseEstimated(Transform):
    """kspace and mask to noise: sigma of each real and imaginary part in kspace's units, source, reliable."""

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        return dict(data) | {"noise": asdict(estimate_noise(data["kspace"], data["mask"]))}


class CoilMapsd(Transform):
    """kspace and mask to coil_maps, estimated or from `file` (dataset coil_maps, (coils, rows, cols) or per slice)."""

    def __init__(self, file: str | None = None) -> None:
        self.file = file

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        kspace, d = data["kspace"], dict(data)
        if self.file is not None:
            d["coil_maps"], d["coil_map_source"] = read_coil_maps(self.file, kspace.shape, data.get("slice", 0)), "file"
        elif len(kspace) > 1:
            d["coil_maps"], d["coil_map_source"] = estimate_coil_maps(kspace, data["mask"])
        else:
            d["coil_map_source"] = "none"
        return d


def read_coil_maps(path: str, shape: torch.Size, index: int) -> torch.Tensor:
    """Coil maps from the dataset `coil_maps` of an HDF5 file, normalised to S^H S = 1; (coils, rows, cols)."""
    import h5py

    if not Path(path).is_file():
        raise InputError(f"{path}: no such file for --coil-maps")
    try:
        with h5py.File(path) as file:
            maps = file["coil_maps"]
            array = maps[index] if maps.ndim == 4 else maps[()]
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path}: no readable dataset coil_maps for slice {index}") from error
    if array.shape != tuple(shape) or not np.iscomplexobj(array):
        raise InputError(f"{path}: coil_maps must be complex of shape {tuple(shape)}, found {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: coil_maps hold NaN or Inf")
    tensor = torch.from_numpy(array.astype(np.complex64))
    return tensor / rss(tensor).clamp_min(1e-12) * (rss(tensor) > 0)


class ZeroFilledd(Transform):
    """kspace, mask and coil_maps to zero_filled, the prior mean mu."""

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        maps = data.get("coil_maps")
        image = adjoint(data["kspace"][None], data["mask"][None], None if maps is None else maps[None])[0]
        return dict(data) | {"zero_filled": image}
