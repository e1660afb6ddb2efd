"""Reader of MR DICOM series: classic or enhanced multi-frame, from a folder, a .zip or one of a series' files.

Frames are sorted by position along their common normal, never by InstanceNumber, and every distance is computed from
positions, never from SliceThickness. DICOM's axes are LPS; the affine is RAS.
"""

import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.volume import Volume, has_dicom_magic, make_volume, reading

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_ZIP_BYTES = 16 << 30  # of all members, unpacked
MAX_ZIP_RATIO = 200  # unpacked to packed: MR images pack 2 to 20 times
SAME_PLACE = 0.01  # mm along the normal
SAME_DIRECTION = 1e-3
TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
    "ImageType",
    "ComplexImageComponent",
    "Rows",
    "Columns",
    "BitsAllocated",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "EchoNumbers",
    "EchoTime",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "InstanceNumber",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
MR_STORAGE = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
NOT_MAGNITUDE = ("P", "PHASE", "R", "REAL", "I", "IMAGINARY")


@dataclass(frozen=True)
class Source:
    """A DICOM file: a path, or a member of a .zip; its header without pixels is read once."""

    path: Path
    member: str | None
    header: "Dataset"

    @property
    def name(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"


@dataclass(frozen=True)
class Frame:
    """One image of a file. position, directions (of increasing column, of increasing row): LPS, mm.

    spacing: (between rows, between columns), mm; order: sorts frames of one position; magnitude: not a phase image.
    """

    source: Source
    number: int
    position: np.ndarray
    directions: np.ndarray
    spacing: tuple[float, float]
    thickness: float
    slope: float
    intercept: float
    order: tuple[float, ...]
    magnitude: bool

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)


def read_dicom(path: str | Path, series: str | None = None) -> Volume:
    """One MR series as (column, row, slice) or (column, row, slice, t), slope and intercept applied per frame.

    path: a folder (searched with its subfolders), a .zip (never unpacked to disk) or one file, which stands for its
    series in its folder. series: number, UID or description, where there are several. InputError names what is
    missing, mixed, irregular or damaged.
    """
    target = Path(path)
    with warnings.catch_warnings(), reading(target, "its DICOM headers cannot be used"), _files(target) as files:
        warnings.simplefilter("ignore")  # pydicom warns of every oddity of a header
        sources = _choose(target, _images(target, files), series)
        frames = _magnitudes(target, [frame for source in sources for frame in _frames(source)])
        _check_alike(target, frames)
        grid = _grid(target, frames)
        affine = _affine(target, grid)
        array = _voxels(grid, files)
    ordered = dict.fromkeys(frame.source.path for row in grid for frame in row)
    description = _text(sources[0].header, "SeriesDescription")
    return make_volume(target, array, affine, tuple(ordered), description)


# files


class _Files:
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

    def open(self, path: Path, member: str | None) -> IO[bytes]:
        if self.archive is None or member is None:
            return path.open("rb")
        return io.BytesIO(self.archive.read(member))  # a packed stream cannot seek back cheaply


@contextmanager
def _files(path: Path) -> Iterator[_Files]:
    with ExitStack() as stack:
        archive = None
        with reading(path, "is not a DICOM file, a folder or a whole .zip"):
            if not path.is_dir() and not has_dicom_magic(path):
                if not zipfile.is_zipfile(path):
                    raise InputError(f"{path}: not a DICOM file (no DICM at byte 128) nor a whole .zip; export it again")
                archive = stack.enter_context(zipfile.ZipFile(path))
                _check_zip(path, archive)
        yield _Files(path, archive)


def _check_zip(path: Path, archive: zipfile.ZipFile) -> None:
    items = archive.infolist()
    size = sum(item.file_size for item in items)
    packed = sum(item.compress_size for item in items)
    if size > MAX_ZIP_BYTES or (size > 1 << 26 and size > MAX_ZIP_RATIO * packed):
        raise InputError(f"{path}: unpacks to {size / 1e9:.1f} GB, too much for a series; unpack it and give the folder")
    if any(item.flag_bits & 1 for item in items):
        raise InputError(f"{path}: is encrypted; unpack it and give the folder")


