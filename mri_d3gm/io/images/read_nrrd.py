"""Reader of NRRD volumes (.nrrd, or .nhdr with its data next to it), by pynrrd."""

import bz2
import os
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.bounds import check_stream, inflated, pieces_of
from mri_d3gm.io.image import Image, make_image, reading

# signs that bring the first three world axes to RAS; a header without a space counts as LPS, as in ITK and 3D Slicer
SPACES = {
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
SPATIAL = ("domain", "space")
SERIES = ("list", "time", "vector", "scalar", "stub", "none", "???")
SECONDS_PER_UNIT = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6}
MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001, "µm": 0.001}


def read_nrrd(path: str | Path) -> Image:
    """Image of a NRRD file, in the file's own axes; an axis of kind list, time or vector is moved last.

    Affine: space directions and origin brought to RAS, else spacings and axis mins. InputError where pynrrd, the file or its
    data are missing or cannot be used.
    """
    try:
        import nrrd
    except ImportError as error:
        raise InputError(f"{path}: NRRD needs pynrrd; pip install 'mri-d3gm[nrrd]'") from error
    with reading(path, "is not a whole NRRD file"):
        with Path(path).open("rb") as file:
            header = nrrd.read_header(file)
        data_files = _data_files(Path(path), header)
        with Path(path).open("rb") as file:
            nrrd.read_header(file)
            _check_data(path, header, data_files, file.tell())
            array = nrrd.read_data(header, file, str(path))
        kept, extra = _axes(path, header, array.ndim)
        affine = _affine(path, header, kept)
    array = array.transpose(*kept, *extra)
    if len(extra) > 1:
        array = array.reshape(*array.shape[: len(kept)], *(size for size in array.shape[len(kept) :] if size > 1))
    if len(kept) == 2:
        array = array[:, :, None]
    origin = np.asarray(header.get("space origin", [np.nan]), float)
    code = 1 if "space" in header and np.isfinite(origin[:3]).all() else 2
    files, content = (Path(path), *data_files), str(header.get("content", ""))
    return make_image(
        path, array, affine, files, content, time_step=_time_step(header, extra), source={"format": "NRRD", "sform_code": code}
    )


def _time_step(header: Mapping[str, Any], extra: list[int]) -> float | None:
    """Seconds between neighbours along the one axis of kind time, None where kind, spacing or unit do not say."""
    kinds, sizes, units = (header.get(name, []) for name in ("kinds", "spacings", "units"))
    if len(extra) != 1 or len(kinds) <= extra[0] or kinds[extra[0]].lower() != "time":
        return None
    axis = extra[0]
    unit = SECONDS_PER_UNIT.get(units[axis]) if len(units) > axis else None
    return float(sizes[axis]) * unit if unit is not None and len(sizes) > axis else None


def is_nrrd(path: Path) -> bool:
    """Whether the content begins as a NRRD header."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(7) == b"NRRD000"
    return False


def _data_files(path: Path, header: Mapping[str, Any]) -> tuple[Path, ...]:
    """The one detached data file of a header, or none; InputError where it is missing or outside the header's folder."""
    name = header.get("data file", header.get("datafile"))
    if name is None:
        return ()
    if name.split()[0] == "LIST" or "%" in name:
        raise InputError(f"{path}: its data lie in several files; save it as one .nrrd file")
    target = path.parent / name
    if not target.resolve().is_relative_to(path.parent.resolve()):
        raise InputError(f"{path}: its data file {name} lies outside its folder; put both into one folder")
    if not target.is_file():
        raise InputError(f"{path}: its data file {name} is missing; put it next to the header")
    return (target,)


def _check_data(path: str | Path, header: Mapping[str, Any], data_files: tuple[Path, ...], start: int) -> None:
    """InputError where the data, from `start` or in a file of their own, unpack to too much or skip too many lines."""
    place = data_files[0] if data_files else Path(path)
    stored = place.stat().st_size
    lines = int(header.get("line skip", header.get("lineskip", 0)))
    if lines > stored:
        raise InputError(f"{path}: its header skips {lines} lines, more than there are; correct line skip")
    encoding = str(header.get("encoding"))
    if encoding in ("gzip", "gz", "bzip2", "bz2"):
        with place.open("rb") as file:
            file.seek(0 if data_files else start)
            for _ in range(lines):
                file.readline()
            file.seek(max(0, int(header.get("byte skip", header.get("byteskip", 0)))), os.SEEK_CUR)
            unpacked = inflated(file.read(), zlib.MAX_WBITS | 16) if "g" in encoding else pieces_of(bz2.BZ2File(file))
            check_stream(path, unpacked, stored)


