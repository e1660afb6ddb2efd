"""Which array of a file is the k-space, its mask, its coil maps and its voxel size, and what its axes are.

An array's name is the last part of its path, in any case of letters. Axes that `--axes` does not name are inferred:

* two: rows, cols.
* three, of which one has at most 128 entries and less than half of each of the others: coils, and rows, cols in this order.
* three others: of numpy and HDF5 ("C") slices, rows, cols; of MATLAB ("F") rows, cols, slices.
* more: of numpy and HDF5 the last of other, frames, slices, coils, rows, cols; of MATLAB the first of rows, cols, coils,
  slices, frames, other. Of three and more it is the other language's rule where its rows and cols are much larger.

Wherever more than two axes were inferred, a warning says how.
"""

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.named_arrays import Named, Stored, as_complex, make_scan
from mri_d3gm.io.scan import AXES, Reading, Scan

Order = Literal["C", "F"]
KSPACE = ("kspace", "k_space", "kspace_?.+|.+_kspace", "kdata.*|kus.*|ksp.*", "k", "raw.*", "data")  # the first one wins
OTHERS = r".*(mask|traj|coord|weight|dcf|noise).*"
MASK = r"(us_?|under_?sampl\w*_?|sampling_?|k_?(space_?)?)?mask_?\d*|samp|sampling(_?pattern)?|pattern"
COIL_MAPS = r"(coil_?)?(maps?|sens.*)|s_?maps?|csms?|csm_?maps?"
VOXEL = r"voxel(_?size)?(_?mm)?|resolution|spacing"
MATLAB_AXES = ("rows", "cols", "coils", "slices", "frames", "other")
FEW_COILS = 128
UNPACK = "save the array in it as a variable of its own, kspace = s.field or full(s), or a struct with save -v7.3"


class Chosen(NamedTuple):
    """The k-space of a file, under its own name, complex."""

    key: str
    array: Stored


def scan_of_arrays(
    path: Path, arrays: Mapping[str, Stored], how: Reading, order: Order, known: tuple[str, ...] = (), frame_axis: str = "frame"
) -> Scan:
    """The scan of a file of named arrays, whose axes are in the order of the language that wrote it.

    known: what the axes of the k-space are by the file's format, where `--axes` does not say otherwise. InputError for what
    cannot be used.
    """
    name = str(path)
    key, array = kspace_of(name, arrays, how.key)
    warnings = []
    if how.axes is not None:
        axes = named_axes(name, how.axes, array.shape)
    elif known:
        axes = known
    else:
        axes = inferred_axes(array.shape, order)
        if len(axes) > 2:
            warnings.append(f"axes of {key} taken as {', '.join(axes)} of shape {array.shape}; --axes says otherwise")
    others = {other: one for other, one in arrays.items() if other != key and not one.packed}
    kspace = Named(array, tuple("run" if axis == "other" else axis for axis in axes))
    mask, coil_maps = _mask_of(name, others, kspace, order), None
    for other, one in others.items():
        if re.fullmatch(COIL_MAPS, _last(other)) and (maps := as_complex(one, pairs=True)) is not None:
            fitting = axes_within(maps.shape, kspace, ("coils", "rows", "cols"))
            if fitting is None:
                warnings.append(f"{other} {maps.shape} does not fit the k-space: coil maps are estimated")
            coil_maps = coil_maps or (Named(maps, fitting) if fitting else None)
    voxel_mm, doubts = _voxel_of(others, how.voxel_mm)
    warnings += doubts
    return make_scan(
        name,
        kspace,
        voxel_mm,
        mask=mask,
        coil_maps=coil_maps,
        frame_axis=frame_axis,
        warnings=warnings,
        files=(path,),
        facts={"Array": key, "Axes": ", ".join(axes), "Shape": list(array.shape)},
    )


def _last(key: str) -> str:
    """The last part of an array's path, in small letters."""
    return key.rpartition("/")[2].lower()


