"""Arrays of k-space whose axes have names, read a part at a time, to a scan: what all formats of bare arrays share."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.arrays.plausible import GHOST, Oddities, is_ghosted, mended, mended_mask, oddities_of, words
from mri_d3gm.io.given_mask import UNFIT, sampling_by_mask
from mri_d3gm.io.images.nifti import affine_of
from mri_d3gm.io.sampling import Sampling, pattern_of, sampling_of_images
from mri_d3gm.io.scan import Scan, checked_voxel

Index = tuple[int | slice, ...]
IMAGE = ("coils", "rows", "cols")
MOST_PARTS = 1000


class Stored(NamedTuple):
    """An array that is not read yet. read(index) gives a part of it; index: a whole number or slice(None) for each axis.

    packed: what its numbers lie in where they cannot be read, struct or cell.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[Index], np.ndarray]
    packed: str = ""


class Named(NamedTuple):
    """A stored array and what its axes are: rows, cols, coils, slices, frames; any other name counts scans of their own."""

    array: Stored
    axes: tuple[str, ...]

    def size(self, axis: str) -> int:
        """Length of an axis, 1 of one that is not there."""
        return self.array.shape[self.axes.index(axis)] if axis in self.axes else 1

    def part(self, kept: tuple[str, ...], at: Mapping[str, int]) -> np.ndarray:
        """The axes `kept`, of length 1 where the array has none of that name, at a place along the others; the first is 0.

        An axis of length 1 is the same everywhere.
        """
        sizes = zip(self.axes, self.array.shape, strict=True)
        index = tuple(slice(None) if name in kept else at.get(name, 0) if size > 1 else 0 for name, size in sizes)
        there = [name for name in self.axes if name in kept]
        part = self.array.read(index).transpose([there.index(name) for name in kept if name in there])
        return np.expand_dims(part, [place for place, name in enumerate(kept) if name not in there])


def stored(array: np.ndarray) -> Stored:
    """An array in memory."""
    return Stored(array.shape, array.dtype, array.__getitem__)


def make_scan(
    name: str,
    kspace: Named,
    voxel_mm: tuple[float, float, float] | None = None,
    *,
    mask: Named | None = None,
    coil_maps: Named | None = None,
    frame_axis: str = "frame",
    warnings: Sequence[str] = (),
    files: tuple[Path, ...] = (),
    facts: Mapping[str, Any] | None = None,
) -> Scan:
    """The scan of complex k-space with named axes; InputError for what cannot be one.

    voxel_mm: row, column and slice spacing; 1 mm with a warning if None. mask: rows and cols (either may be 1 or missing),
    perhaps images too, not 0 where measured; without, and where it measures all, found from the zeros of each image. coil_maps:
    complex, on the grid of kspace. Axes of other names, such as echo, become parts (echo-1). K-space that is not what it seems
    is mended, and said (`plausible`).
    """
    rows, cols, slices, frames = (kspace.size(axis) for axis in ("rows", "cols", "slices", "frames"))
    others = [axis for axis in kspace.axes if axis not in (*IMAGE, "slices", "frames") and kspace.size(axis) > 1]
    axes = f"{kspace.array.shape} ({', '.join(kspace.axes)})"
    if 0 in kspace.array.shape or min(rows, cols) < 8:
        raise InputError(f"{name}: kspace has shape {axes}; at least one image of 8 x 8 is needed")
    if math.prod(map(kspace.size, others)) > MOST_PARTS:
        raise InputError(f"{name}: kspace of shape {axes} makes more than {MOST_PARTS} scans; are its axes these?")
    unknown = ["the file holds no voxel size: it is set to 1 mm; --voxel gives another"] if voxel_mm is None else []
    voxel = checked_voxel(name, voxel_mm or (1.0, 1.0, 1.0))
    scans = {}
    for places in product(*(range(kspace.size(axis)) for axis in others)):
        at = dict(zip(others, places, strict=True))
        entities = "_".join(f"{axis}-{place + 1}" for axis, place in at.items())
        called = f"{name} ({entities})" if entities else name
        found, doubts = _oddities(kspace, at)
        sampling, more = _sampling(called, kspace, mask, at, found)
        scans[entities] = Scan(
            name=name,
            slices=slices,
            coils=kspace.size("coils"),
            rows=rows,
            cols=cols,
            recon_shape=(rows, cols),
            mask=sampling.mask,
            limits=sampling.limits,
            voxel_mm=voxel,
            affine=affine_of((slices, rows, cols), voxel, ""),
            oversampled=False,
            warnings=(*warnings, *unknown, *doubts, *more),
            files=files,
            read=_reader(called, kspace, at, found),
            frames=frames,
            frame_axis=frame_axis if frames > 1 else "",
            masks=None if sampling.masks is None else sampling.masks.__getitem__,
            blank=sampling.blank,
            coil_maps=None if coil_maps is None else _map_reader(coil_maps, kspace, at),
            facts=dict(facts or {}),
        )
    first = next(iter(scans.values()))
    return replace(first, parts=scans) if others else first


