"""Writer of DICOM: the std map of a series as float Parametric Maps, whose values are those of the data."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.io.dicom.dicom_planes import Planes, scale_of
from mri_d3gm.io.dicom.dicom_study import MAKER, uid_of
from mri_d3gm.io.dicom.write_dicom import COMMENTS, Made, add, dated, decimals, put, removed, versions, window
from mri_d3gm.io.dicom.write_enhanced import anatomy
from mri_d3gm.io.image import silent

if TYPE_CHECKING:
    from pydicom import Dataset


def write_map(folder: Path, planes: Planes, shown: "list[Dataset]", made: Made, number: int) -> None:
    """Write 0001.dcm, and one more for each further time, into a new folder.

    planes: standard deviations, on the grid of the series `shown`, whose patient, study and labels they take over; number: of
    the series. Real-world values are in the units of the data.
    """
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    folder.mkdir()
    scale, first = scale_of(planes.images), shown[0]
    values = (planes.images * 10.0**scale.power).astype(np.float32)
    series = uid_of("std", first.SeriesInstanceUID)
    each = len(shown) // len(values) or 1
    for time, volume in enumerate(values):
        mapping = RealWorldValueMapping(
            lut_label="STD",
            lut_explanation="standard deviation of the error to expect",
            unit=codes.UCUM.NoUnits,
            value_range=(float(volume.min()), float(volume.max())),
            slope=10.0**-scale.power,
            intercept=0.0,
            quantity_definition=codes.SCT.StandardDeviation,
        )
        limits = {name: float(value) for name, value in window(scale).items()}
        with warnings.catch_warnings(), silent("highdicom"):
            warnings.simplefilter("ignore")
            item = ParametricMap(
                source_images=shown[time * each : (time + 1) * each] or shown,
                pixel_array=volume,
                series_instance_uid=series,
                series_number=number,
                sop_instance_uid=uid_of(series, time),
                instance_number=time + 1,
                manufacturer=MAKER,
                manufacturer_model_name=MAKER,
                software_versions=versions(made),  # type: ignore[arg-type]
                device_serial_number=first.DeviceSerialNumber,
                contains_recognizable_visual_features=False,
                real_world_value_mappings=[mapping],
                window_center=limits["WindowCenter"],
                window_width=limits["WindowWidth"],
                derived_pixel_contrast="STD_DEVIATION",
                content_label="STD",
                content_description="standard deviation of the error to expect",
                **places(planes, first),
            )
            labels(item, first, made)
            item.save_as(folder / f"{time + 1:04d}.dcm", enforce_file_format=True)


def places(planes: Planes, shown: "Dataset") -> dict[str, Any]:
    """Where the images of one volume lie, as highdicom's arguments; their thickness is that of the series shown."""
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    def numbers(values: Any) -> list[float]:
        return [float(value) for value in decimals(values)]

    rows, columns, step = numbers(planes.spacing)
    groups = shown.get("SharedFunctionalGroupsSequence")
    thickness = float((groups[0].PixelMeasuresSequence[0] if groups else shown).SliceThickness)
    return {
        "pixel_measures": PixelMeasuresSequence([rows, columns], slice_thickness=thickness, spacing_between_slices=step),
        "plane_orientation": PlaneOrientationSequence("PATIENT", numbers(planes.directions)),
        "plane_positions": [PlanePositionSequence("PATIENT", numbers(position)) for position in planes.positions],
    }


def labels(item: "Dataset", shown: "Dataset", made: Made) -> None:
    """What the series shown says of patient and of what was done, and of the map itself."""
    for name in ("ContributingEquipmentSequence", "PatientPosition", "BodyPartExamined"):
        if name in shown:
            item[name] = shown[name]
    put(item, {"SeriesDescription": f"{made.title} std", "DerivationDescription": made.derivation})
    add(item, ImageComments=COMMENTS, BurnedInAnnotation="NO", PositionReferenceIndicator=shown.PositionReferenceIndicator)
    add(item, ContentCreatorName=None)
    groups, known = item.SharedFunctionalGroupsSequence[0], shown.get("SharedFunctionalGroupsSequence")
    body = anatomy(shown.get("BodyPartExamined", ""), shown.get("Laterality") or "")
    add(groups, FrameAnatomySequence=known[0].FrameAnatomySequence if known else [body])
    add(groups.PixelValueTransformationSequence[0], RescaleSlope="1", RescaleIntercept="0")  # not 1.0 and 0.0: values of a list
    removed(item, made)
    dated(item, made)
