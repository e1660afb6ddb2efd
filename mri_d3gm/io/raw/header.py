"""The ISMRMRD header of raw data and of fastMRI files: matrix, field of view, limits.

The few elements are read by name: the package ismrmrd parses a whole header or nothing, and older files lack elements that it
demands, such as trajectory.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from mri_d3gm.errors import InputError
from mri_d3gm.io.scan import VOXEL

LARGEST = 2**16  # of matrix sizes, which are 16 bits, and of mm
SLICES = "{*}encoding/{*}encodingLimits/{*}slice/{*}maximum"
CARTESIAN = ("cartesian", "epi")  # trajectories
RECEIVERS = "{*}acquisitionSystemInformation/{*}receiverChannels"


class Space(NamedTuple):
    """Matrix size and field of view in mm along readout (x), phase encode (y) and slice (z)."""

    matrix: tuple[int, ...]
    fov: tuple[float, ...]


Number = TypeVar("Number", int, float)
Limits = tuple[int, int, int] | None  # (first, last, centre) of a counter


class Encoding(NamedTuple):
    """Encoded and reconstructed space; limits of lines (first phase-encode axis) and partitions (second), None where the header
    has none; trajectory, in small letters; whether calibration lines are embedded in the scan; the fraction of the receivers'
    bandwidth that noise fills; whether readouts begin or end on the ramps of their gradient; how many slices are excited at
    once; and ms of each echo, as far as they are known.
    """

    encoded: Space
    recon: Space
    lines: Limits
    partitions: Limits = None
    trajectory: str = "cartesian"
    embedded: bool = False
    noise_bandwidth: float = 1.0
    on_ramps: bool = False
    bands: int = 1
    echo_times: tuple[float, ...] = ()


class _Tree(ET.TreeBuilder):
    """Elements of a header without a document type, which ISMRMRD has not and which is where entities are defined."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise InputError("its XML header has a DOCTYPE, in which entities may grow without end; remove it")


def parse_xml(xml: bytes | str) -> ET.Element:
    """The root of a header; ValueError where it is not XML or in an unknown encoding, InputError, without the file's name, for
    a document type.
    """
    try:
        return ET.fromstring(xml, ET.XMLParser(target=_Tree()))
    except InputError:
        raise
    except Exception as error:  # besides ParseError, what codecs raise: LookupError, ValueError, UnicodeError
        raise ValueError("not readable XML") from error


def encoding_of(root: ET.Element, number: int) -> Encoding:
    """The encoding `number`, from 0, of a header; ValueError where it lacks encodedSpace or reconSpace."""
    every = root.findall("{*}encoding")
    if number >= len(every):
        raise ValueError(f"no encoding {number}")
    found = every[number]
    lines, partitions = (_limits(found.find(f"{{*}}encodingLimits/{{*}}kspace_encoding_step_{axis}")) for axis in (1, 2))
    trajectory = (found.findtext("{*}trajectory") or "cartesian").strip().lower()
    mode = (found.findtext("{*}parallelImaging/{*}calibrationMode") or "").strip().lower()
    width = root.findtext("{*}acquisitionSystemInformation/{*}relativeReceiverNoiseBandwidth")
    spaces = _space(found, "encodedSpace"), _space(found, "reconSpace")
    noise_bandwidth, described = (
        _number(float, width, "noise bandwidth") if width else 1.0,
        found.findall("{*}trajectoryDescription/*"),
    )
    bands = found.findtext("{*}parallelImaging/{*}multiband/{*}multiband_factor")
    return Encoding(
        *spaces,
        lines,
        partitions,
        trajectory,
        mode == "embedded",
        noise_bandwidth,
        _on_ramps(described),
        _number(int, bands, "multiband_factor") if bands else 1,
        _echo_times(root),
    )


def _echo_times(root: ET.Element) -> tuple[float, ...]:
    """Milliseconds of each echo; none where a header writes something else."""
    try:
        times = tuple(float(one.text or "") for one in root.findall("{*}sequenceParameters/{*}TE"))
    except ValueError:
        return ()
    return times if all(0 <= time < LARGEST for time in times) else ()


def facts_of(root: ET.Element) -> dict[str, str]:
    """What a header says of scanner and sequence, by name; nothing of the patient."""
    places = {
        "vendor": "acquisitionSystemInformation/{*}systemVendor",
        "model": "acquisitionSystemInformation/{*}systemModel",
        "field (T)": "acquisitionSystemInformation/{*}systemFieldStrength_T",
        "protocol": "measurementInformation/{*}protocolName",
        "patient position": "measurementInformation/{*}patientPosition",
        "TR (ms)": "sequenceParameters/{*}TR",
        "TE (ms)": "sequenceParameters/{*}TE",
        "acceleration": "encoding/{*}parallelImaging/{*}accelerationFactor/{*}kspace_encoding_step_1",
    }
    found = {name: " ".join((root.findtext("{*}" + place) or "").split()) for name, place in places.items()}
    return {name: text for name, text in found.items() if text}


