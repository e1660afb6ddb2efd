"""What a file holds, for a person and for programs: nothing of the patient, and nothing is reconstructed."""

from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.io.image import Image, spacing
from mri_d3gm.io.open_image import READERS, open_image
from mri_d3gm.io.open_scan import SCAN_READERS, open_scan
from mri_d3gm.io.scan import Reading, Scan

Facts = dict[str, Any]


def facts_of_file(path: str | Path, how: Reading) -> Facts:
    """Facts of k-space or of an image by name, in the order in which they are read; InputError for what is neither."""
    target = Path(path)
    if target.is_dir() or (target.is_file() and any(_knows(reader.recognises, target) for reader in READERS.values())):
        return facts_of_image(open_image(path))
    return facts_of_scan(open_scan(path, how))


def _knows(recognises: Any, path: Path) -> bool:
    return bool(recognises(path))


def facts_of_scan(scan: Scan) -> Facts:
    """What a scan holds, without its parts' own facts."""
    facts: Facts = dict(scan.facts)
    name = next((name for name, reader in SCAN_READERS.items() if _knows(reader.recognises, Path(scan.name))), "")
    facts = {"format": facts.pop("format", name), **facts}
    facts |= {
        "k-space": f"{scan.rows} x {scan.cols}" + (", readout oversampling removed" if scan.oversampled else ""),
        "image": f"{scan.recon_shape[0]} x {scan.recon_shape[1]}",
        "voxel (mm)": [round(size, 4) for size in scan.voxel_mm],
        "slices": scan.slices,
        "coils": scan.coils,
    }
    if scan.frames > 1:
        facts |= {"frames": scan.frames, "frames are": scan.frame_axis or "unknown", "time step (s)": scan.time_step}
    if scan.parts:
        facts["parts"] = list(scan.parts)
    facts |= sampling_facts(scan)
    facts["noise"] = "unknown, to be estimated" if scan.noise is None else "measured"
    facts["calibration lines apart"] = scan.calibration is not None
    facts["coil maps"] = scan.coil_maps is not None
    return facts | place_facts(scan.affine, scan.position_known) | {"warnings": list(scan.warnings)}


def sampling_facts(scan: Scan) -> Facts:
    """How much of k-space was measured."""
    if scan.mask is None:
        return {"sampling": "full"}
    inside = np.broadcast_to(scan.mask, (scan.rows, scan.cols))
    outside = scan.outside()
    encoded = np.ones_like(inside) if outside is None else ~np.broadcast_to(outside, inside.shape)
    kind = "2-D" if min(scan.mask.shape) > 1 else "lines along the readout" if scan.mask.shape[0] > 1 else "lines"
    share = (inside & encoded).sum() / encoded.sum()
    return {"sampling": kind, "R": round(1 / float(share), 3), "mask differs by image": scan.masks is not None}


def place_facts(affine: np.ndarray, known: bool) -> Facts:
    """Where voxels lie."""
    import nibabel

    codes = "".join(nibabel.aff2axcodes(affine))
    return {"axes": codes, "position known": known, "affine": np.round(affine, 4).tolist()}


def facts_of_image(image: Image) -> Facts:
    """What an image holds."""
    facts: Facts = {"format": "image", "matrix": " x ".join(map(str, image.array.shape))}
    facts["voxel (mm)"] = [round(size, 4) for size in spacing(image)]
    if image.array.ndim == 4:
        facts["time step (s)"] = image.time_step
    low, high = float(image.array.min()), float(image.array.max())
    return facts | {"values": [low, high]} | place_facts(image.affine, True)
