"""Tiny MR DICOM series for the tests: a landmark voxel whose position in the world is known."""

import struct
from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

ROWS, COLUMNS, SLICES = 6, 8, 5
SPACING = (1.5, 0.75)  # between rows, between columns, mm
LANDMARK = (6, 1, 3)  # column, row, slice
OBLIQUE = ((0.8, 0.6, 0.0), (0.0, 0.0, -1.0))
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
ORIGIN = np.array([-10.0, 20.0, 30.0])  # LPS, of the first slice

IDENTITY = {"PatientName": "ZZMARKED^NAME", "PatientID": "7", "StudyInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}


def stack(slices: int = SLICES) -> np.ndarray:
    """(slices, rows, columns) uint16, texture below 100 and 900 at LANDMARK."""
    data = np.random.default_rng(0).integers(1, 100, (slices, ROWS, COLUMNS)).astype(np.uint16)
    data[LANDMARK[2], LANDMARK[1], LANDMARK[0]] = 900
    return data


def position(index: int, directions: Any = AXIAL, step: float = 4.0) -> np.ndarray:
    """LPS position of the first voxel of a slice."""
    return ORIGIN + index * step * np.cross(*np.array(directions))


def landmark(directions: Any = AXIAL, step: float = 4.0) -> np.ndarray:
    """RAS position of LANDMARK, computed from the definition of DICOM's attributes alone."""
    column, row, index = LANDMARK
    along_columns, along_rows = np.array(directions)
    lps = position(index, directions, step) + along_columns * SPACING[1] * column + along_rows * SPACING[0] * row
    return lps * (-1, -1, 1)


def dataset(pixels: np.ndarray, syntax: Any = ExplicitVRLittleEndian, **values: Any) -> Dataset:
    """An MR image without geometry; pixels: uint16 (rows, columns) or (frames, rows, columns)."""
    item = Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = syntax
    item.SOPClassUID = MRImageStorage
    item.SOPInstanceUID = generate_uid()
    item.SeriesInstanceUID = "1.2.3"
    item.SeriesNumber, item.SeriesDescription, item.Modality = 4, "t2_tse", "MR"
    item.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    item.Rows, item.Columns = pixels.shape[-2:]
    item.SamplesPerPixel, item.PhotometricInterpretation, item.PixelRepresentation = 1, "MONOCHROME2", 0
    item.BitsAllocated, item.BitsStored, item.HighBit = 16, 16, 15
    item.PixelData = pixels.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
    item["PixelData"].VR = "OW"
    for name, value in values.items():
        setattr(item, name, value)
    return item


def save(item: Dataset, path: Path) -> Path:
    item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    item.save_as(path, enforce_file_format=True)
    return path


def slices(directions: Any = AXIAL, step: float = 4.0, data: np.ndarray | None = None, **values: Any) -> list[Dataset]:
    """Datasets of a classic series, in order of position; InstanceNumbers run the other way, with gaps."""
    data = stack() if data is None else data
    return [
        dataset(
            pixels,
            **{
                "PixelSpacing": list(SPACING),
                "ImageOrientationPatient": [float(x) for row in directions for x in row],
                "ImagePositionPatient": [float(x) for x in position(index, directions, step)],
                "SliceThickness": 3.0,
                "InstanceNumber": 1 + 8 * (len(data) - index),
            }
            | values,
        )
        for index, pixels in enumerate(data)
    ]


def write_series(folder: Path, items: list[Dataset] | None = None, name: str = "im{:03d}.dcm", **values: Any) -> Path:
    """Save datasets, or a classic series, under names that do not follow position; the folder."""
    items = slices(**values) if items is None else items
    order = np.random.default_rng(1).permutation(len(items))
    for number, index in enumerate(order):
        save(items[index], folder / name.format(number))
    return folder


def add_private(item: Dataset, creator: str, group: int, element: int, kind: str, value: Any) -> Dataset:
    item.private_block(group, creator, create=True).add_new(element, kind, value)
    return item


def csa(**fields: Sequence[str]) -> bytes:
    """A CSA header of fields of text, each behind one that has no items, and with bytes behind the name's end."""
    content = b"SV10\4\3\2\1" + struct.pack("<2I", 2 * len(fields), 77)
    for name, texts in fields.items():
        content += struct.pack("<64si4s3i", b"Before\0" + name.encode(), 1, b"DS", 3, 0, 205)
        content += struct.pack("<64si4s3i", name.encode() + b"\0rest", len(texts), b"FD", 4, len(texts) + 1, 77)
        for text in (*texts, ""):
            data = text.encode() + b"\0" if text else b""
            content += struct.pack("<4i", len(data), len(data), 77, len(data)) + data + bytes(-len(data) % 4)
    return content


def mosaic(
    data: np.ndarray, directions: Any = AXIAL, step: float = 4.0, numbers: str = "private and csa", **values: Any
) -> Dataset:
    """A Siemens mosaic of (slices, rows, columns), tiles in a square; a negative step: against the normal of the directions.

    numbers: where the number of slices stands.
    """
    count, rows, columns = data.shape
    side = ceil(sqrt(count))
    image = np.zeros((side, rows, side, columns), np.uint16)
    for index, pixels in enumerate(data):
        image[index // side, :, index % side] = pixels
    along_columns, along_rows = np.array(directions)
    margin = along_columns * SPACING[1] * columns * (side - 1) / 2 + along_rows * SPACING[0] * rows * (side - 1) / 2
    given = {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        "Manufacturer": "SIEMENS",
        "PixelSpacing": list(SPACING),
        "ImageOrientationPatient": [float(x) for row in directions for x in row],
        "ImagePositionPatient": [round(float(x), 8) for x in position(0, directions) - margin],
        "SpacingBetweenSlices": abs(step),
        "SliceThickness": 3.0,
    }
    item = dataset(image.reshape(side * rows, side * columns), **given | values)
    fields = {"SliceNormalVector": [f"{x:.8f}" for x in np.sign(step) * np.cross(along_columns, along_rows)]}
    if "csa" in numbers:
        fields["NumberOfImagesInMosaic"] = [f"{count}      "]
    add_private(item, "SIEMENS CSA HEADER", 0x29, 0x10, "OB", csa(**fields))
    if "private" in numbers:
        add_private(item, "SIEMENS MR HEADER", 0x19, 0x0A, "US", count)
    return item


def _group(**values: Any) -> list[Dataset]:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


def write_enhanced(
    path: Path,
    directions: Any = AXIAL,
    step: float = 4.0,
    echoes: int = 1,
    slope: float = 1.0,
    data: np.ndarray | None = None,
    groups: Any = None,
    **values: Any,
) -> Path:
    """An enhanced multi-frame file, its frames in reverse order; frame values x slope x (1 + slice) + echo.

    data: (times, slices, rows, columns), as scaled by values, if not `stack` so scaled; groups(slice, time): more functional
    groups of a frame, by name.
    """
    volumes = stack()[None] if data is None else data
    counts = echoes, *volumes.shape[:2]
    order = [(echo, time, index) for index, time, echo in np.ndindex(*counts[::-1])][::-1]
    pixels = np.stack([volumes[time, index] for _, time, index in order])
    scaling = {name: values.pop(name) for name in ("RescaleSlope", "RescaleIntercept") if name in values}
    item = dataset(pixels, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=len(order), **values)
    shared = Dataset()
    shared.PixelMeasuresSequence = _group(PixelSpacing=list(SPACING), SliceThickness=3.0)
    item.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for echo, time, index in order:
        frame = Dataset()
        frame.PlanePositionSequence = _group(ImagePositionPatient=[float(x) for x in position(index, directions, step)])
        orientation = [float(x) for row in directions for x in row]
        frame.PlaneOrientationSequence = _group(ImageOrientationPatient=orientation)
        scale = scaling or {"RescaleSlope": slope * (1 + index), "RescaleIntercept": float(echo)}
        frame.PixelValueTransformationSequence = _group(**scale, RescaleType="US")
        frame.MREchoSequence = _group(EffectiveEchoTime=10.0 * (1 + echo))
        for name, content in (groups(index, time) if groups else {}).items():
            setattr(frame, name, _group(**content))
        frames.append(frame)
    item.PerFrameFunctionalGroupsSequence = frames
    return save(item, path)
