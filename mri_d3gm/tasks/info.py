"""What a file holds, for a person and for programs: nothing of the patient, and nothing is reconstructed."""

from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, position_known, reading, slice_axis, spacing
from mri_d3gm.io.images.pictures import FORMATS, Picture, read_picture
from mri_d3gm.io.open_image import READERS, open_image
from mri_d3gm.io.open_scan import SCAN_READERS, open_scan, scan_endings
from mri_d3gm.io.raw.foreign import FOREIGN
from mri_d3gm.io.sampling import center_lines, mean_accel, partial_fourier
from mri_d3gm.io.scan import Reading, Scan

Facts = dict[str, Any]
SERIES = {  # of DICOM's attributes those of scanner and sequence
    "vendor": "Manufacturer",
    "model": "ManufacturerModelName",
    "field (T)": "MagneticFieldStrength",
    "sequence": "ScanningSequence",
    "acquisition": "MRAcquisitionType",
    "TR (ms)": "RepetitionTime",
    "TE (ms)": "EchoTime",
    "TI (ms)": "InversionTime",
    "flip angle": "FlipAngle",
}


def facts_of_file(path: str | Path, how: Reading) -> Facts:
    """Facts of k-space, an image or a picture by name, in the order in which they are read; InputError for what is none."""
    target, name = Path(path), Path(path).name.lower()
    if not target.exists():
        raise InputError(f"{path}: no such file or folder")
    if target.is_file():
        scans = [reader.recognises for reader in SCAN_READERS.values()] + [known.recognises for known in FOREIGN]
        with reading(path):
            scan = any(recognises(target) for recognises in scans)
            image = not scan and any(reader.recognises(target) for reader in READERS.values())
        if scan:
            return facts_of_scan(open_scan(path, how))
        if not image:
            if name.endswith(tuple(FORMATS)):
                return facts_of_picture(read_picture(path))
            if name.endswith(scan_endings()):
                return facts_of_scan(open_scan(path, how))
    return facts_of_image(open_image(path))


def facts_of_scan(scan: Scan) -> Facts:
    """What a scan holds, without its parts' own facts."""
    facts: Facts = dict(scan.facts)
    name = next((name for name, reader in SCAN_READERS.items() if reader.recognises(Path(scan.name))), "")
    facts = {"format": facts.pop("format", name), **facts}
    facts |= {
        "k-space": f"{scan.rows} x {scan.cols}" + (", readout oversampling removed" if scan.oversampled else ""),
        "image": f"{scan.recon_shape[0]} x {scan.recon_shape[1]}",
        "voxel (mm)": [round(size, 4) for size in scan.voxel_mm],
        "slices": scan.slices,
        "coils": scan.coils,
        "frames": scan.frames,
    }
    if scan.frames > 1:
        facts |= {"frames are": scan.frame_axis or "unknown", "time step (s)": scan.time_step}
    facts |= {"parts": list(scan.parts), **sampling_facts(scan)}
    facts["noise"] = "unknown, to be estimated" if scan.noise is None else "measured"
    facts["calibration lines apart"] = scan.calibration is not None
    facts["coil maps"] = scan.coil_maps is not None
    facts["reconstruction in the file"] = scan.read_reference is not None
    return facts | place_facts(scan.affine, scan.position_known) | {"warnings": list(scan.warnings)}


def sampling_facts(scan: Scan) -> Facts:
    """How much of k-space was measured, on average over images, and what was encoded of it."""
    encoded = {
        f"encoded {axis}": f"{limits[0]} to {limits[1] - 1}"
        for axis, limits in (("rows", scan.row_limits), ("columns", scan.limits))
        if limits is not None
    }
    if scan.mask is None:
        return {"sampling": "full", **encoded}
    masks = [mask if scan.row_limits is None else mask[slice(*scan.row_limits)] for mask in scan.own_masks()]
    kind = "2-D" if min(scan.mask.shape) > 1 else "lines along the readout" if scan.mask.shape[0] > 1 else "lines"
    centre = np.min([center_lines(mask) for mask in scan.own_masks()], 0)
    part = partial_fourier(scan.mask, scan.limits)
    return {
        "sampling": kind,
        "R": round(mean_accel(masks, scan.limits), 3),
        "centre lines": " x ".join(str(size) for size, whole in zip(centre, scan.mask.shape, strict=True) if whole > 1),
        "partial Fourier": None if part is None else round(part, 3),
        **encoded,
        "mask differs by image": scan.masks is not None,
    }


def place_facts(affine: np.ndarray, known: bool) -> Facts:
    """Where voxels lie."""
    return {"axes": axis_codes(affine), "position known": known, "affine": np.round(affine, 4).tolist()}


def axis_codes(affine: np.ndarray) -> str:
    """Towards where each axis of voxels runs most: R or L, A or P, S or I. The most certain axis chooses first, as in nibabel,
    whose import takes longer than all else here.
    """
    directions, codes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0), [""] * 3
    left = abs(directions)
    for axis in np.argsort(-left.max(0), kind="stable"):
        world = int(left[:, axis].argmax())
        codes[axis] = ("LR", "PA", "IS")[world][int(directions[world, axis] > 0)]
        left[world] = -1
    return "".join(codes)


def facts_of_image(image: Image) -> Facts:
    """What an image holds."""
    source, shape = image.source, image.array.shape
    dicom = "format" not in source
    facts: Facts = {"format": source.get("format", "DICOM"), "matrix": " x ".join(map(str, shape[:3]))}
    facts["voxel (mm)"] = [round(size, 4) for size in spacing(image)]
    facts["slices along"] = "ijk"[slice_axis(image)]
    facts["frames"] = shape[3] if len(shape) == 4 else 1
    if len(shape) == 4:
        facts["time step (s)"] = image.time_step
    facts |= {name: source[key] for name, key in SERIES.items() if dicom and key in source}
    facts["values"] = [float(image.array.min()), float(image.array.max())]
    return facts | place_facts(image.affine, position_known(image))


def facts_of_picture(picture: Picture) -> Facts:
    """What a photograph holds."""
    rows, cols, channels = picture.array.shape
    return {
        "format": picture.format,
        "matrix": f"{rows} x {cols}",
        "colours": channels,
        "bits": picture.bits,
        "alpha": picture.alpha is not None,
        "colour profile": picture.icc is not None,
    }
