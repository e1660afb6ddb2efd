"""Writer of DICOM: a derived MR series, an object an image (MR Image Storage), with the labels of what was done.

Attributes that the source or a template holds are taken over as `dicom_study` says; the rest is said here.
"""

import math
import re
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mri_d3gm.io.dicom.dicom_planes import Planes, Scale, stored
from mri_d3gm.io.dicom.dicom_study import DESCRIBED, EXAMINED, MAKER, MEASURED, PATIENT, STUDY, Study, uid_of

if TYPE_CHECKING:
    from pydicom import Dataset

COMMENTS = "research only, not for diagnosis"
LOSSY = "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"
NEEDED = (
    *PATIENT[:2], *PATIENT[3:5], *STUDY[1:4], *STUDY[5:], "PositionReferenceIndicator", "Laterality", "ScanOptions",
    "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength",
)  # fmt: skip
# what joins patient and study: kept as it is, even where it is no valid value
EXACT = (*PATIENT[:3], STUDY[0], STUDY[1], STUDY[5])
# body parts without a side, which have no Laterality (PS3.16, annex L)
UNPAIRED = {
    "ABDOMEN", "ABDOMENPELVIS", "AORTA", "BACK", "BLADDER", "BRAIN", "CEREBELLUM", "CERVIX", "CHEST", "CHESTABDOMEN",
    "CHESTABDPELVIS", "CIRCLEOFWILLIS", "COCCYX", "COLON", "CSPINE", "CTSPINE", "DUODENUM", "ESOPHAGUS", "FACE",
    "GALLBLADDER", "HEAD", "HEADNECK", "HEART", "ILEUM", "JAW", "JEJUNUM", "LARYNX", "LIVER", "LSPINE", "LSSPINE",
    "MAXILLA", "MEDIASTINUM", "MOUTH", "NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "NOSE", "PANCREAS",
    "PELVIS", "PENIS", "PHARYNX", "PROSTATE", "RECTUM", "SCALP", "SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH",
    "THYROID", "TLSPINE", "TONGUE", "TRACHEA", "TSPINE", "URETHRA", "UTERUS", "VAGINA", "VULVA", "WHOLEBODY",
}  # fmt: skip
GATED = "CG", "PPG"  # of the heart
# one day and one time, where pydicom takes ranges too; no year such as the 0001 of anonymisers
WHEN = {"DA": r"[12]\d{7}", "TM": r"[\d.]+"}
TEXTS = {"LO": 64, "SH": 16, "ST": 1024, "LT": 10240}


class Made(NamedTuple):
    """What made a series, of which nothing is of the patient.

    kind: what and how, words of ImageType (RECON, D3GM); title: of the series; derivation: what was done, in words; version: of
    the software; weights: their SHA-256, '' where there are none; identity: what decides the voxels, for UIDs; time: when it
    was done, None where that is not to be said; anonymous: whether the study's patient was removed.
    """

    kind: tuple[str, ...]
    title: str
    derivation: str
    version: str
    weights: str
    identity: str
    time: datetime | None
    anonymous: bool = False


class Place(NamedTuple):
    """Where a series belongs: its number, its frame of reference, and what that is measured from."""

    number: int
    space: str
    reference: str = ""


def series_uid(study: Study, made: Made) -> str:
    """The UID of a series: the same for the same input, settings, weights and study."""
    return uid_of("series", study.attributes["StudyInstanceUID"], made.identity, *made.kind)


def write_series(folder: Path, planes: Planes, scale: Scale, study: Study, made: Made, place: Place) -> "list[Dataset]":
    """Write 0001.dcm and so on, volume after volume, into a new folder; what was written.

    Slices are numbered along their normal. Each volume has one temporal position, or its own contrast where that differs.
    """
    folder.mkdir()
    values, slope, intercept = stored(planes.images, scale.power)
    written = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's of values that the source brought
        for number, (volume, index) in enumerate(np.ndindex(*values.shape[:2]), 1):
            item = labelled(study, made, place, "MRImageStorage", number)
            add(item, ImageType=["DERIVED", "SECONDARY", "OTHER", *made.kind], AcquisitionNumber=volume + 1)
            put_measured(item, study, planes.spacing[2])
            add(
                item,
                ImagePositionPatient=decimals(planes.positions[index]),
                SpacingBetweenSlices=decimals(planes.spacing[2])[0],
            )
            add(item, ImageOrientationPatient=decimals(planes.directions), PixelSpacing=decimals(planes.spacing[:2]))
            if planes.contrasts:
                put_contrast(item, planes.contrasts[volume])
            elif len(values) > 1:
                add(item, TemporalPositionIdentifier=volume + 1, NumberOfTemporalPositions=len(values))
                if planes.time_step is not None:
                    add(item, TemporalResolution=decimals(1000 * planes.time_step)[0])
            put_pixels(item, values[volume, index])
            add(item, RescaleSlope=decimals(slope)[0], RescaleIntercept=decimals(intercept)[0], RescaleType="US")
            add(item, **window(scale), RealWorldValueMappingSequence=[real_world(scale.power, slope, intercept)])
            item.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
            written.append(item)
    return written


