"""MR images among the files of a folder or a .zip, grouped into DICOM series, of which one is chosen."""

import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mri_d3gm.errors import InputError
from mri_d3gm.io.bounds import check_stream, check_unpacked, inflated, open_whole
from mri_d3gm.io.dicom.dicom_private import private, private_tags
from mri_d3gm.io.image import reading

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_ZIP_BYTES = 16 << 30  # of all members, unpacked
TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "ImageType",
    "ComplexImageComponent", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "ModalityLUTSequence", "NumberOfFrames", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope",
    "RescaleIntercept", "EchoNumbers", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
# what a series derived from this one repeats, where it is the same in all images
REPEATED = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyID",
    "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime", "ProtocolName", "Modality",
    "BodyPartExamined", "Laterality", "PatientPosition", "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength",
    "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle",
    "EchoTrainLength", "ImagedNucleus", "ScanOptions", "SliceThickness", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
# tell volumes apart, and when they were taken
TIMING = (
    "TemporalResolution", "TriggerTime", "AcquisitionTime", "NumberOfAverages", "EchoPlanarPulseSequence", "DiffusionBValue",
    "DiffusionGradientOrientation",
)  # fmt: skip
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
IDENTITY = ("PatientID", "PatientName")
PARTS = {"P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imaginary", "IMAGINARY": "imaginary"}
PARTS |= {"B0 MAP": "field map", "B0": "field map"}
PARTS_OF_GE = {1: "phase", 2: "real", 3: "imaginary"}
MR_STORAGE = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Source:
    """A DICOM file: a path, or a member of a .zip; its header without pixels is read once."""

    path: Path
    member: str | None
    header: "Dataset"

    @property
    def name(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"


def is_dicom(path: Path) -> bool:
    """Whether a path may hold DICOM: a folder, a .zip, or a file that begins as DICOM does."""
    return path.is_dir() or zipfile.is_zipfile(path) or _is_dicom_file(path)


def _is_dicom_file(path: Path) -> bool:
    with reading(path), path.open("rb") as file:
        head = file.read(132)
    return has_preamble(head) or is_bare(head)


def has_preamble(head: bytes) -> bool:
    """Whether bytes 128 to 131 are DICM."""
    return head[128:132] == b"DICM"


def is_bare(head: bytes) -> bool:
    """Whether bytes could begin a data set without preamble, and perhaps without file meta information.

    That is a first element, little endian, of group 2 or 8 and an even, small length, behind a VR or not. It keeps pydicom,
    which takes any file for DICOM once it is forced to, away from most others.
    """
    if len(head) < 8 or head[:2] not in (b"\2\0", b"\10\0") or head[3] != 0:
        return False
    length = head[6:8] if head[4:6].isalpha() and head[4:6].isupper() else head[4:8]
    return int.from_bytes(length, "little") % 2 == 0 and int.from_bytes(length, "little") < 1024


class Files:
    """The files of a folder, or of a .zip: names in order, and opening them."""

    def __init__(self, path: Path, archive: zipfile.ZipFile | None) -> None:
        self.path, self.archive = path, archive

    def names(self) -> Iterator[tuple[Path, str | None]]:
        if self.archive is not None:
            yield from ((self.path, item.filename) for item in self.archive.infolist() if not item.is_dir())
        elif self.path.is_dir():
            yield from ((path, None) for path in sorted(self.path.rglob("*")) if path.is_file())
        else:
            yield self.path, None
            rest = (path for path in sorted(self.path.parent.iterdir()) if path.is_file() and path != self.path)
            yield from ((path, None) for path in rest)

    def open(self, path: Path, member: str | None) -> BinaryIO:
        if self.archive is None or member is None:
            return open_whole(path)
        return io.BytesIO(self.archive.read(member))  # a packed stream cannot seek back cheaply


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """The files of a folder, a .zip or one DICOM file's folder, a .zip being closed at the end; InputError for others."""
    with ExitStack() as stack:
        archive = None
        with reading(path, "is not a DICOM file, a folder or a whole .zip"):
            if not path.is_dir() and not _is_dicom_file(path):
                if not zipfile.is_zipfile(path):
                    raise InputError(f"{path}: not a DICOM file nor a whole .zip; export it again")
                archive = stack.enter_context(zipfile.ZipFile(path))
                _check_zip(path, archive)
        yield Files(path, archive)


def _check_zip(path: Path, archive: zipfile.ZipFile) -> None:
    items = archive.infolist()
    size = sum(item.file_size for item in items)
    packed = sum(item.compress_size for item in items)
    if size > MAX_ZIP_BYTES:
        raise InputError(f"{path}: unpacks to {size / 1e9:.1f} GB, too much for a series; unpack it and give the folder")
    check_unpacked(path, size // 4, size, packed)
    if any(item.flag_bits & 1 for item in items):
        raise InputError(f"{path}: is encrypted; unpack it and give the folder")


def find_images(path: Path, files: Files) -> list[Source]:
    """All sources that hold MR pixels, each once; of a single file, those of its series."""
    found: dict[str, Source] = {}
    others: list[str] = []
    wanted = None
    for place, member in files.names():
        header = _header(files, place, member)
        given = place == path and member is None  # one file was given: it comes first
        if header is None and given:
            raise InputError(f"{path}: not a DICOM file; export it again")
        if header is None:
            continue
        if given:
            wanted = text_of(header, "SeriesInstanceUID")
        if wanted is not None and wanted != text_of(header, "SeriesInstanceUID"):
            continue
        source = Source(place, member, header)
        problem = _problem(source)
        if problem is None:
            # a copy of a file counts once; anonymisers may give all images of a series one UID
            key = " ".join(text_of(header, name) for name in ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient"))
            found.setdefault(key, source)
        else:
            others.append(problem)
    if not found:
        held = ", ".join(sorted(set(others))[:5])
        raise InputError(f"{path}: holds no MR image" + (f", only {held}; " if held else " and no DICOM; ") + "give MR DICOM")
    return list(found.values())


def _header(files: Files, path: Path, member: str | None) -> "Dataset | None":
    """The header without pixels, None for a file that is not DICOM; InputError for one that is cut within it."""
    import pydicom

    name = str(path) if member is None else f"{path}:{member}"
    with reading(name, "is a damaged DICOM file"):
        with files.open(path, member) as file:
            head = file.read(132)
        bare = not has_preamble(head)
        if bare and not is_bare(head):
            return None
        with files.open(path, member) as file:
            check_deflated(name, file)
            tags: list[Any] = [*TAGS, *_optional()]
            header = pydicom.dcmread(file, stop_before_pixels=True, force=bare, specific_tags=tags)
        if bare and not re.fullmatch(r"[\d.]+", text_of(header, "SOPClassUID")) and not has_pixels(header):
            return None
        for tag in _optional().intersection(header.keys()):
            try:
                str(header[tag].value)
            except Exception:  # pydicom's converters raise anything
                del header[tag]
        for _ in (*header.file_meta.iterall(), *header.iterall()):
            pass  # pydicom converts a value, and finds it damaged, when it is first asked for
        return header


def series_of(path: Path) -> str:
    """The UID of a DICOM file's series; '' for another file, and for one that cannot be read."""
    with suppress(InputError, OSError):
        header = _header(Files(path, None), path, None)
        return "" if header is None else text_of(header, "SeriesInstanceUID")
    return ""


@cache
def _optional() -> frozenset[int]:
    """Tags that are read, but are not needed to read an image: damage to them is no reason to refuse it."""
    from pydicom.datadict import tag_for_keyword

    named = (tag_for_keyword(keyword) for keyword in {*REPEATED, *TIMING, *PADDING} - set(TAGS))
    return frozenset(private_tags()).union(tag for tag in named if tag is not None)


def check_deflated(name: str, file: BinaryIO) -> None:
    """InputError where a deflated data set unpacks to too much, as pydicom unpacks all of it; back to the start."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    read_preamble(file, force=True)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        packed = file.read()
        check_stream(name, inflated(packed, -zlib.MAX_WBITS), len(packed))
    file.seek(0)


def has_pixels(header: "Dataset") -> bool:
    """Whether a header describes an image."""
    return all(name in header for name in ("Rows", "Columns", "BitsAllocated"))


def _problem(source: Source) -> str | None:
    """What a DICOM object is, where it is no monochrome MR image; InputError for an MR image cut short."""
    header = source.header
    kind = text_of(header, "SOPClassUID") or text_of(header.file_meta, "MediaStorageSOPClassUID")
    if kind in ("", *MR_STORAGE) and not has_pixels(header):
        raise InputError(f"{source.name}: the file is truncated; copy or export it again")
    if not has_pixels(header):
        return "objects without pixels"
    if int(header.get("SamplesPerPixel", 1)) != 1 or not text_of(header, "PhotometricInterpretation").startswith("MONO"):
        return "colour images"
    if kind.startswith(SECONDARY_CAPTURE):
        return "secondary captures"
    modality = text_of(header, "Modality")
    return None if modality == "MR" else f"images of modality {modality or 'unknown'}"


def text_of(header: "Mapping[str, Any] | Dataset", name: str) -> str:
    """An attribute as text with single blanks and without NUL, several values joined by backslashes; '' where it is missing."""
    value = header.get(name)
    several = value if isinstance(value, MutableSequence) else [value]
    return " ".join("\\".join("" if item is None else str(item) for item in several).replace("\0", " ").split())


def part_of(values: "Mapping[str, Any] | Dataset", header: "Dataset") -> str:
    """What a frame of these values shows: '' for magnitude, else phase, real, imaginary or field map."""
    kind = text_of(values, "FrameType") or text_of(values, "ImageType")
    for word in (*kind.upper().split("\\")[2:], text_of(values, "ComplexImageComponent").upper()):
        if word in PARTS:
            return PARTS[word]
    found = private(header, "ImagePart")
    return PARTS_OF_GE.get(found, "") if isinstance(found, int) else ""


def repeated(sources: Sequence[Source]) -> dict[str, str]:
    """The attributes of REPEATED that have one value in all sources, as text by keyword; those identify the patient too."""
    texts = {name: [text_of(source.header, name) for source in sources] for name in REPEATED}
    alike = {name: {identity(name, text) if name in IDENTITY else text for text in each} for name, each in texts.items()}
    return {name: each[0] for name, each in texts.items() if len(alike[name]) == 1 and alike[name] != {""}}


def identity(name: str, text: str) -> str:
    """PatientID or PatientName, whichever `name` says, in the one form that all ways of writing it have.

    They differ in case, blanks, composed accents and empty parts at the end. Of a name in several scripts the first counts.
    """
    if name == "PatientName":
        text = next((group for group in text.split("=") if group), "")
    parts = unicodedata.normalize("NFC", text).casefold().split("^")
    return "^".join(" ".join(part.split()) for part in parts).rstrip("^")


# choice of a series


def choose_series(path: Path, sources: list[Source], series: str | None) -> list[Source]:
    """The sources of the one series there is or that `series` names: number, UID or description."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(text_of(source.header, "SeriesInstanceUID"), []).append(source)
    if series is None and len(groups) == 1:
        return _of_one(path, sources)
    if series is None:
        raise InputError(f"{path}: holds several series: {_listed(groups)}; choose one with --series N")
    text = " ".join(series.split())
    for name in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        named = [uid for uid, group in groups.items() if text_of(group[0].header, name).lower() == text.lower()]
        if len(named) == 1:
            return _of_one(path, groups[named[0]])
        if named:
            raise InputError(f"{path}: several series are called {text}; give one's UID to --series: {', '.join(named)}")
    raise InputError(f"{path}: holds no series {text}, but {_listed(groups)}; choose one with --series N")


def _of_one(path: Path, sources: list[Source]) -> list[Source]:
    """The sources of a series; InputError where they are of several patients, which are not named."""
    ids, names = ([identity(name, text_of(source.header, name)) for source in sources] for name in IDENTITY)
    for name, found in zip(IDENTITY, (ids, [] if all(ids) else names), strict=True):  # one ID may have several names
        count = len({*found} - {""})
        if count > 1:
            number = text_of(sources[0].header, "SeriesNumber")
            raise InputError(f"{path}: series {number} holds images of {count} patients ({name} differs); give those of one")
    return sources


def _listed(groups: dict[str, list[Source]], limit: int = 30) -> str:
    items = []
    for uid, group in groups.items():
        header = group[0].header
        number = text_of(header, "SeriesNumber") or uid
        count = sum(int(source.header.get("NumberOfFrames") or 1) for source in group)
        parts = {part_of(source.header, source.header) for source in group}
        what = "" if "" in parts else "/".join(sorted(parts)) + " "
        items.append((number, f"{number} '{text_of(header, 'SeriesDescription')}' ({count} {what}image{'s' * (count > 1)})"))
    items.sort(key=lambda item: (len(item[0]), item[0]))
    return ", ".join(text for _, text in items[:limit]) + (f" and {len(items) - limit} more" if len(items) > limit else "")
