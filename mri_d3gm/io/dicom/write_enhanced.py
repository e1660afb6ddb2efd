"""Writer of DICOM: a derived MR series as one object of all images (Enhanced MR Image Storage)."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.io.dicom.dicom_planes import Planes, Scale, stored
from mri_d3gm.io.dicom.dicom_study import Study, uid_of
from mri_d3gm.io.dicom.write_dicom import (
    Made,
    Place,
    add,
    code,
    decimals,
    labelled,
    put,
    put_pixels,
    real_world,
    record,
    window,
)

if TYPE_CHECKING:
    from pydicom import Dataset

# SNOMED CT's codes of body parts, by words of BodyPartExamined; the whole body where none is there
REGIONS = {
    "HEAD": ("69536005", "Head"),
    "BRAIN": ("12738006", "Brain"),
    "KNEE": ("72696002", "Knee"),
    "HEART": ("80891009", "Heart"),
    "ABDOMEN": ("818981001", "Abdomen"),
    "BREAST": ("76752008", "Breast"),
    "PROSTATE": ("41216001", "Prostate"),
}
BODY = ("38266002", "Entire body")
# what may stand in objects of single images alone
CLASSIC = "Laterality", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"
KIND = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
FRAME = {
    "PixelPresentation": "MONOCHROME",
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
    "ComplexImageComponent": "MAGNITUDE",
    "AcquisitionContrast": "UNKNOWN",
}


def write_enhanced(folder: Path, planes: Planes, scale: Scale, study: Study, made: Made, place: Place) -> "list[Dataset]":
    """Write 0001.dcm into a new folder; what was written. Frames are volume after volume, slices along their normal."""
    folder.mkdir()
    values, slope, intercept = stored(planes.images, scale.power)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        item = labelled(study, made, place, "EnhancedMRImageStorage", 1)
        for name in CLASSIC:
            item.pop(name, None)
        add(item, ImageType=KIND, **FRAME, ContentQualification="RESEARCH", PresentationLUTShape="IDENTITY")
        add(item, ApplicableSafetyStandardAgency="UNKNOWN")  # which the scanner knew
        add(item, AcquisitionContextSequence=[], NumberOfFrames=values.shape[0] * values.shape[1])
        put_pixels(item, values.reshape(-1, *values.shape[2:]))
        groups = shared(planes, scale, study, (slope, intercept))
        if made.kind[0] == "SUPERRES":
            add(groups, DerivationImageSequence=[])  # from other images, which are not named
        add(item, SharedFunctionalGroupsSequence=[groups])
        dimensions = uid_of("dimensions", item.SOPInstanceUID)
        add(item, PerFrameFunctionalGroupsSequence=[frame(planes, *index) for index in np.ndindex(*values.shape[:2])])
        add(item, DimensionOrganizationSequence=[record(DimensionOrganizationUID=dimensions)])
        indices = [dimension(dimensions, name) for name in (numbered(planes), "InStackPositionNumber")]
        add(item, DimensionIndexSequence=indices)
        item.save_as(folder / "0001.dcm", enforce_file_format=True)
    return [item]


def shared(planes: Planes, scale: Scale, study: Study, rescale: tuple[float, float]) -> "Dataset":
    """Functional groups of all frames; rescale: slope and intercept."""
    known = study.attributes
    step = decimals(planes.spacing[2])[0]
    slope, intercept = decimals(rescale)
    measures = record(PixelSpacing=decimals(planes.spacing[:2]), SpacingBetweenSlices=step)
    add(measures, SliceThickness=step)
    put(measures, known, ["SliceThickness"])
    return record(
        PixelMeasuresSequence=[measures],
        PlaneOrientationSequence=[record(ImageOrientationPatient=decimals(planes.directions))],
        FrameAnatomySequence=[anatomy(known.get("BodyPartExamined", ""), known.get("Laterality", ""))],
        PixelValueTransformationSequence=[record(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")],
        FrameVOILUTSequence=[record(**window(scale))],
        RealWorldValueMappingSequence=[real_world(scale.power, *rescale)],
        MRImageFrameTypeSequence=[record(FrameType=KIND, **FRAME)],
    )


def anatomy(part: str, side: str) -> "Dataset":
    """The region of a part of the body, and its side, as a functional group says them."""
    region = next((code for word, code in REGIONS.items() if word in part.upper()), BODY)
    return record(AnatomicRegionSequence=[code(region[0], "SCT", region[1])], FrameLaterality=side if side in {*"RLB"} else "U")


def frame(planes: Planes, volume: int, index: int) -> "Dataset":
    """Functional groups of one frame: its time or contrast, and its place."""
    content = record(DimensionIndexValues=[volume + 1, index + 1], StackID="1", InStackPositionNumber=index + 1)
    add(content, **{numbered(planes): volume + 1})
    position = record(ImagePositionPatient=decimals(planes.positions[index]))
    groups = record(FrameContentSequence=[content], PlanePositionSequence=[position])
    if planes.contrasts:
        put_contrast_groups(groups, planes, volume)
    elif len(planes.images) > 1 and planes.time_step is not None:
        add(groups, TemporalPositionSequence=[record(TemporalPositionTimeOffset=volume * planes.time_step)])
    return groups


def numbered(planes: Planes) -> str:
    """The attribute that numbers volumes: of their time, or where their contrast differs of their acquisition."""
    return "FrameAcquisitionNumber" if planes.contrasts else "TemporalPositionIndex"


def put_contrast_groups(groups: "Dataset", planes: Planes, volume: int) -> None:
    """Add what the contrast of a frame depends on to its functional groups, the same groups in all frames."""
    names, contrast = {name for each in planes.contrasts for name in each}, planes.contrasts[volume]
    if all("EchoTime" in each for each in planes.contrasts):
        add(groups, MREchoSequence=[record(EffectiveEchoTime=contrast["EchoTime"])])
    if names & {"DiffusionBValue", "DiffusionGradientOrientation"}:
        add(groups, MRDiffusionSequence=[diffusion(contrast)])


def diffusion(contrast: Mapping[str, Any]) -> "Dataset":
    """The b value, where it is known, and whether its gradient has a direction."""
    item, b = record(), contrast.get("DiffusionBValue")
    direction = contrast.get("DiffusionGradientOrientation")
    if b is not None:
        add(item, DiffusionBValue=b)
    add(item, DiffusionDirectionality="DIRECTIONAL" if direction else "NONE" if b == 0 else "UNKNOWN")
    if direction:
        add(item, DiffusionGradientDirectionSequence=[record(DiffusionGradientOrientation=direction)])
    return item


def dimension(organization: str, attribute: str) -> "Dataset":
    """A dimension of the frames: an attribute of their content."""
    from pydicom.datadict import tag_for_keyword

    pointers: dict[str, Any] = {"DimensionIndexPointer": attribute, "FunctionalGroupPointer": "FrameContentSequence"}
    item = record(DimensionOrganizationUID=organization)
    add(item, **{name: tag_for_keyword(keyword) for name, keyword in pointers.items()})
    return item