def labelled(study: Study, made: Made, place: Place, storage: str, number: int) -> "Dataset":
    """An object of a SOP class's name without image: patient, study, series, equipment and what was done."""
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset

    item, known = Dataset(), study.attributes
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    add(item, SpecificCharacterSet="ISO_IR 192", SOPClassUID=getattr(uid, storage), Modality="MR")
    for name in NEEDED:
        add(item, **{name: None})
    own = {"SeriesInstanceUID": series_uid(study, made), "SeriesNumber": place.number, "InstanceNumber": number}
    add(item, **own, SOPInstanceUID=uid_of(own["SeriesInstanceUID"], storage, number))
    put(item, known, (*PATIENT, *STUDY, *EXAMINED, "PatientPosition"))
    if item.get("BodyPartExamined") in UNPAIRED:
        del item["Laterality"]
    if "PatientPosition" not in item:
        add(item, PatientPosition=None)
    add(item, FrameOfReferenceUID=place.space, PositionReferenceIndicator=place.reference)
    title = " ".join([known[name] for name in DESCRIBED[1:] if name in known] + [made.title])
    put(item, {"SeriesDescription": title} | {name: known[name] for name in DESCRIBED[:1] if name in known})
    add(item, Manufacturer=MAKER, ManufacturerModelName=MAKER, SoftwareVersions=versions(made))
    add(item, DeviceSerialNumber=made.weights[:16] or "none")
    add(item, BurnedInAnnotation="NO", ImageComments=COMMENTS, LossyImageCompression="00")
    put(item, known, LOSSY)
    put(item, {"DerivationDescription": made.derivation})
    add(item, ContributingEquipmentSequence=equipment(known, made))
    removed(item, made)
    dated(item, made)
    return item


PROFILE = "Basic Application Confidentiality Profile"
REMOVED = {
    "PatientIdentityRemoved": "YES",
    "DeidentificationMethod": PROFILE,
    "LongitudinalTemporalInformationModified": "REMOVED",
}


def removed(item: "Dataset", made: Made) -> None:
    """Say whether and how the patient's identity was removed."""
    if made.anonymous:
        add(item, **REMOVED, DeidentificationMethodCodeSequence=[code("113100", "DCM", PROFILE)])
    elif item.get("PatientIdentityRemoved") == "YES" and not item.get("DeidentificationMethod"):
        add(item, DeidentificationMethod="as the source says")


def dated(item: "Dataset", made: Made) -> None:
    """When an object was made; where that is not to be said, a date that is none."""
    date, clock = ("19000101", "000000") if made.time is None else (f"{made.time:%Y%m%d}", f"{made.time:%H%M%S}")
    add(item, InstanceCreationDate=date, InstanceCreationTime=clock, ContentDate=date, ContentTime=clock)


def versions(made: Made) -> list[str]:
    """Of the software, and the beginning of the weights' hash where there are any."""
    return [f"{MAKER} {made.version}", *([f"weights {made.weights[:16]}"] if made.weights else [])]


def equipment(known: Mapping[str, str], made: Made) -> "list[Dataset]":
    """The scanner, where it is known, and this software, with what each did."""
    items = []
    if known.get("Manufacturer"):
        scanner = record(PurposeOfReferenceCodeSequence=[code("109101", "DCM", "Acquisition Equipment")])
        put(scanner, {name: known[name] for name in ("Manufacturer", "ManufacturerModelName") if name in known})
        items.append(scanner)
    own = record(PurposeOfReferenceCodeSequence=[code("109102", "DCM", "Processing Equipment")], Manufacturer=MAKER)
    add(own, ManufacturerModelName=MAKER, SoftwareVersions=versions(made))
    if made.time is not None:
        add(own, ContributionDateTime=made.time.strftime("%Y%m%d%H%M%S"))
    put(own, {"ContributionDescription": made.derivation + (f"; weights SHA-256 {made.weights}" if made.weights else "")})
    return [*items, own]