def study_of(root: ET.Element) -> dict[str, str]:
    """What a header says of patient and study, by DICOM's keywords; nothing that is empty."""
    places = {
        "PatientID": "subjectInformation/{*}patientID",
        "StudyInstanceUID": "studyInformation/{*}studyInstanceUID",
        "StudyDate": "studyInformation/{*}studyDate",
        "StudyTime": "studyInformation/{*}studyTime",
        "FrameOfReferenceUID": "measurementInformation/{*}frameOfReferenceUID",
    }
    found = {keyword: " ".join((root.findtext("{*}" + place) or "").split()) for keyword, place in places.items()}
    for keyword in ("StudyDate", "StudyTime"):  # XML's 2024-05-31 and 12:30:00 are DICOM's 20240531 and 123000
        found[keyword] = found[keyword].replace("-", "").replace(":", "")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if not re.fullmatch(r"\d+(\.\d+)+", found[keyword]) or len(found[keyword]) > 64:
            del found[keyword]  # what anonymisers write
    return {keyword: text for keyword, text in found.items() if text}


def _on_ramps(described: Sequence[ET.Element]) -> bool:
    """Whether the parameters of an EPI readout, in microseconds, say that it is longer than its gradient is flat."""
    said = {one.findtext("{*}name"): one.findtext("{*}value") or "" for one in described}
    names = ("rampUpTime", "flatTopTime", "acqDelayTime", "numSamples", "dwellTime")
    try:
        up, flat, start, samples, dwell = (float(said[name]) for name in names)
    except (KeyError, ValueError):
        return False
    return start < up or start + samples * dwell > up + flat


def counts_of(root: ET.Element) -> tuple[int | None, int | None]:
    """How many slices and receivers there are, None where a header does not say."""
    found = (root.findtext(place) or "" for place in (SLICES, RECEIVERS))
    last, coils = (int(text) if text.strip().isdecimal() and len(text) < 7 else None for text in found)
    return None if last is None else last + 1, coils


def _limits(step: ET.Element | None) -> Limits:
    if step is None:
        return None
    first, last, centre = (_number(int, _text(step, key), key) for key in ("minimum", "maximum", "center"))
    return first, last, centre


def _number(kind: type[Number], text: str, name: str) -> Number:
    """A number; ValueError that does not repeat what stands there instead, which may be anything."""
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} is no number") from None


def _text(element: ET.Element, key: str) -> str:
    text = element.findtext(f"{{*}}{key}")
    if text is None:
        raise ValueError(f"no {key}")
    return text


def _space(encoding: ET.Element, kind: str) -> Space:
    space = encoding.find(f"{{*}}{kind}")
    matrix, fov = (None, None) if space is None else (space.find("{*}matrixSize"), space.find("{*}fieldOfView_mm"))
    if matrix is None or fov is None:
        raise ValueError(f"no {kind}")
    sizes = tuple(_number(int, _text(matrix, axis), kind) for axis in "xyz")
    millimetres = tuple(_number(float, _text(fov, axis), kind) for axis in "xyz")
    if not all(0 < size < LARGEST for size in sizes) or not all(0 < length < LARGEST for length in millimetres):
        raise ValueError(f"sizes of {kind} are not positive, or no image's")
    voxel = [length / size for length, size in zip(millimetres[:2], sizes[:2], strict=True)]
    if not all(VOXEL[0] <= edge <= VOXEL[1] for edge in voxel):
        raise ValueError(f"{kind} has voxels of {voxel[0]:g} x {voxel[1]:g} mm; is its field of view in mm?")
    return Space(sizes, millimetres)


def fit_axis(size: int, encoded: tuple[int, float], recon: tuple[int, float]) -> tuple[float, int]:
    """Voxel spacing in mm and samples to keep of an image axis of `size`; (matrix, fov in mm) of both spaces.

    An axis that has reconSpace's size and not encodedSpace's was cropped before: it spans reconSpace's field of view.
    """
    if size == recon[0] != encoded[0]:
        return recon[1] / recon[0], size
    spacing = encoded[1] / size
    wanted = round(recon[1] / spacing)
    if abs(wanted - recon[0]) <= max(2, wanted // 50):
        wanted = recon[0]
    return spacing, max(1, min(size, wanted))


def encoded_columns(limits: Limits, cols: int) -> tuple[int, int] | None:
    """(first, end) columns inside the header's encoding limits, by fastMRI's rule; None where they are all."""
    if limits is None:
        return None
    first, last, centre = limits
    start, end = max(0, cols // 2 - centre + first), min(cols, cols // 2 - centre + last + 1)
    return None if (start, end) == (0, cols) or end - start < 8 else (start, end)
