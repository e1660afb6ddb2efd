"""Siemens raw data (twix) of the readouts that raw_files measures."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from raw_files import Blob, Protocol, Shot, shots
from twix_files import measurement, protocol, quaternion, readout, write_raid

FLAGS = {"noise": "NOISEADJSCAN", "calibration": "PATREFSCAN", "both": "PATREFANDIMASCAN", "navigator": "PHASCOR"}
COUNTERS = {
    "kspace_encode_step_1": "Lin",
    "kspace_encode_step_2": "Par",
    "slice": "Sli",
    "average": "Ave",
    "contrast": "Eco",
    "phase": "Phs",
    "repetition": "Rep",
    "set": "Set",
}


def write_twix_of(path: Path, objects: Sequence[Blob], made: Protocol, seed: int = 0) -> Path:
    """The twix file of a measurement.

    A quaternion turns and does not mirror: where axes are left-handed the slices or partitions are counted the other way.
    """
    if np.linalg.det(made.orientation) < 0:
        turned = made.orientation * [[1], [1], [-1]]
        made = replace(made, orientation=turned, slices=[-offset for offset in made.slices])
    return write_twix_shots(path, shots(objects, made, seed), made)


def write_twix_shots(path: Path, every: Iterable[Shot], made: Protocol, *, vb: bool = False) -> Path:
    """The twix file of readouts, of VB or later, right-handed."""
    middles = made.middles or (made.matrix[1] // 2, made.matrix[2] // 2)
    turn = quaternion((np.zeros(3), *made.orientation))
    head = {"Quaternion": turn, "CenterLin": middles[0], "CenterPar": middles[1] if made.matrix[2] > 1 else 0}
    data = []
    for shot in every:
        counters = {COUNTERS[name]: number for name, number in shot.counters.items()}
        flags = [FLAGS[str(shot.kind)]] if shot.kind != "imaging" else []
        more = {"vb": True} if vb else {}
        data.append(readout(shot.data, flags=flags, SlicePos=shot.position, CenterCol=shot.centre, **head, **counters, **more))
    content = measurement(parts_of(made), data, vb)
    if not vb:
        return write_raid(path, [content])
    path.write_bytes(content)
    return path


def parts_of(made: Protocol) -> dict[str, str]:
    """The parts of the protocol; a field of view that is cut is oversampling to Siemens, along all axes."""
    image, solid = made.image or made.matrix, made.matrix[2] > 1
    sizes = [size * mm for size, mm in zip(image, made.voxel, strict=True)]
    times = [whole / kept for whole, kept in zip(made.matrix, image, strict=True)]
    slab = {"sKSpace__dSliceOversamplingForDialog": times[2] - 1, "sKSpace__lImagesPerSlab": image[2]} if solid else {}
    return protocol(
        image[0],
        made.matrix[1],
        partitions=made.matrix[2],
        fov=(sizes[0], sizes[1], sizes[2] if solid else made.voxel[2]),
        oversampling=made.oversampling * times[0],
        sKSpace__dPhaseOversamplingForDialog=times[1] - 1,
        **slab,
        **{"sRXSPEC__alDwellTime[0]": round(1000 * made.dwell[0])},
    )