def kspace_of(name: str, arrays: Mapping[str, Stored], key: str | None) -> Chosen:
    """The k-space: the array called `key`, else by its name, else the only complex array of 2 to 6 axes; InputError without."""
    if key is not None:
        called = [one for one in arrays if key.lower() in (one.lower(), _last(one))]
        chosen = key if key in arrays else called[0] if len(called) == 1 else None
        if chosen is None:
            raise InputError(f"{name}: --key {key}: no such array; it holds {_listed(arrays)}")
        return Chosen(chosen, _complex(name, chosen, arrays[chosen]))
    for pattern in KSPACE:
        called = [one for one in arrays if re.fullmatch(pattern, _last(one)) and not re.fullmatch(OTHERS, _last(one))]
        fitting = [one for one in called if _axes(as_complex(arrays[one], pairs=True))]
        if len(fitting) == 1:
            return Chosen(fitting[0], _complex(name, fitting[0], arrays[fitting[0]]))
        if pattern == KSPACE[0] and len(called) == 1 and not fitting:
            _complex(name, called[0], arrays[called[0]])
        if len(fitting) > 1:
            break
    else:
        told = f"{OTHERS}|{COIL_MAPS}"
        fitting = [one for one in arrays if _axes(as_complex(arrays[one])) and not re.fullmatch(told, _last(one))]
        if len(fitting) == 1:
            return Chosen(fitting[0], _complex(name, fitting[0], arrays[fitting[0]]))
    raise InputError(f"{name}: which array is the k-space is not clear; say it with --key. It holds {_listed(arrays)}")


def may_be_kspace(key: str, array: Stored) -> bool:
    """Whether an array is complex, or called k-space and of pairs of floats, and has 2 to 6 axes."""
    called = any(re.fullmatch(pattern, _last(key)) for pattern in KSPACE)
    return _axes(as_complex(array, pairs=called))


def _axes(array: Stored | None) -> bool:
    """Whether k-space may have so many axes."""
    return array is not None and 2 <= len(array.shape) <= len(AXES)


def _complex(name: str, key: str, array: Stored) -> Stored:
    found = as_complex(array, pairs=True)
    if array.packed:
        raise InputError(f"{name}: {key} is a {array.packed}; {UNPACK}")
    if found is None or not _axes(found):
        kind = "an array of objects" if array.dtype.kind == "O" else f"{array.dtype} of shape {array.shape}"
        wanted = "complex numbers, or pairs of floats along the last axis, of 2 to 6 axes"
        raise InputError(f"{name}: {key} is {kind}; {wanted}, are needed")
    return found


def _listed(arrays: Mapping[str, Stored]) -> str:
    """Arrays with shape and type, the first dozen, and what is packed."""
    every = [f"{one} {array.shape} {array.dtype}" for one, array in arrays.items() if array.dtype.kind in "biufcV"]
    more = f" and {len(every) - 12} more" if len(every) > 12 else ""
    packed = [f"{one}, a {array.packed}" for one, array in arrays.items() if array.packed]
    also = f", but {'; '.join(packed[:12])}: {UNPACK}" if packed else ""
    return (", ".join(every[:12]) or "no arrays of numbers") + more + also