def put_measured(item: "Dataset", study: Study, step: float) -> None:
    """What is known of the sequence; of one that is not known that it is one of research. step: mm between slices."""
    add(item, ScanningSequence="RM", SequenceVariant="NONE", SliceThickness=decimals(step)[0])
    put(item, study.attributes, (*(name for name in MEASURED if name not in LOSSY), "MagneticFieldStrength"))
    if "IR" in item.ScanningSequence and "InversionTime" not in item:
        add(item, InversionTime=None)
    if any(word in (item.ScanOptions or "") for word in GATED):
        add(item, TriggerTime=None)


def put_contrast(item: "Dataset", contrast: Mapping[str, Any]) -> None:
    """What the contrast of a volume depends on."""
    from pydicom.datadict import dictionary_VR

    for name, value in contrast.items():
        add(item, **{name: decimals(value) if dictionary_VR(name) == "DS" else value})


def put_pixels(item: "Dataset", values: np.ndarray) -> None:
    """Stored values (rows, columns) or (frames, rows, columns) uint16, little endian."""
    rows, columns = values.shape[-2:]
    add(item, Rows=rows, Columns=columns, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelRepresentation=0)
    add(item, BitsAllocated=16, BitsStored=16, HighBit=15, PixelData=values.astype("<u2").tobytes())
    item["PixelData"].VR = "OW"


def window(scale: Scale) -> dict[str, Any]:
    """The one window of a series, in the units that the rescale gives."""
    low, high = (value * 10.0**scale.power for value in (scale.low, scale.high))
    return {"WindowCenter": decimals((low + high) / 2)[0], "WindowWidth": decimals(max(high - low, 1.0))[0]}


def real_world(power: int, slope: float, intercept: float) -> "Dataset":
    """The mapping from stored values to those of the data."""
    unit = 10.0**-power
    return record(
        RealWorldValueFirstValueMapped=0,
        RealWorldValueLastValueMapped=65535,
        RealWorldValueSlope=slope * unit,
        RealWorldValueIntercept=intercept * unit,
        LUTExplanation="values of the data",
        LUTLabel="DATA",
        MeasurementUnitsCodeSequence=[code("1", "UCUM", "no units")],
    )


def decimals(values: Any) -> list[str]:
    """Numbers as DICOM's decimal strings of up to 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(value) + 0.0) for value in np.ravel(values)]  # no -0


def code(value: str, scheme: str, meaning: str) -> "Dataset":
    """A coded concept."""
    return record(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def record(**values: Any) -> "Dataset":
    """A data set of these attributes."""
    from pydicom.dataset import Dataset

    item = Dataset()
    add(item, **values)
    return item


def add(item: "Dataset", **values: Any) -> None:
    """Set attributes by keyword; None leaves one empty. Of an attribute with several kinds it is the first."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for name, value in values.items():
        tag = tag_for_keyword(name)
        assert tag is not None, name
        kind = dictionary_VR(tag).partition(" or ")[0]
        item.add_new(tag, kind, value)


def put(item: "Dataset", known: Mapping[str, str], names: Any = None) -> None:
    """Set those of these attributes that are known and hold what they may; texts that are too long are cut."""
    from pydicom.datadict import dictionary_VR

    for name in known if names is None else names:
        if name in known:
            kind = dictionary_VR(name)
            value = known[name][: TEXTS[kind]] if kind in TEXTS and name not in EXACT else known[name]
            if fits(name, kind, value):
                add(item, **{name: value})


def fits(name: str, kind: str, value: str) -> bool:
    """Whether a value can stand in an attribute of a kind."""
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VM
    from pydicom.valuerep import validate_value

    parts = value.split("\\")
    if len(parts) > 1 and dictionary_VM(name) == "1":
        return False
    if name in EXACT:
        return value.isprintable()
    if name == "PatientSex":
        return value in ("M", "F", "O")
    if kind in WHEN and not re.fullmatch(WHEN[kind], value):
        return False
    try:
        for one in parts:
            validate_value(kind, one, RAISE)
            if kind in ("DS", "IS") and not math.isfinite(float(one)):
                return False
    except ValueError:
        return False
    return True
