"""Reader of MR DICOM series: classic or enhanced multi-frame, from a folder, a .zip or one of a series' files.

Frames are sorted by position along their common normal, never by InstanceNumber, and every distance is computed from
positions, never from SliceThickness. DICOM's axes are LPS; the affine is RAS.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.bounds import check_unpacked
from mri_d3gm.io.codestreams import size_of
from mri_d3gm.io.dicom_series import Files, Source, check_deflated, choose_series, find_images, open_files, repeated, text_of
from mri_d3gm.io.image import Image, make_image, reading

if TYPE_CHECKING:
    from pydicom import Dataset

SAME_PLACE = 0.01  # mm along the normal
SAME_DIRECTION = 1e-3
NOT_MAGNITUDE = ("P", "PHASE", "R", "REAL", "I", "IMAGINARY")


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


def read_dicom(path: str | Path, series: str | None = None) -> Image:
    """One MR series as (column, row, slice) or (column, row, slice, t), slope and intercept applied per frame.

    path: a folder (searched with its subfolders), a .zip (never unpacked to disk) or one file, which stands for its
    series in its folder. series: number, UID or description, where there are several. source: `repeated` attributes.
    The time step is unknown: RepetitionTime need not be it. InputError names what is missing, mixed, irregular or damaged.
    """
    target = Path(path)
    with warnings.catch_warnings(), reading(target, "its DICOM headers cannot be used"), open_files(target) as files:
        warnings.simplefilter("ignore")  # pydicom warns of every oddity of a header
        sources = choose_series(target, find_images(target, files), series)
        frames = [frame for source in sources for frame in _frames(source) if frame.magnitude]
        if not frames:
            raise InputError(f"{target}: its images are phase, real or imaginary parts; give the magnitude series")
        _check_alike(target, frames)
        grid = _grid(target, frames)
        affine = _affine(target, grid)
        array = _voxels(grid, files)
    used = [frame.source for row in grid for frame in row]
    paths = dict.fromkeys(source.path for source in used)
    description = text_of(sources[0].header, "SeriesDescription")
    return make_image(target, array, affine, tuple(paths), description, source=repeated(used))


# files


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


def _voxels(grid: list[list[Frame]], files: Files) -> np.ndarray:
    """float32 (columns, rows, slices, t) of all frames; each file is opened once and then let go."""
    header = grid[0][0].source.header
    shape = (int(header.Columns), int(header.Rows), len(grid), len(grid[0]))
    stored = sum(path.stat().st_size for path in {frame.source.path for row in grid for frame in row})
    check_unpacked(files.path, math.prod(shape), math.prod(shape) * int(header.BitsAllocated) // 8, stored)
    with reading(files.path, "its images cannot be held"):
        array = np.empty(shape, np.float32)
    places: dict[str, list[tuple[int, int, Frame]]] = {}
    for height, row in enumerate(grid):
        for time, frame in enumerate(row):
            places.setdefault(frame.source.name, []).append((height, time, frame))
    for users in places.values():
        images = _pixels(files, users[0][2].source)
        for height, time, frame in users:
            array[:, :, height, time] = (images[frame.number] * frame.slope + frame.intercept).T
    return array


def _pixels(files: Files, source: Source) -> np.ndarray:
    """Stored values of all frames of a file, (frames, rows, columns); InputError where they are cut or not decodable."""
    import pydicom
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    with reading(source.name, "the file is truncated or damaged"), files.open(source.path, source.member) as file:
        check_deflated(source.name, file)
        dataset = pydicom.dcmread(file, force=True)  # it was found to be DICOM before
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, _ = dataset.original_encoding
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated:
            able = False
            with suppress(RuntimeError):  # pydicom's answer for a syntax that it does not know
                able = get_decoder(syntax).is_available
            if not able:
                raise InputError(f"{source.name}: {syntax.name} needs a decoder; pip install 'mri-d3gm[dicom]'")
            _check_frames(source, dataset)
        shape = (-1, int(dataset.Rows), int(dataset.Columns))
        images = np.asarray(dataset.pixel_array).reshape(shape)
        if len(images) != int(dataset.get("NumberOfFrames") or 1):
            raise InputError(f"{source.name}: the file is truncated; copy or export it again")
        return images


def _check_frames(source: Source, dataset: "Dataset") -> None:
    """InputError where a compressed frame has another size than the header says: decoders take memory for what it says."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    if dataset.file_meta.TransferSyntaxUID == RLELossless:  # which has no size of its own
        return
    wanted = (int(dataset.Rows), int(dataset.Columns), 1)
    for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
        if size_of(frame) != wanted:
            raise InputError(f"{source.name}: its compressed image is not of the size that its header says; export it again")