def _images(path: Path, files: _Files) -> list[Source]:
    """All sources that hold MR pixels, each once; of a single file, those of its series."""
    found: dict[str, Source] = {}
    others: list[str] = []
    wanted = None
    for place, member in files.names():
        header = _header(files, place, member)
        if header is None:
            continue
        if place == path and member is None:  # one file was given: it comes first
            wanted = _text(header, "SeriesInstanceUID")
        if wanted is not None and wanted != _text(header, "SeriesInstanceUID"):
            continue
        source = Source(place, member, header)
        problem = _problem(source)
        if problem is None:
            # a copy of a file counts once; anonymisers may give all images of a series one UID
            key = " ".join(_text(header, name) for name in ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient"))
            found.setdefault(key, source)
        else:
            others.append(problem)
    if not found:
        held = ", ".join(sorted(set(others))[:5])
        raise InputError(f"{path}: holds no MR image" + (f", only {held}; " if held else " and no DICOM; ") + "give MR DICOM")
    return list(found.values())


def _header(files: _Files, path: Path, member: str | None) -> "Dataset | None":
    """The header without pixels, None for a file that is not DICOM; InputError for one that is cut within it."""
    import pydicom

    name = str(path) if member is None else f"{path}:{member}"
    with reading(name, "is a damaged DICOM file"):
        with files.open(path, member) as file:
            if file.read(132)[128:] != b"DICM":
                return None
        with files.open(path, member) as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*TAGS])
        for _ in (*header.file_meta.iterall(), *header.iterall()):
            pass  # pydicom converts a value, and finds it damaged, when it is first asked for
        return header


def _problem(source: Source) -> str | None:
    """What a DICOM object is, where it is no monochrome MR image; InputError for an MR image cut short."""
    header = source.header
    kind = _text(header, "SOPClassUID") or _text(header.file_meta, "MediaStorageSOPClassUID")
    has_pixels = all(name in header for name in ("Rows", "Columns", "BitsAllocated"))
    if kind in ("", *MR_STORAGE) and not has_pixels:
        raise InputError(f"{source.name}: the file is truncated; copy or export it again")
    if not has_pixels:
        return "objects without pixels"
    if int(header.get("SamplesPerPixel", 1)) != 1 or not _text(header, "PhotometricInterpretation").startswith("MONO"):
        return "colour images"
    if kind.startswith(SECONDARY_CAPTURE):
        return "secondary captures"
    modality = _text(header, "Modality")
    return None if modality == "MR" else f"images of modality {modality or 'unknown'}"


def _text(header: "Dataset", name: str) -> str:
    value = header.get(name)
    return "" if value is None else " ".join(str(value).split())


# choice of a series


