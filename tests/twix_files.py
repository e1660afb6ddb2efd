"""Makes Siemens raw data (twix) for tests, VB and VD, from the layouts that twixtools defines."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from twixtools import hdr_def, mdh_def

from mri_d3gm.io.scan import fft1c, ifft1c

Geometry = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # positions (slices, 3), readout, phase encode, across; LPS
FLAT: Geometry = (np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 8.0]]), *np.eye(3))
ASCCONV = "### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData ###\n{}\n### ASCCONV END ###\n"


def quaternion(geometry: Geometry) -> np.ndarray:
    """(w, x, y, z) of the rotation whose columns are phase encode, readout and slice, turned around."""
    _, read, phase, across = geometry
    matrix = -np.stack([phase, read, across], 1)
    assert np.linalg.det(matrix) > 0.99, "readout, phase encode and slices are right-handed"
    squares = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) @ np.diag(matrix)
    first = np.argmax(squares)
    pairs = np.zeros((4, 4))
    pairs[0, 1:] = matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]
    pairs[1, 2:] = matrix[0, 1] + matrix[1, 0], matrix[0, 2] + matrix[2, 0]
    pairs[2, 3] = matrix[1, 2] + matrix[2, 1]
    pairs = pairs + pairs.T + np.diag(1 + squares)
    return pairs[first] / np.linalg.norm(pairs[first])


def readout(
    data: np.ndarray, *, vb: bool = False, flags: Sequence[str] = (), coils: Sequence[int] = (), **fields: Any
) -> bytes:
    """Samples (coils, samples) with their heads; fields: of the head, or of its counters, by twixtools' names."""
    head = np.zeros((), np.dtype(mdh_def.VB17_header if vb else mdh_def.Scan_header))
    head["MeasUID"], head["SamplesInScan"], head["UsedChannels"] = 7, data.shape[1], data.shape[0]
    head["EvalInfoMask"] = sum(1 << mdh_def.mask_dict[name] for name in flags)
    for name, value in fields.items():
        if name in ("SlicePos", "Quaternion"):
            head["SliceData"][name] = tuple(value) if name == "SlicePos" else value
        elif name in head["Counter"].dtype.names:
            head["Counter"][name] = value
        else:
            head[name] = value
    numbers = coils or range(data.shape[0])
    if vb:
        parts = []
        for number, samples in zip(numbers, data, strict=True):
            head["ChannelId"], head["FlagsAndDMALength"] = number, 128 + 8 * data.shape[1]
            parts.append(head.tobytes() + samples.astype("<c8").tobytes())
        return b"".join(parts)
    head["FlagsAndDMALength"] = 192 + data.shape[0] * (32 + 8 * data.shape[1])
    parts = [head.tobytes()]
    for number, samples in zip(numbers, data, strict=True):
        channel = np.zeros((), np.dtype(mdh_def.Channel_header))
        channel["ChannelId"], channel["MeasUID"] = number, 7
        parts.append(channel.tobytes() + samples.astype("<c8").tobytes())
    return b"".join(parts)


def end_mark(vb: bool = False) -> bytes:
    """The mark at the end of a measurement."""
    head = np.zeros((), np.dtype(mdh_def.VB17_header if vb else mdh_def.Scan_header))
    head["EvalInfoMask"], head["MeasUID"], head["FlagsAndDMALength"] = 1, 7, head.dtype.itemsize + 160
    return head.tobytes() + bytes(160)