def _directions(header: Mapping[str, Any], axes: int) -> list[np.ndarray | None] | None:
    """Direction of every axis, None for one that is not spatial; None where the header gives none at all."""
    rows = header.get("space directions")
    if rows is None:
        return None
    if len(rows) != axes:
        raise ValueError("space directions do not match its sizes")
    found = [None if row is None or np.isnan(row).any() else np.asarray(row, float) for row in rows]
    # a space with time, such as LPST: its time axis moves nowhere in the first three coordinates
    return [None if row is None or (len(row) == 4 and not row[:3].any()) else row[:3] for row in found]


def _axes(path: str | Path, header: Mapping[str, Any], axes: int) -> tuple[list[int], list[int]]:
    """Spatial axes and the others; InputError for colours, tensors and other kinds."""
    kinds = [kind.lower() for kind in header.get("kinds", [])] or ["???"] * axes
    directions = _directions(header, axes)
    if len(kinds) != axes:
        raise ValueError("kinds do not match its sizes")
    for kind in kinds:
        if kind not in SPATIAL + SERIES:
            raise InputError(f"{path}: has an axis of kind {kind}; give a magnitude volume")
    if directions is not None:
        extra = [axis for axis in range(axes) if directions[axis] is None]
    else:
        extra = [axis for axis in range(axes) if kinds[axis] in SERIES and (kinds[axis] != "???" or axis > 2)]
    return [axis for axis in range(axes) if axis not in extra], extra


def _affine(path: str | Path, header: Mapping[str, Any], kept: list[int]) -> np.ndarray:
    """4 x 4 affine, mm RAS, of two or three spatial axes; two get a slice axis along their normal."""
    if len(kept) not in (2, 3):
        raise InputError(f"{path}: has {len(kept)} spatial axes; 2 or 3 are needed")
    space = re.sub("[- ]?(time|t)$", "", str(header.get("space", "lps")).lower())
    if space not in SPACES:
        raise InputError(f"{path}: its space {space} is not known; use left-posterior-superior, RAS or LAS")
    unit = MM_PER_UNIT.get(next(iter(header.get("space units", [])), "mm"), 1.0)
    affine, directions = np.diag([0, 0, 0, 1.0]), _directions(header, header["dimension"])
    for column, axis in enumerate(kept):
        if directions is None:
            affine[column, column], affine[column, 3] = _along(header, axis, unit)
        else:
            vector = directions[axis]
            assert vector is not None
            affine[: len(vector), column] = vector * unit
    if len(kept) == 2:
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = unit * normal / (np.linalg.norm(normal) or 1)
    if "space origin" in header:
        origin = np.nan_to_num(np.asarray(header["space origin"], float))[:3]
        affine[: len(origin), 3] = origin * unit
    affine[:3] *= np.array(SPACES[space])[:, None]
    return affine


def _along(header: Mapping[str, Any], axis: int, unit: float) -> tuple[float, float]:
    """Spacing along an axis and the place of its first voxel, mm, of a header without space directions.

    unit: mm, where the axis has no own. An axis min of cells is the border of the first one, of nodes that one itself; an axis
    that does not say what it is of is of cells, as in Teem and ITK.
    """

    def said(name: str, other: str, default: Any) -> Any:
        values = header.get(name, header.get(other))
        values = values.split() if isinstance(values, str) else values
        return default if values is None else values[axis]

    names = ("spacings", "spacings"), ("axis mins", "axismins"), ("axis maxs", "axismaxs")
    spacing, low, high = (float(said(*both, np.nan)) for both in names)
    cells = said("centerings", "centers", "cell").lower() != "node"
    steps = int(header["sizes"][axis]) - (not cells)
    if not np.isfinite(spacing):
        spacing = (high - low) / steps if steps and np.isfinite(high - low) else 1.0
    first = low + cells * spacing / 2 if np.isfinite(low) else 0.0
    mm = MM_PER_UNIT.get(said("units", "units", ""), unit)
    return spacing * mm, first * mm
