"""Training slices from folders: NIfTI volumes, PNG and JPEG pictures, fastMRI files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.errors import InputError
from mri_d3gm.physics.fft import fft2c, ifft2c


@dataclass(frozen=True)
class Slice:
    """One magnitude image (rows, cols), its 99.5th percentile 1, and how often it is drawn relative to others."""

    image: Tensor
    weight: float
    name: str


def _volume(path: Path) -> np.ndarray:
    """Magnitudes (slices, rows, cols) float32 of one file."""
    if path.name.endswith((".nii", ".nii.gz")):
        import nibabel

        image = nibabel.load(path)  # type: ignore[attr-defined]
        volume = np.asarray(image.dataobj, np.float32)  # type: ignore[attr-defined]
        volume = volume[..., 0] if volume.ndim == 4 else volume
        zooms = image.header.get_zooms()[:3]  # type: ignore[attr-defined]
        return np.moveaxis(volume, int(np.argmax(zooms)) if max(zooms) > 1.5 * min(zooms) else 2, 0)
    if path.suffix == ".h5":
        from mri_d3gm.io.fastmri_h5 import open_scan, read_reference

        scan = open_scan(path)
        references = [read_reference(scan, index) for index in range(scan.slices)]
        if any(reference is None for reference in references):
            raise InputError(f"{path}: no fully sampled reference to train on; leave undersampled files out")
        return np.stack([reference for reference in references if reference is not None])
    from PIL import Image

    picture = Image.open(path)
    return np.asarray(picture if picture.mode.startswith("I") else picture.convert("L"), np.float32)[None]


def limit_band(image: Tensor, size: int) -> Tensor:
    """Keep the central `size` x `size` of k-space, for pictures that a scanner interpolated."""
    kspace = fft2c(image.to(torch.complex64))
    start = [max(0, (n - size) // 2) for n in image.shape]
    kept = kspace[start[0] : start[0] + size, start[1] : start[1] + size]
    return ifft2c(kept).abs()


def load_slices(data: Path, sources: list[dict[str, Any]]) -> list[Slice]:
    """All slices of `sources`, entries {glob, weight, exclude?: glob, max_size?: int}, below the folder `data`.

    Slices that are nearly empty are left out. weight is per file of a source: a slice gets weight / slices^(1/2).
    """
    slices: list[Slice] = []
    for source in sources:
        excluded = {path for pattern in source.get("exclude", []) for path in data.glob(pattern)}
        paths = sorted(set(data.glob(source["glob"])) - excluded)
        if not paths:
            raise InputError(f"{data}: nothing matches {source['glob']}; --data must be the folder it is relative to")
        for path in paths:
            volume = _volume(path)
            peak = float(np.percentile(volume, 99.5))
            kept = [index for index in range(len(volume)) if (volume[index] > 0.1 * peak).mean() > 0.05]
            for index in kept:
                image = torch.from_numpy(np.ascontiguousarray(volume[index]))
                if "max_size" in source:
                    image = limit_band(image, source["max_size"])
                level = float(np.percentile(image.numpy(), 99.5))
                if level > 0:
                    weight = source.get("weight", 1.0) / len(kept) ** 0.5
                    slices.append(Slice(image / level, weight, f"{path.name}:{index}"))
    return slices