def _place(kspace: Named, at: Mapping[str, int], image: int) -> dict[str, int]:
    """Where an image lies along the other axes; at: where its scan does among its parts."""
    frame, number = divmod(image, kspace.size("slices"))
    return {**at, "frames": frame, "slices": number}


def _oddities(kspace: Named, at: Mapping[str, int]) -> tuple[Oddities, list[str]]:
    """What is to be mended of a scan's k-space, by the middle image or the first with signal, and what to say."""
    count = kspace.size("frames") * kspace.size("slices")
    for image in chain([count // 2], range(count)):
        data = kspace.part(IMAGE, _place(kspace, at, image))
        if data.any():
            if not np.isfinite(data).all():
                break
            found = oddities_of(data)
            return found, [*words(found), *([GHOST] if is_ghosted(mended(data, found)) else [])]
    return Oddities(), []


def _reader(name: str, kspace: Named, at: Mapping[str, int], found: Oddities) -> Callable[[int], np.ndarray]:
    """What reads an image, (coils, rows, cols) complex64; InputError for NaN, Inf and numbers beyond complex64."""

    def read(image: int) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            data = np.array(kspace.part(IMAGE, _place(kspace, at, image)), np.complex64, order="C")
        if not np.isfinite(data).all():
            place = _place(kspace, at, image)
            where = " of ".join(f"{axis[:-1]} {place[axis]}" for axis in ("slices", "frames") if kspace.size(axis) > 1)
            held = "NaN, Inf or numbers too large for complex64"
            raise InputError(f"{name}: kspace{' of ' * bool(where)}{where} holds {held}; write the file again without")
        return np.ascontiguousarray(mended(data, found))

    return read


def _map_reader(coil_maps: Named, kspace: Named, at: Mapping[str, int]) -> Callable[[int], np.ndarray]:
    """What reads the coil maps of an image, (coils, rows, cols)."""
    return lambda image: np.array(coil_maps.part(IMAGE, _place(kspace, at, image)), np.complex64, order="C")


def _sampling(
    name: str, kspace: Named, mask: Named | None, at: Mapping[str, int], found: Oddities
) -> tuple[Sampling, list[str]]:
    """What was measured, by the mask, or else by the zeros of all coils together, and what to say of it."""
    images = range(kspace.size("frames") * kspace.size("slices"))

    def pattern(image: int) -> np.ndarray:
        return pattern_of(mended(kspace.part(IMAGE, _place(kspace, at, image)), found))

    said = []
    if mask is not None:
        several = any(mask.size(axis) > 1 for axis in mask.axes if axis not in IMAGE)
        given = [_mask(name, mask, _place(kspace, at, image)) for image in (images if several else images[:1])]
        masks = np.stack([mended_mask(one, found) for one in given])
        if not masks.all():
            first = next((image for image in chain([len(images) // 2], images) if pattern(image).any()), None)
            known, doubts = sampling_by_mask(name, masks, None, pattern, images, first)
            if known is not None:
                return known, doubts
            said.append(UNFIT)
    sampling = sampling_of_images(map(pattern, images))
    if sampling is None:
        raise InputError(f"{name}: all of k-space is zero; give a scan that holds a signal")
    return sampling, said


def _mask(name: str, mask: Named, place: Mapping[str, int]) -> np.ndarray:
    """The mask of one image, bool (rows | 1, cols | 1)."""
    values = mask.part(("rows", "cols"), place)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"{name}: mask holds NaN or Inf; booleans or numbers are needed")
    if not values.any():
        raise InputError(f"{name}: mask measures nothing; give one that is not 0 where k-space was measured")
    return values != 0


def as_complex(array: Stored, pairs: bool = False) -> Stored | None:
    """An array as complex numbers: as they are, of records {real, imag}, or, if asked for, of a last axis of two floats.

    None for other arrays.
    """
    dtype = array.dtype
    if dtype.kind == "c":
        return array
    if sorted(field.lower() for field in dtype.names or ()) in (["imag", "real"], ["i", "r"]):
        imag, real = sorted(dtype.names or (), key=str.lower)
        if any(dtype[field].kind not in "iuf" or dtype[field].shape for field in (real, imag)):
            return None
        kind = np.result_type(dtype[real], dtype[imag], np.complex64)
        return Stored(array.shape, kind, lambda index: _of_records(array.read(index), real, imag))
    if pairs and dtype.kind == "f" and len(array.shape) > 2 and array.shape[-1] == 2:
        kind = np.result_type(dtype, np.complex64)
        return Stored(array.shape[:-1], kind, lambda index: joined(*np.moveaxis(array.read((*index, slice(None))), -1, 0)))
    return None


def _of_records(part: np.ndarray, real: str, imag: str) -> np.ndarray:
    return joined(part[real], part[imag])


def joined(real: np.ndarray, imag: np.ndarray) -> np.ndarray:
    """Real and imaginary part as one array, in single precision where both are."""
    both = np.empty(real.shape, np.result_type(real.dtype, imag.dtype, np.complex64))
    both.real, both.imag = real, imag
    return both
