"""Frames of MR DICOM files: where each lies in space, how its values are scaled, and when it was taken.

Tiles of a Siemens mosaic are frames too.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_private import csa_numbers, private
from mri_d3gm.io.dicom.dicom_series import Source, part_of, text_of

if TYPE_CHECKING:
    from pydicom import Dataset

ORDER = (
    "EffectiveEchoTime", "TemporalPositionIndex", "TemporalPositionTimeOffset", "FrameAcquisitionNumber",
    "EchoNumbers", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber",
)  # fmt: skip
CONTRAST = "EchoTime", "InversionTime", "FlipAngle", "RepetitionTime", "DiffusionBValue"
ENHANCED = {"EchoTime": "EffectiveEchoTime", "InversionTime": "InversionTimes"}  # names of enhanced objects


@dataclass(frozen=True)
class Frame:
    """One image of a file: its frame, or its tile, `number`, of shape (rows, columns).

    position, directions (of increasing column, of increasing row): LPS, mm; spacing: (between rows, between columns), mm;
    thickness: mm, 0 where unknown; distance: mm between slices as the header says it, else their thickness; slope, intercept:
    from stored values; part: see `part_of`; order: sorts frames of one position, and is equal where nothing tells them apart;
    contrast: by DICOM's names, equal in all frames where volumes differ by time alone; clocks: when it was taken, s, by
    the offset of its volume, behind the trigger, by its own date and time and by AcquisitionTime, nan where unknown; step: s
    between volumes as the header says it, 0 where it does not.
    """

    source: Source
    number: int
    shape: tuple[int, int]
    position: np.ndarray
    directions: np.ndarray
    spacing: tuple[float, float]
    thickness: float
    distance: float
    slope: float
    intercept: float
    part: str
    order: tuple[float, ...]
    contrast: dict[str, Any]
    clocks: tuple[float, ...]
    step: float

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)

    @property
    def name(self) -> str:
        """Its file, and its number in that from 1 where the file has several frames."""
        several = int(self.source.header.get("NumberOfFrames") or 1) > 1
        return self.source.name + (f" (frame {self.number + 1})" if several else "")


def frames_of(source: Source) -> list[Frame]:
    """The frames of a source with their geometry; InputError where it lacks any."""
    header = source.header
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    count = int(header.get("NumberOfFrames") or 1)
    if not per_frame:
        if count > 1:
            raise InputError(f"{source.name}: holds {count} images without positions; export classic or enhanced MR DICOM")
        if float(private(header, "ImagesInGrid") or 1) > 1:
            raise InputError(f"{source.name}: is a grid of slices by United Imaging; export its slices one by one")
        frame = _frame(source, 0, _values(header), [header])
        return _tiles(frame) if "MOSAIC" in (header.get("ImageType") or []) else [frame]
    if len(per_frame) != count:
        raise InputError(f"{source.name}: says {count} frames but describes {len(per_frame)}; export it again")
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    common, of_vendor = _values(*_items(shared), header), [*_items(shared, True), header]
    return [
        _frame(source, number, common | _values(*_items(groups)), [*_items(groups, True), *of_vendor])
        for number, groups in enumerate(per_frame)
    ]


def _items(groups: Any, of_vendor: bool = False) -> Iterator["Dataset"]:
    """The first item of every functional group of the standard, or of the vendor."""
    for element in groups:
        if element.VR == "SQ" and element.value and element.tag.is_private == of_vendor:
            yield element.value[0]


def _values(*places: "Dataset") -> dict[str, Any]:
    """Values by keyword, each from the first place that has one."""
    elements = (element for place in reversed(places) for element in place)
    return {element.keyword: element.value for element in elements if element.value is not None and element.value != ""}


def _frame(source: Source, number: int, values: dict[str, Any], private_places: "list[Dataset]") -> Frame:
    """Frame `number` of a source, of these values by keyword, its private attributes in the first place that has them."""

    def numbers(name: str, count: int) -> np.ndarray:
        found = values.get(name)
        if found is None or np.size(found) != count or not np.isfinite(array := np.array(found, float)).all():
            raise InputError(f"{source.name}: has no usable {name}, so it has no place in space; export it with geometry")
        return array

    rows, columns = numbers("PixelSpacing", 2)
    directions = numbers("ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if not (abs(lengths - 1) < 0.01).all() or abs(directions[0] @ directions[1]) > 0.01:
        raise InputError(f"{source.name}: its ImageOrientationPatient is not two perpendicular unit vectors")
    slope, intercept = _scaling(values, private_places)
    if "DiffusionBValue" not in values:
        values = values | {"DiffusionBValue": _private(private_places, "DiffusionBValue")}
    offset = _number(values, "TemporalPositionTimeOffset", nan)
    trigger = _number(values, "TriggerTime", _number(values, "NominalCardiacTriggerDelayTime", nan)) / 1000
    times = (_seconds(values.get(name)) for name in ("FrameAcquisitionDateTime", "AcquisitionTime"))
    indices = np.ravel(values.get("DimensionIndexValues", [])).tolist()
    return Frame(
        source=source,
        number=number,
        shape=(int(source.header.Rows), int(source.header.Columns)),
        position=numbers("ImagePositionPatient", 3),
        directions=directions / lengths,
        spacing=(float(rows), float(columns)),
        thickness=abs(_number(values, "SliceThickness")),
        distance=abs(_number(values, "SpacingBetweenSlices") or _number(values, "SliceThickness")),
        slope=slope,
        intercept=intercept,
        part=part_of(values, source.header),
        order=(*(_number(values, name) for name in ORDER), *indices, number),
        contrast={"ImageType": text_of(values, "FrameType") or text_of(values, "ImageType")} | _contrast(values),
        clocks=(offset, trigger, *times),
        step=_step(values),
    )


def _number(values: dict[str, Any], name: str, default: float = 0.0) -> float:
    """A number that an image can be read without: the default where it is missing, several or damaged."""
    with suppress(TypeError, ValueError):
        found = float(values[name]) if name in values else default
        return found if isfinite(found) else default
    return default


def _contrast(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers of CONTRAST, and the direction of the diffusion gradient, where they are known."""
    values = values | {name: values[other] for name, other in ENHANCED.items() if other in values}
    known: dict[str, Any] = {name: number for name in CONTRAST if isfinite(number := _number(values, name, nan))}
    with suppress(TypeError, ValueError, KeyError):
        groups = values.get("DiffusionGradientDirectionSequence")
        direction = [float(part) for part in (groups[0] if groups else values)["DiffusionGradientOrientation"]]
        if len(direction) == 3 and any(direction) and all(map(isfinite, direction)):
            known["DiffusionGradientOrientation"] = direction
    return known