def readouts(
    kspace: np.ndarray,
    geometry: Geometry = FLAT,
    *,
    solid: bool = False,
    lines: Iterable[int] | None = None,
    order: Iterable[int] | None = None,
    centre: int | None = None,
    **fields: Any,
) -> list[bytes]:
    """K-space (slices or, of a solid, partitions, coils, rows, cols) as readouts, slice after slice in an order, with the lines
    of columns `lines`, of which `centre` is counted as that of k-space's centre; fields: of all heads.
    """
    cols, found = kspace.shape[3], []
    shift = 0 if centre is None else centre - cols // 2
    for number in order or range(len(kspace)):
        where = {"Par": number, "CenterPar": len(kspace) // 2} if solid else {"Sli": number}
        for line in range(cols) if lines is None else lines:
            head = {"Lin": line + shift, "CenterLin": cols // 2 + shift, "CenterCol": kspace.shape[2] // 2, **where}
            head |= {"SlicePos": geometry[0][0 if solid else number], "Quaternion": quaternion(geometry), **fields}
            found.append(readout(kspace[number, :, :, line], **head))
    return found


def protocol(
    base: int,
    lines: int,
    *,
    partitions: int = 1,
    fov: tuple[float, float, float] = (96.0, 60.0, 5.0),
    oversampling: float = 2.0,
    **more: Any,
) -> dict[str, str]:
    """Parts of a protocol, by name; more: further values of the flat one, with __ for a point and numbers in brackets."""
    values: dict[str, Any] = {
        "sKSpace.lBaseResolution": base,
        "sKSpace.lPhaseEncodingLines": lines,
        "sKSpace.lPartitions": partitions,
        "sKSpace.ucDimension": "0x4" if partitions > 1 else "0x2",
        "sKSpace.ucTrajectory": "0x1",
        "sSliceArray.asSlice[0].dReadoutFOV": fov[0],
        "sSliceArray.asSlice[0].dPhaseFOV": fov[1],
        "sSliceArray.asSlice[0].dThickness": fov[2],
        "sRXSPEC.alDwellTime[0]": 2400,
        "tProtocolName": '"gre"',
        "alTR[0]": 100000,
    } | {name.replace("__", "."): value for name, value in more.items()}
    meas: Mapping[str, tuple[str, Any]] = {
        "iPEFTLength": ("Long", lines),
        "i3DFTLength": ("Long", partitions),
        "flReadoutOSFactor": ("Double", f"<Precision> 6 {oversampling}"),
        "tPatientPosition": ("String", '"HFS"'),
        "alRegridMode": ("Long", "1 1"),
    }
    meas = {name: (kind, more.get(name, value)) for name, (kind, value) in meas.items()}
    text = "".join(f'<Param{kind}."{name}"> {{ {value} }}\n' for name, (kind, value) in meas.items())
    yaps = "\n".join(f"{name}\t = \t{value}" for name, value in values.items())
    dicom = '<ParamString."SoftwareVersions"> { "syngo MR E11" }\n<ParamString."ManufacturersModelName"> { "Skyra" }\n'
    parts = {"Config": "", "Dicom": dicom, "Meas": text, "MeasYaps": ASCCONV.format(yaps)}
    return parts | {"Phoenix": parts["MeasYaps"], "Spice": ""}


def measurement(parts: Mapping[str, str], data: Iterable[bytes], vb: bool = False) -> bytes:
    """A protocol, readouts, and the mark of the end; what is no readout counts itself."""
    content = b"".join(
        name.encode() + b"\0" + struct.pack("<I", len(text) + 2) + text.encode() + b"\n\0" for name, text in parts.items()
    )
    length = -(-(8 + len(content)) // 32) * 32
    if vb:
        length = max(length, 10240)
    counted = [part[:8] + struct.pack("<I", number + 1) + part[12:] for number, part in enumerate(data)]
    return (struct.pack("<2I", length, len(parts)) + content).ljust(length, b"\0") + b"".join(counted) + end_mark(vb)


def write_raid(path: Path, measurements: Sequence[bytes]) -> Path:
    """A file of VD or later of several measurements."""
    table, at, parts = np.zeros((), hdr_def.MultiRaidFileHeader), 10240, []
    table["hdr"]["count_"] = len(measurements)
    for number, content in enumerate(measurements):
        table["entry"][number]["off_"], table["entry"][number]["len_"] = at, len(content)
        parts.append(content.ljust(-(-len(content) // 512) * 512, b"\0"))
        at += len(parts[-1])
    path.write_bytes(table.tobytes().ljust(10240, b"\0") + b"".join(parts))
    return path


def write_twix(
    path: Path,
    kspace: np.ndarray,
    *,
    geometry: Geometry = FLAT,
    oversampling: int = 2,
    noise: np.ndarray | None = None,
    solid: bool = False,
    vb: bool = False,
    fov: tuple[float, float, float] = (96.0, 60.0, 5.0),
    **fields: Any,
) -> Path:
    """Writes k-space (slices, coils, rows, cols), of a solid (partitions, coils, rows, cols); rows hold the oversampling.

    noise: (coils, samples). fov: mm of the image along readout, phase encode and across. fields: as in `readouts`.
    """
    data = [] if noise is None else [readout(noise, vb=vb, flags=("NOISEADJSCAN",))]
    data += readouts(kspace, geometry, solid=solid, **({"vb": True} if vb else {}), **fields)
    partitions = len(kspace) if solid else 1
    parts = protocol(
        kspace.shape[2] // oversampling, kspace.shape[3], partitions=partitions, fov=fov, oversampling=oversampling
    )
    content = measurement(parts, data, vb)
    if vb:
        path.write_bytes(content)
        return path
    return write_raid(path, [content])


def oversampled(kspace: np.ndarray, factor: int = 2) -> np.ndarray:
    """K-space (..., rows, cols) with zeros around the image along rows."""
    rows = kspace.shape[-2]
    image = ifft1c(kspace, -2)
    before = (rows * factor - rows) // 2
    wide = np.zeros((*kspace.shape[:-2], rows * factor, kspace.shape[-1]), np.complex64)
    wide[..., before : before + rows, :] = image
    return fft1c(wide, -2).astype(np.complex64)
