"""The study that a derived DICOM series belongs to: of the source's DICOM, of a template, or of what raw data say."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_frames import frames_of
from mri_d3gm.io.dicom.dicom_series import IDENTITY, Source, find_images, identity, open_files, repeated, text_of
from mri_d3gm.io.image import reading
from mri_d3gm.io.stamps import stamps

if TYPE_CHECKING:
    from pydicom import Dataset

    from mri_d3gm.io.scan import Scan

MAKER = "mri-d3gm"
PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod",
)  # fmt: skip
STUDY = (
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
SPACE = "FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition"
EXAMINED = "BodyPartExamined", "Laterality"
SCANNER = "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength"
MEASURED = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "InversionTime",
    "FlipAngle", "EchoTrainLength", "ImagedNucleus", "SliceThickness", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)  # fmt: skip
DESCRIBED = "ProtocolName", "SeriesDescription"
# attributes of SCANNER and so on by names of the facts of raw data
FACTS = {
    "vendor": "Manufacturer", "model": "ManufacturerModelName", "field (T)": "MagneticFieldStrength",
    "protocol": "ProtocolName", "patient position": "PatientPosition", "TR (ms)": "RepetitionTime", "TE (ms)": "EchoTime",
    "slice thickness (mm)": "SliceThickness",
}  # fmt: skip
UIDS = "StudyInstanceUID", "FrameOfReferenceUID"
NOBODY = {"", "X", "ANONYMOUS", "ANONYMIZED", "UNKNOWN"}  # names that anonymisers give, repeated letters as one


class Study(NamedTuple):
    """What a derived series takes over: attributes as text by keyword, which may identify the patient.

    last: the largest number of a series of others; taken: numbers of all series that are known to be in the study; series: UIDs
    of others'; spaces: boxes (2, 3) in mm (LPS) of the images of each frame of reference; digest: of patient, study and
    instances, which tells two studies apart and names nobody.
    """

    attributes: Mapping[str, str]
    last: int = 0
    taken: frozenset[int] = frozenset()
    series: frozenset[str] = frozenset()
    spaces: Mapping[str, tuple[np.ndarray, ...]] = {}
    digest: str = ""


def uid_of(*parts: object) -> str:
    """The UID of a content: equal parts, equal UIDs; of the form that UUIDs have."""
    digest = bytearray(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80  # a UUID of version 8
    return f"2.25.{int.from_bytes(digest, 'big')}"


def read_template(path: str | Path) -> Study:
    """The study of a folder, .zip or file of MR DICOM; read once while its files stay as they are.

    Series of this software count only where there are no others. InputError for what holds no MR image, several patients or
    studies, or no study.
    """
    target = Path(path)
    files = sorted(target.rglob("*")) if target.is_dir() else [target]
    return _read(target, stamps(files))


@lru_cache(maxsize=8)
def _read(path: Path, _: Any) -> Study:
    with warnings.catch_warnings(), reading(path, "its DICOM headers cannot be used"), open_files(path) as files:
        warnings.simplefilter("ignore")  # pydicom's name values
        return _study(path, find_images(path, files))


def _study(path: Path, every: list[Source]) -> Study:
    """The study of all images that were found."""
    sources = [source for source in every if text_of(source.header, "Manufacturer") != MAKER] or every
    pairs = [[identity(name, text_of(source.header, name)) for name in IDENTITY] for source in sources]
    patients = {(number, "" if number else name) for number, name in pairs}
    if len(patients) > 1:
        raise InputError(f"{path}: holds images of {len(patients)} patients; give a series of one as the template")
    studies = {text_of(source.header, "StudyInstanceUID") for source in sources}
    if len(studies) > 1:
        raise InputError(f"{path}: holds images of {len(studies)} studies; give a series of one as the template")
    if studies == {""}:
        raise InputError(f"{path}: its images name no study; give a series of the study as the template")
    found = repeated(sources)
    kept = {name: found[name] for name in (*PATIENT, *STUDY, *EXAMINED, *SCANNER, *SPACE[1:]) if name in found}
    instances = sorted(text_of(source.header, "SOPInstanceUID") for source in sources)
    digest = hashlib.sha256(repr((sorted(found.items()), instances)).encode()).hexdigest()
    series = frozenset(text_of(source.header, "SeriesInstanceUID") for source in sources)
    last = max(_numbers(source.header for source in sources), default=0)
    return Study(kept, last, _numbers(source.header for source in every), series, _spaces(sources), digest)


def _numbers(headers: "Iterable[Mapping[str, Any] | Dataset]") -> frozenset[int]:
    """Numbers of series."""
    numbers = (text_of(header, "SeriesNumber") for header in headers)
    return frozenset(int(number) for number in numbers if number.isdecimal())


def _spaces(sources: Iterable[Source]) -> dict[str, tuple[np.ndarray, ...]]:
    """Boxes of images by frame of reference; images without a place have none."""
    boxes: dict[str, list[np.ndarray]] = {}
    for source in sources:
        space = text_of(source.header, "FrameOfReferenceUID")
        with suppress(InputError):
            for frame in frames_of(source):
                ends = [step * (size - 1) for step, size in zip(frame.spacing, frame.shape, strict=True)]
                across, down = frame.directions[0] * ends[1], frame.directions[1] * ends[0]
                corners = frame.position + np.stack([0 * across, across, down, across + down])
                boxes.setdefault(space, []).append(np.stack([corners.min(0), corners.max(0)]))
    return {space: tuple(found) for space, found in boxes.items() if space}


def study_of_source(source: Mapping[str, Any]) -> Study:
    """The study of an image from DICOM (`Image.source`); without one where it is from another format."""
    named = {*PATIENT, *STUDY, *SPACE, *EXAMINED, *SCANNER, *MEASURED, *DESCRIBED}
    attributes = {name: str(value) for name, value in source.items() if name in named}
    numbers, uid = _numbers([source]), str(source.get("SeriesInstanceUID", ""))
    return Study(attributes, max(numbers, default=0), numbers, frozenset([uid] if uid else []))


def study_of_scan(scan: "Scan") -> Study:
    """What the header of raw data says of scanner, sequence and study, without the patient and what its volumes differ in."""
    said = {keyword: str(scan.facts[name]) for name, keyword in FACTS.items() if scan.facts.get(name) not in (None, "")}
    left_out = {"PatientID", *(["EchoTime"] if scan.contrasts else [])}
    return Study({name: value for name, value in (said | dict(scan.study)).items() if name not in left_out})


def check_same(template: str, study: Study, own: Mapping[str, str]) -> None:
    """InputError where a template's patient or position in the scanner is not that which the input itself names, or where it
    names nobody and is of another study.
    """
    ours, theirs = (_somebody(values.get("PatientID", "")) for values in (own, study.attributes))
    joined = own.get("StudyInstanceUID") == study.attributes.get("StudyInstanceUID")
    if ours and theirs and ours != theirs:
        raise InputError(f"{template}: the template is of another patient than the input; give a series of the same study")
    if ours and not theirs and not joined:
        raise InputError(f"{template}: the template names no patient and is of another study; give a series of the same study")
    positions = own.get("PatientPosition", ""), study.attributes.get("PatientPosition", "")
    if all(positions) and positions[0] != positions[1]:
        found = f"the patient lies {positions[1]} in the template and {positions[0]} in the input"
        raise InputError(f"{template}: {found}; give a series of the same examination")


def _somebody(name: str) -> str:
    """An identifier that names someone, '' for what anonymisers write."""
    once = "".join(letter for place, letter in enumerate(name.upper()) if not place or letter != name.upper()[place - 1])
    return "" if once in NOBODY else identity("PatientID", name)


def shared_space(study: Study, corners: np.ndarray) -> str:
    """The frame of reference of the template's images that a volume of these corners overlaps; '' for none, or several."""
    found = {
        space
        for space, boxes in study.spaces.items()
        if any((corners[0] <= box[1] + 1).all() and (box[0] <= corners[1] + 1).all() for box in boxes)
    }
    return found.pop() if len(found) == 1 else ""


def anonymous(study: Study) -> Study:
    """A study as DICOM's Basic Application Level Confidentiality Profile (PS3.15, E.2) leaves it.

    What says who, when, where and why is gone. The same UID always becomes the same other one.
    """
    kept = {name: study.attributes[name] for name in (*SPACE, *EXAMINED, *SCANNER, *MEASURED) if name in study.attributes}
    kept |= {name: uid_of("anonymous", study.attributes[name]) for name in UIDS if name in study.attributes}
    return study._replace(attributes=kept)