def _scaling(values: dict[str, Any], private_places: "list[Dataset]") -> tuple[float, float]:
    """Slope and intercept from stored to the image's values.

    Philips scales each image for its display; its private scale slope undoes that, as dcm2niix does by default: see
    Chenevert et al., Errors in quantitative image analysis due to platform-dependent image scaling, 2014.
    """
    slope, intercept = float(values.get("RescaleSlope", 0)) or 1.0, float(values.get("RescaleIntercept", 0))
    precise = _number({"ScaleSlope": _private(private_places, "ScaleSlope")}, "ScaleSlope")
    return (1 / precise, intercept / (slope * precise)) if precise > 0 else (slope, intercept)


def _private(places: "list[Dataset]", name: str) -> Any:
    """A private attribute in the first place that has it, None where there is none."""
    return next((value for place in places if (value := private(place, name)) is not None), None)


def _step(values: dict[str, Any]) -> float:
    """Seconds between volumes that the header names: its temporal resolution, or the TR of EPI, whose shot is a slice."""
    resolution = _number(values, "TemporalResolution") / 1000
    epi = "EP" in text_of(values, "ScanningSequence").split("\\") or values.get("EchoPlanarPulseSequence") == "YES"
    single = _number(values, "NumberOfAverages") <= 1 and values.get("MRAcquisitionType") != "3D"
    derived = text_of(values, "ImageType").startswith("DERIVED")
    return resolution or (_number(values, "RepetitionTime") / 1000 if epi and single and not derived else 0.0)


def _seconds(time: Any) -> float:
    """A DICOM time, or date and time, as seconds since midnight; nan where it is none."""
    found = re.fullmatch(r"(?:\d{8})?(\d\d)(\d\d)(\d\d(?:\.\d+)?)(?:[+-]\d{4})?", str(time).strip())
    return 3600 * float(found[1]) + 60 * float(found[2]) + float(found[3]) if found else nan


# mosaics


def _tiles(mosaic: Frame) -> list[Frame]:
    """The slices of a Siemens mosaic, row by row, along the slice normal of its CSA header.

    Its ImagePositionPatient is that of the first slice if it were as large as the mosaic, about the same centre.
    """
    header, name = mosaic.source.header, mosaic.source.name
    csa = private(header, "CSAImageHeaderInfo")
    csa = csa if isinstance(csa, bytes) else b""
    normal = np.array(csa_numbers(csa, "SliceNormalVector")[:3])
    listed = csa_numbers(csa, "NumberOfImagesInMosaic")[:1]
    count = int(private(header, "NumberOfImagesInMosaic") or (listed[0] if listed else 0))
    if count < 1 or normal.shape != (3,) or not mosaic.distance:
        raise InputError(
            f"{name}: is a Siemens mosaic whose number, direction or distance of slices was removed from its header; "
            "export it with private attributes, or give a NIfTI file"
        )
    side, along = ceil(sqrt(count)), float(normal @ mosaic.normal)
    rows, columns = mosaic.shape[0] // side, mosaic.shape[1] // side
    if (rows * side, columns * side) != mosaic.shape or not 0.99 < abs(along) < 1.01:
        raise InputError(f"{name}: is a Siemens mosaic that does not fit its header's {count} slices; export it again")
    margin = (mosaic.shape[1] - columns) / 2 * mosaic.spacing[1], (mosaic.shape[0] - rows) / 2 * mosaic.spacing[0]
    first, step = mosaic.position + margin @ mosaic.directions, np.sign(along) * mosaic.distance * mosaic.normal
    return [
        replace(mosaic, number=index, shape=(rows, columns), position=first + index * step, order=(*mosaic.order[:-1], index))
        for index in range(count)
    ]


def untiled(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The tiles (tiles, rows, columns) of a mosaic of tiles of a shape, row by row."""
    rows, columns = shape
    tiles = image.reshape(image.shape[0] // rows, rows, image.shape[1] // columns, columns)
    return tiles.swapaxes(1, 2).reshape(-1, rows, columns)