def _choose(path: Path, sources: list[Source], series: str | None) -> list[Source]:
    """The sources of the one series there is or that `series` names: number, UID or description."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(_text(source.header, "SeriesInstanceUID"), []).append(source)
    if series is None and len(groups) == 1:
        return sources
    if series is None:
        raise InputError(f"{path}: holds several series: {_listed(groups)}; choose one with --series N")
    text = " ".join(series.split())
    for name in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        named = [uid for uid, group in groups.items() if _text(group[0].header, name).lower() == text.lower()]
        if len(named) == 1:
            return groups[named[0]]
        if named:
            raise InputError(f"{path}: several series are called {text}; give one's UID to --series: {', '.join(named)}")
    raise InputError(f"{path}: holds no series {text}, but {_listed(groups)}; choose one with --series N")


def _listed(groups: dict[str, list[Source]], limit: int = 30) -> str:
    items = []
    for uid, group in groups.items():
        header = group[0].header
        number = _text(header, "SeriesNumber") or uid
        count = sum(int(source.header.get("NumberOfFrames") or 1) for source in group)
        items.append((number, f"{number} '{_text(header, 'SeriesDescription')}' ({count} image{'s' * (count > 1)})"))
    items.sort(key=lambda item: (len(item[0]), item[0]))
    return ", ".join(text for _, text in items[:limit]) + (f" and {len(items) - limit} more" if len(items) > limit else "")


# frames


def _frames(source: Source) -> list[Frame]:
    """The frames of a source with their geometry; InputError where it lacks any."""
    header = source.header
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    count = int(header.get("NumberOfFrames") or 1)
    if not per_frame:
        if "MOSAIC" in (header.get("ImageType") or []):
            raise InputError(f"{source.name}: is a Siemens mosaic; convert it with dcm2niix and give the NIfTI file")
        if count > 1:
            raise InputError(f"{source.name}: holds {count} images without positions; export classic or enhanced MR DICOM")
        return [_frame(source, 0, [header])]
    if len(per_frame) != count:
        raise InputError(f"{source.name}: says {count} frames but describes {len(per_frame)}; export it again")
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    return [_frame(source, number, [*_items(groups), *_items(shared[0]), header]) for number, groups in enumerate(per_frame)]


def _items(groups: Any) -> Iterator["Dataset"]:
    """The first item of every functional group."""
    for element in groups:
        if element.VR == "SQ" and element.value and not element.tag.is_private:
            yield element.value[0]


def _frame(source: Source, number: int, places: "Sequence[Dataset]") -> Frame:
    """Frame `number` of a source, each value from the first place that has it."""

    def value(name: str) -> Any:
        return next((item.get(name) for item in places if item.get(name) not in (None, "")), None)

    def numbers(name: str, count: int) -> np.ndarray:
        found = value(name)
        if found is None or np.size(found) != count:
            raise InputError(f"{source.name}: has no usable {name}, so it has no place in space; export it with geometry")
        return np.array(found, float)

    def scalar(name: str, default: float) -> float:
        found = value(name)
        return default if found is None or np.size(found) != 1 else float(found)

    rows, columns = numbers("PixelSpacing", 2)
    directions = numbers("ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if not (abs(lengths - 1) < 0.01).all() or abs(directions[0] @ directions[1]) > 0.01:
        raise InputError(f"{source.name}: its ImageOrientationPatient is not two perpendicular unit vectors")
    enhanced = "EffectiveEchoTime", "TemporalPositionIndex", "TemporalPositionTimeOffset", "FrameAcquisitionNumber"
    classic = "EchoNumbers", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber"
    kind = [str(word).upper() for word in [*(value("FrameType") or value("ImageType") or [])[2:]]]
    kind.append(str(value("ComplexImageComponent") or "").upper())
    return Frame(
        source=source,
        number=number,
        position=numbers("ImagePositionPatient", 3),
        directions=directions / lengths,
        spacing=(float(rows), float(columns)),
        thickness=abs(scalar("SpacingBetweenSlices", 0) or scalar("SliceThickness", 0)) or 1.0,
        slope=scalar("RescaleSlope", 1) or 1.0,
        intercept=scalar("RescaleIntercept", 0),
        order=(*(scalar(name, 0) for name in enhanced + classic), number),
        magnitude=not any(word in NOT_MAGNITUDE for word in kind),
    )


def _magnitudes(path: Path, frames: list[Frame]) -> list[Frame]:
    """Frames that are not phase, real or imaginary parts."""
    found = [frame for frame in frames if frame.magnitude]
    if not found:
        raise InputError(f"{path}: its images are phase, real or imaginary parts; give the magnitude series")
    return found


def _check_alike(path: Path, frames: list[Frame]) -> None:
    """InputError where orientation, matrix size or pixel spacing differ within the series."""
    first = frames[0]
    size = (int(first.source.header.Rows), int(first.source.header.Columns))
    for frame in frames:
        what = f"the one in {frame.source.name} from the one in {first.source.name}"
        if (int(frame.source.header.Rows), int(frame.source.header.Columns)) != size:
            raise InputError(f"{path}: matrix sizes of its images differ, {what}; give one volume")
        if not np.allclose(frame.directions, first.directions, rtol=0, atol=SAME_DIRECTION):
            raise InputError(f"{path}: orientations of its images differ (a localiser?), {what}; give another series")
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise InputError(f"{path}: pixel spacings of its images differ, {what}; give one volume")


# geometry


def _grid(path: Path, frames: list[Frame]) -> list[list[Frame]]:
    """Frames by position along the normal, then by time, echo or b value: equally many at every position."""
    normal = frames[0].normal
    heights = [float(normal @ frame.position) for frame in frames]
    grid: list[list[Frame]] = []
    last = -np.inf
    for index in np.argsort(heights, kind="stable"):
        if heights[index] - last > SAME_PLACE:
            grid.append([])
            last = heights[index]
        grid[-1].append(frames[index])
    counts = sorted({len(row) for row in grid})
    if len(counts) > 1:
        row = next(row for row in grid if len(row) < counts[-1])
        where = f"{normal @ row[0].position:.2f} mm along the normal"
        raise InputError(
            f"{path}: holds {counts[-1]} images at some positions but {len(row)} at {where}; "
            "export it again, or give one volume"
        )
    return [sorted(row, key=lambda frame: frame.order) for row in grid]


def _affine(path: Path, grid: list[list[Frame]]) -> np.ndarray:
    """4 x 4 affine from (column, row, slice) to mm, RAS; InputError where the slices are not evenly spaced in a line."""
    first = grid[0][0]
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = first.normal * first.thickness
    affine[:3, 3] = first.position
    if len(grid) > 1:
        positions = np.array([row[0].position for row in grid])
        _check_even(path, positions, first.normal)
        affine[:3, 2] = (positions[-1] - positions[0]) / (len(grid) - 1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _check_even(path: Path, positions: np.ndarray, normal: np.ndarray) -> None:
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    tolerance = max(0.01 * usual, 0.05)
    wrong = np.flatnonzero(abs(gaps - usual) > tolerance)
    if len(wrong):
        index = int(wrong[0])
        raise InputError(
            f"{path}: slices are missing or uneven: after slice {index + 1} of {len(positions)}, at "
            f"{positions[index] @ normal:.2f} mm along the normal, the next is {gaps[index]:.2f} mm away instead of "
            f"{usual:.2f} mm; add the missing files"
        )
    shift = np.linalg.norm(positions - np.linspace(positions[0], positions[-1], len(positions)), axis=1)
    if shift.max() > 2 * tolerance:
        index = int(shift.argmax())
        raise InputError(f"{path}: slice {index + 1} is {shift[index]:.2f} mm out of the line of the others; give one volume")


# voxels


def _voxels(grid: list[list[Frame]], files: _Files) -> np.ndarray:
    """float32 (columns, rows, slices, t) of all frames; each file is opened once and then let go."""
    header = grid[0][0].source.header
    with reading(files.path, "its images cannot be held"):
        array = np.empty((int(header.Columns), int(header.Rows), len(grid), len(grid[0])), np.float32)
    places: dict[str, list[tuple[int, int, Frame]]] = {}
    for height, row in enumerate(grid):
        for time, frame in enumerate(row):
            places.setdefault(frame.source.name, []).append((height, time, frame))
    for users in places.values():
        images = _pixels(files, users[0][2].source)
        for height, time, frame in users:
            array[:, :, height, time] = (images[frame.number] * frame.slope + frame.intercept).T
    return array


def _pixels(files: _Files, source: Source) -> np.ndarray:
    """Stored values of all frames of a file, (frames, rows, columns); InputError where they are cut or not decodable."""
    import pydicom
    from pydicom.pixels import get_decoder

    with reading(source.name, "the file is truncated or damaged"), files.open(source.path, source.member) as file:
        dataset = pydicom.dcmread(file)
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated:
            try:
                able = get_decoder(syntax).is_available
            except NotImplementedError:
                able = False
            if not able:
                raise InputError(f"{source.name}: {syntax.name} needs a decoder; pip install 'mri-d3gm[dicom]'")
        shape = (-1, int(dataset.Rows), int(dataset.Columns))
        images = np.asarray(dataset.pixel_array).reshape(shape)
        if len(images) != int(dataset.get("NumberOfFrames") or 1):
            raise InputError(f"{source.name}: the file is truncated; copy or export it again")
        return images