def named_axes(name: str, text: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Axes from their text, such as coils,rows,cols; InputError where they do not fit the shape."""
    axes = tuple(part.strip().lower() for part in text.split(","))
    wrong = None
    if not set(axes) <= set(AXES) or len(set(axes)) < len(axes):
        wrong = f"each must be one of {', '.join(AXES)}, once"
    elif not {"rows", "cols"} <= set(axes):
        wrong = "rows (the readout) and cols must be among them"
    elif len(axes) != len(shape):
        wrong = f"the k-space has {len(shape)} axes: {shape}"
    if wrong:
        raise InputError(f"{name}: --axes {text}: {wrong}")
    return axes


def inferred_axes(shape: tuple[int, ...], order: Order) -> tuple[str, ...]:
    """Axes of k-space by the rules on top of this file."""
    if len(shape) == 3:
        for axis, size in enumerate(shape):
            if size <= FEW_COILS and 2 * size < min(shape[:axis] + shape[axis + 1 :]):
                return (*("rows", "cols")[:axis], "coils", *("rows", "cols")[axis:])
    smallest = {"C": min(shape[-2:]), "F": min(shape[:2])}
    other: Order = "F" if order == "C" else "C"
    if smallest[order] <= FEW_COILS and 2 * smallest[order] < smallest[other]:
        order = other
    more = ("slices",) if len(shape) == 3 else MATLAB_AXES[2 : len(shape)]
    return ("rows", "cols", *more) if order == "F" else (*more[::-1], "rows", "cols")


def axes_within(shape: tuple[int, ...], kspace: Named, needed: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Which of the k-space's axes those of another array are, in the same order; None where it does not fit.

    Axes of length 1 may be there or be left out. Of several answers the one with cols, rows, frames, slices, in that order.
    needed: axes that must be among them where the k-space has more than one entry along them.
    """
    sizes = [kspace.size(axis) for axis in kspace.axes]
    wanted = {axis for axis in needed if kspace.size(axis) > 1}
    if len(shape) == len(sizes) and all(one in (1, size) for one, size in zip(shape, sizes, strict=True)):
        return kspace.axes
    preferred = ("cols", "rows", "frames", "slices")
    found = []
    for axes in combinations(kspace.axes, len(shape)):
        if wanted <= set(axes) and shape == tuple(map(kspace.size, axes)):
            found.append(axes)
    return max(found, key=lambda axes: [axis in axes for axis in preferred], default=None)


def _mask_of(name: str, arrays: Mapping[str, Stored], kspace: Named, order: Order) -> Named | None:
    """The mask among the arrays; InputError where there is one that does not fit the k-space."""
    for key, array in arrays.items():
        if re.fullmatch(MASK, _last(key)) and array.dtype.kind in "biuf":
            squeezed = _squeezed(array)
            across = array.shape == (kspace.size("rows"), 1) and order == "C"  # a mask of rows; MATLAB has no other vectors
            axes = ("rows",) if across else axes_within(squeezed.shape, kspace)
            if axes is None or not {"rows", "cols"} & set(axes):
                sizes = ", ".join(f"{kspace.size(axis)} {axis}" for axis in kspace.axes)
                raise InputError(f"{name}: {key} has shape {array.shape}, but the k-space has {sizes}; correct or rename it")
            return Named(squeezed, axes)
    return None


def _squeezed(array: Stored) -> Stored:
    """An array without its axes of length 1."""
    long = [size != 1 for size in array.shape]

    def read(index: tuple[int | slice, ...]) -> np.ndarray:
        rest = iter(index)
        return array.read(tuple(next(rest) if one else 0 for one in long))

    return Stored(tuple(size for size in array.shape if size != 1), array.dtype, read)


def _voxel_of(
    arrays: Mapping[str, Stored], given: tuple[float, float, float] | None
) -> tuple[tuple[float, float, float] | None, list[str]]:
    """Row, column and slice spacing in mm of an array of three that is called so, else as given, and what to say of arrays that
    are called so and are something else.
    """
    said = []
    for key, array in arrays.items():
        if re.fullmatch(VOXEL, _last(key)):
            if array.dtype.kind in "iuf" and np.prod(array.shape, dtype=object) == 3:
                first, second, third = map(float, np.ravel(array.read((slice(None),) * len(array.shape))))
                return (first, second, third), []
            said.append(f"{key} is {array.dtype} of shape {array.shape}, not three sizes in mm")
    if said:
        taken = "1 mm is taken; --voxel gives another" if given is None else "that of --voxel is taken"
        return given or (1.0, 1.0, 1.0), [f"{'; '.join(said)}: {taken}"]
    return given, []
