"""Reader of MR DICOM series: classic or enhanced multi-frame, from a folder, a .zip or one of a series' files.

Frames are sorted by position along their common normal, never by InstanceNumber, and every distance is computed from
positions, never from SliceThickness. DICOM's axes are LPS; the affine is RAS.
"""

import math
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.bounds import check_unpacked
from mri_d3gm.io.dicom.dicom_frames import Frame, frames_of, untiled
from mri_d3gm.io.dicom.dicom_series import (
    Files,
    Source,
    check_deflated,
    choose_series,
    find_images,
    open_files,
    repeated,
    text_of,
)
from mri_d3gm.io.dicom.dicom_values import check_stored, padding
from mri_d3gm.io.dicom.dicom_volumes import SAME_PLACE, arranged
from mri_d3gm.io.image import Image, make_image, reading
from mri_d3gm.io.images.codestreams import size_of

if TYPE_CHECKING:
    from pydicom import Dataset

SAME_DIRECTION = 3e-5
SAME_SPACING = 1e-5
SAME_STEP = 0.05  # of times between volumes


def read_dicom(path: str | Path, series: str | None = None) -> Image:
    """One MR series as (column, row, slice) or (column, row, slice, t), slope and intercept applied per frame.

    path: a folder (searched with its subfolders), a .zip (never unpacked to disk) or one file, which stands for its
    series in its folder. series: number, UID or description, where there are several. source: see `_source`.
    Siemens mosaics are unpacked; values of Philips are the precise ones, not the display's; padding has no value of its own.
    Volumes at the same positions are sorted by echo, then in order of acquisition, see `arranged`; their time step is known
    where they differ in time alone and clocks or the header say it. Of a series with magnitude and phase the magnitude is
    read. InputError names what is missing, mixed, irregular or damaged.
    """
    target = Path(path)
    with warnings.catch_warnings(), reading(target, "its DICOM headers cannot be used"), open_files(target) as files:
        warnings.simplefilter("ignore")  # pydicom warns of every oddity of a header
        sources = choose_series(target, find_images(target, files), series)
        found = [frame for source in sources for frame in frames_of(source)]
        frames = [frame for frame in found if not frame.part]
        if not frames:
            parts = " and ".join(sorted({frame.part for frame in found}))
            raise InputError(f"{target}: holds {parts} images only; give the magnitude series, by --series N of several")
        _check_alike(target, frames)
        grid = _grid(target, frames)
        affine = _affine(target, grid)
        array = _voxels(grid, files)
    paths = dict.fromkeys(frame.source.path for row in grid for frame in row)
    description = text_of(sources[0].header, "SeriesDescription")
    said, contrasts = _source(grid), _contrasts(grid)
    step = None if contrasts else _time_step(grid)
    return make_image(target, array, affine, tuple(paths), description, time_step=step, contrasts=contrasts, source=said)


def _source(grid: list[list[Frame]]) -> dict[str, str]:
    """`repeated` attributes, and SliceThickness where it is the same in all frames, wherever a file holds it."""
    frames = [frame for row in grid for frame in row]
    found = repeated([frame.source for frame in frames])
    found.pop("SliceThickness", None)
    thickness = {frame.thickness for frame in frames}
    return found | ({"SliceThickness": str(thickness.pop())} if len(thickness) == 1 and any(thickness) else {})


def _check_alike(path: Path, frames: list[Frame]) -> None:
    """InputError where orientation, matrix size or pixel spacing differ within the series, or as of `check_stored`."""
    first = frames[0]
    for frame in frames:
        check_stored(path, frame.source)
        what = f"the one in {frame.name} from the one in {first.name}"
        if frame.shape != first.shape:
            raise InputError(f"{path}: matrix sizes of its images differ, {what}; give one volume")
        if not np.allclose(frame.directions, first.directions, rtol=0, atol=SAME_DIRECTION):
            raise InputError(f"{path}: orientations of its images differ (a localiser?), {what}; give another series")
        if not np.allclose(frame.spacing, first.spacing, rtol=SAME_SPACING):
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
    return arranged(path, grid)


def _affine(path: Path, grid: list[list[Frame]]) -> np.ndarray:
    """4 x 4 affine from (column, row, slice) to mm, RAS; InputError where the slices are not evenly spaced in a line."""
    first = grid[0][0]
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = first.normal * (first.distance or 1.0)
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
            f"{usual:.2f} mm; add the missing files, or give one volume"
        )
    shift = np.linalg.norm(positions - np.linspace(positions[0], positions[-1], len(positions)), axis=1)
    if shift.max() > 2 * tolerance:
        index = int(shift.argmax())
        raise InputError(f"{path}: slice {index + 1} is {shift[index]:.2f} mm out of the line of the others; give one volume")


# time


def _contrasts(grid: list[list[Frame]]) -> tuple[dict[str, Any], ...]:
    """What each volume says of its contrast in all its frames; () where volumes differ in time alone."""
    if len(grid[0]) == 1 or all(frame.contrast == grid[0][0].contrast for row in grid for frame in row):
        return ()
    return tuple(
        {
            name: value
            for name, value in volume[0].contrast.items()
            if name != "ImageType" and all(frame.contrast.get(name) == value for frame in volume)
        }
        for volume in zip(*grid, strict=True)
    )


def _time_step(grid: list[list[Frame]]) -> float | None:
    """Seconds between volumes: the header's where a clock agrees with it or stands still, else an even clock's."""
    first = grid[0][0]
    if len(grid[0]) == 1:
        return None
    steps = np.diff([[frame.clocks for frame in row] for row in grid], axis=1)  # (slices, t - 1, clocks)
    for clock in np.moveaxis(steps, -1, 0):
        if np.isfinite(clock).all() and clock.any():
            step = float(clock.mean())
            if np.abs(clock - step).max() > SAME_STEP * step:
                return None
            return first.step if abs(first.step - step) <= SAME_STEP * step else step
    return first.step or None


# voxels


def _voxels(grid: list[list[Frame]], files: Files) -> np.ndarray:
    """float32 (columns, rows, slices, t) of all frames; each file is opened once and then let go.

    Padding becomes 0, or the lowest of the other values where that is below 0.
    """
    rows, columns = grid[0][0].shape
    shape, header = (columns, rows, len(grid), len(grid[0])), grid[0][0].source.header
    stored = sum(path.stat().st_size for path in {frame.source.path for row in grid for frame in row})
    check_unpacked(files.path, math.prod(shape), math.prod(shape) * int(header.BitsAllocated) // 8, stored)
    with reading(files.path, "its images cannot be held"):
        array = np.empty(shape, np.float32)
    places: dict[str, list[tuple[int, int, Frame]]] = {}
    for height, row in enumerate(grid):
        for time, frame in enumerate(row):
            places.setdefault(frame.source.name, []).append((height, time, frame))
    holes: list[tuple[np.ndarray, np.ndarray]] = []
    for users in places.values():
        images = _pixels(files, users[0][2].source)
        if images.shape[1:] != (rows, columns):
            images = untiled(images[0], (rows, columns))
        for height, time, frame in users:
            values = images[frame.number] * frame.slope + frame.intercept
            padded = padding(frame.source.header, images[frame.number]) & (values != 0)
            array[:, :, height, time] = np.where(padded, np.inf, values).T
            if padded.any():
                holes.append((array[:, :, height, time], padded.T))
    lowest = array.min(initial=0.0) if holes else 0.0
    for image, padded in holes:
        image[padded] = lowest
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
        shape, count = (-1, int(dataset.Rows), int(dataset.Columns)), int(dataset.get("NumberOfFrames") or 1)
        held, needed = len(dataset.get("PixelData") or b""), count * shape[1] * shape[2] * int(dataset.BitsAllocated) // 8
        if "PixelData" in dataset and not syntax.is_encapsulated and held < needed:
            raise InputError(
                f"{source.name}: the file is truncated to {held} of {needed} bytes of pixels; copy or export it again"
            )
        images = np.asarray(dataset.pixel_array).reshape(shape)
        if len(images) != count:
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
