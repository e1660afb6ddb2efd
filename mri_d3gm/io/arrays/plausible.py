"""Whether k-space is what it seems: that of images, its centre in the middle of the array; and how to mend it where it is not.

A reader asks `oddities_of` about one image before it looks for what was measured, applies `mended` to every image and
`mended_mask` to a mask of the file, and says `words`. All numbers were chosen on 330 images of many organs and scanners, of one
coil and of many, full and undersampled, so that none is taken for what it is not. Samples that are zero count as not
measured.
"""

from typing import NamedTuple

import numpy as np

from mri_d3gm.io.sampling import pattern_of, run_through_centre
from mri_d3gm.io.scan import centre, fft1c, fft2c, ifft2c

COILS = 4  # the strongest ones, which are looked at
SIDE = 64  # of the central block in which coils are compared
ALIKE, APART = 0.94, 0.8
EQUAL = 1e-6  # of correlations that differ by rounding
GHOST = "every other line seems to be mirrored: correct the ghost of EPI first"
Pair = tuple[bool, bool]
NEITHER: Pair = (False, False)


class Oddities(NamedTuple):
    """What is to be mended of k-space, in this order; pairs are of rows and columns.

    images: the axis is one of an image, transformed already. corner: the centre of k-space is at index 0. halves: those of the
    image are exchanged. offset: columns by which k-space has to move, because it is padded on one side only.
    """

    images: Pair = NEITHER
    corner: Pair = NEITHER
    halves: Pair = NEITHER
    offset: int = 0


def oddities_of(kspace: np.ndarray) -> Oddities:
    """Oddities of the k-space of an image, (..., rows, cols) complex, finite; none where it is all zeros or cannot be told."""
    data = _strongest(kspace)
    if not data.any():
        return Oddities()
    images = _is_image(data, -2), _is_image(data, -1)
    data = mended(data, Oddities(images))
    corner = _in_corner(data, -2), _in_corner(data, -1)
    data = mended(data, Oddities(corner=corner))
    offset = 0 if any(corner) else _offset(data)
    return Oddities(images, corner, _exchanged(data, corner), offset)


def mended(kspace: np.ndarray, found: Oddities) -> np.ndarray:
    """K-space (..., rows, cols) without its oddities; the array itself where it has none."""
    for axis in (-2, -1):
        if found.images[axis]:
            kspace = fft1c(kspace, axis)
        if found.corner[axis]:
            kspace = np.fft.fftshift(kspace, axis)
        if found.halves[axis]:
            size = kspace.shape[axis]
            turns = np.exp(2j * np.pi * (size // 2) / size * (np.arange(size) - size // 2)).astype(kspace.dtype)
            kspace = kspace * (turns[:, None] if axis == -2 else turns)
    return np.roll(kspace, found.offset, -1) if found.offset else kspace


def mended_mask(mask: np.ndarray, found: Oddities) -> np.ndarray:
    """A mask (..., rows | 1, cols | 1) in the order of k-space that is mended."""
    for axis in (-2, -1):
        if found.corner[axis]:
            mask = np.fft.fftshift(mask, axis)
    return np.roll(mask, found.offset, -1) if found.offset and mask.shape[-1] > 1 else mask


def words(found: Oddities) -> list[str]:
    """What was mended, for the user."""

    def named(pair: Pair) -> str:
        return " and ".join(name for name, there in zip(("rows", "columns"), pair, strict=True) if there)

    said = []
    if all(found.images):
        said.append("kspace holds images: they were transformed to k-space")
    elif any(found.images):
        said.append(f"{named(found.images)} of kspace are those of an image, transformed already: they were transformed back")
    if any(found.corner):
        said.append(
            f"the centre of k-space is at index 0 along {named(found.corner)}, as an FFT leaves it: it was moved to the middle"
        )
    if any(found.halves):
        said.append(f"the halves of the image are exchanged along {named(found.halves)}, as by an FFT: they were put back")
    if found.offset:
        said.append(f"k-space is padded on one side: its columns were moved by {found.offset}, its centre to the middle")
    return said


def spread(kspace: np.ndarray, axis: int) -> float:
    """Part of the lines along an axis that the energy lies in, from 1 / lines to 1."""
    lines = profile(kspace, axis)
    return float(lines.sum() ** 2 / (len(lines) * np.square(lines).sum()))


def profile(kspace: np.ndarray, axis: int) -> np.ndarray:
    """Mean energy of what was measured of each line along an axis (negative), 0 where nothing was."""
    power = np.square(np.abs(kspace), dtype=np.float64)
    others = tuple(other for other in range(power.ndim) if other != power.ndim + axis)
    return power.sum(others) / np.maximum(1, np.count_nonzero(power, others))


def is_ghosted(kspace: np.ndarray) -> bool:
    """Whether every other column of k-space (..., rows, cols) seems to run the other way along the rows, as of uncorrected EPI:
    the image is clearly sparser once they are turned.
    """
    data = _strongest(kspace)
    first, end = run_through_centre(np.any(pattern_of(data), 0))
    if end - first < 16:
        return False
    data = np.where((np.arange(data.shape[-1]) >= first) & (np.arange(data.shape[-1]) < end), data, 0)

    def extent(turned: np.ndarray) -> float:
        other = data.copy()
        other[..., 1::2] = turned[..., 1::2]
        return float(np.linalg.norm(ifft2c(other), axis=0).sum())

    backwards = data[..., ::-1, :]
    turns = [backwards] if data.shape[-2] % 2 else [backwards, np.roll(backwards, 1, -2)]
    return min(map(extent, turns)) < 0.97 * extent(data)


def like_coils(kspace: np.ndarray) -> bool:
    """Whether images (images, rows, cols), k-space, look like one object that several coils see: their edges are the same,
    their brightness is not. Slices have other edges, repetitions the same brightness. Of 783 stacks of slices none was taken
    for coils, and of 157 arrays of coils five in six were known.
    """
    measured = pattern_of(kspace)
    block = _central(measured[:, measured.shape[1] // 2]), _central(measured[measured.shape[0] // 2])
    if len(kspace) < 2 or any(each.stop - each.start < 16 for each in block):
        return False
    images = np.abs(ifft2c(kspace[:, block[0], block[1]]))
    sizes = np.linalg.norm(images, axis=(1, 2))
    if not sizes.all():
        return False
    images = images / sizes[:, None, None]
    count, rows, cols = images.shape
    tiles = images[:, : rows - rows % 4, : cols - cols % 4].reshape(count, rows // 4, 4, cols // 4, 4)
    tiles = tiles.transpose(1, 3, 0, 2, 4).reshape(-1, count, 16)
    tiles = tiles - tiles.mean(-1, keepdims=True)
    contrast = np.sort(np.square(tiles).sum(2), 1)[:, -2]  # where more than one image has any
    tiles = tiles[contrast >= np.quantile(contrast, 0.9)]
    values = np.linalg.eigvalsh(tiles @ tiles.swapaxes(1, 2))
    flat = images.reshape(count, -1)
    return bool(values[:, -1].sum() > ALIKE * values.sum() and (flat @ flat.T).min() < APART)


def turned(reference: np.ndarray, kspace: np.ndarray) -> str | None:
    """How a reference magnitude (rows, cols), the central part of the image of k-space (coils, rows, cols), lies to that image:
    None for as it is, or where none of the ways tried fits far better. Of ways that fit a symmetric image alike it is the
    first. Compared at the resolution of 64 x 64, but on the reference's own grid: mirrors of coarser ones would be off by part
    of their pixel.
    """
    sizes = [min(SIDE, size) for size in reference.shape]
    blocks = [round(size * all_ / part) for size, all_, part in zip(sizes, kspace.shape[1:], reference.shape, strict=True)]
    if any(block > size for block, size in zip(blocks, kspace.shape[1:], strict=True)) or not np.isfinite(reference).all():
        return None
    image = np.linalg.norm(ifft2c(_coarse(kspace / (np.abs(kspace).max() or 1.0), blocks)), axis=0)
    image = centre(centre(image, reference.shape[0], 0), reference.shape[1], 1)
    reference = ifft2c(_coarse(fft2c(reference / (np.abs(reference).max() or 1.0)), sizes)).real
    if not image.std() or not reference.std():
        return None
    backwards, fit = reference.sum() < 0, _fit(image, reference)
    if 1 - fit < EQUAL:
        return None
    found = {way: _moved(image, one) for way, one in _ways(-reference if backwards else reference).items()}
    least = 1 - max(each for each, _ in found.values())
    best = next(way for way, (each, _) in found.items() if 1 - each <= 1.1 * least + EQUAL)
    if found[best][0] < 0.95 or 1 - found[best][0] > 0.3 * (1 - fit):
        return None
    said = [best] if best else []
    if max(map(abs, found[best][1])) > 1:  # mirrored with or without the first line: that is one pixel
        said.append(_move(found[best][1], reference.shape))
    return " and ".join([*said, "with its sign reversed"] if backwards else said) or None


def units(reference: np.ndarray, kspace: np.ndarray) -> float:
    """The factor that makes a reference magnitude (rows, cols) as large as the central part of the image of k-space (coils,
    rows, cols); 1 where it is another image.
    """
    peak, largest = float(np.abs(kspace).max()), float(np.abs(reference).max())
    if not (0 < peak < np.inf and 0 < largest < np.inf):
        return 1.0
    image = np.linalg.norm(ifft2c(kspace / peak), axis=0)
    image = centre(centre(image, reference.shape[0], 0), reference.shape[1], 1)
    sizes = float(np.linalg.norm(image)), float(np.linalg.norm(reference / largest))
    alike = float(np.vdot(image, reference / largest)) > 0.95 * sizes[0] * sizes[1]
    return sizes[0] / sizes[1] * (peak / largest) if alike else 1.0


def _coarse(kspace: np.ndarray, sizes: list[int]) -> np.ndarray:
    """K-space (..., rows, cols) with zeros outside of its central block."""
    starts = [size // 2 - block // 2 for size, block in zip(kspace.shape[-2:], sizes, strict=True)]
    rows, cols = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    kept = np.zeros_like(kspace)
    kept[..., rows, cols] = kspace[..., rows, cols]
    return kept


def _ways(image: np.ndarray) -> dict[str, np.ndarray]:
    """An image (rows, cols) laid right, by the way that it lies."""
    ways = {
        "": image,
        "mirrored along rows": image[::-1],
        "mirrored along columns": image[:, ::-1],
        "turned by half a turn": image[::-1, ::-1],
    }
    if image.shape[0] == image.shape[1]:
        quarters = {"transposed": image.T, "transposed and turned by half a turn": image.T[::-1, ::-1]}
        ways |= quarters | {"turned by a quarter turn": np.rot90(image, 3), "turned back by a quarter turn": np.rot90(image)}
    return ways


def _fit(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _moved(image: np.ndarray, other: np.ndarray) -> tuple[float, tuple[int, int]]:
    """The best correlation of two images, opposite edges joined, and the rows and columns by which the other is moved then,
    the fewest of those that fit alike.
    """
    spectra = [np.fft.fft2((each - each.mean()) / (each.std() * each.size**0.5)) for each in (image, other)]
    fits = np.fft.ifft2(spectra[0].conj() * spectra[1]).real
    places = np.argwhere(fits >= fits.max() - EQUAL)
    steps = (places + np.array(fits.shape) // 2) % fits.shape - np.array(fits.shape) // 2
    rows, cols = steps[abs(steps).sum(1).argmin()]
    return float(fits.max()), (int(rows), int(cols))


def _move(by: tuple[int, int], shape: tuple[int, ...]) -> str:
    """A move by rows and columns in words."""
    if all(abs(abs(step) - size / 2) <= 1 for step, size in zip(by, shape, strict=True)):
        return "with its halves exchanged"
    parts = [f"{step} {name}" for step, name in zip(by, ("rows", "columns"), strict=True) if step]
    return f"moved by {' and '.join(parts)}"


def _strongest(kspace: np.ndarray) -> np.ndarray:
    """The coils of most energy, (coils, rows, cols), divided by the largest magnitude."""
    data = kspace.reshape(-1, *kspace.shape[-2:])
    peaks = np.abs(data).max((1, 2))
    data = data[np.sort(np.argsort(peaks)[-COILS:])]
    return data / (peaks.max() or 1.0)


def _is_image(kspace: np.ndarray, axis: int) -> bool:
    """Whether energy spreads along an axis as in an image, and gathers as in k-space once that is transformed.

    The other way round the ratio is above 3.6 of all images tried; of noise it is 1. An axis with gaps is one of k-space.
    """
    measured = pattern_of(kspace) if axis == -2 else pattern_of(kspace).T
    lines, others = np.flatnonzero(np.any(measured, 1)), np.any(measured, 0)
    if measured[lines[0] : lines[-1] + 1][:, others].mean() < 0.9:
        return False
    before, after = spread(kspace, axis), fft1c(kspace, axis)
    size, peak = after.shape[axis], int(profile(after, axis).argmax())
    near = min(abs(peak - size // 2), peak, size - peak) <= max(1, size // 16)
    return near and before < 0.99 and spread(after, axis) < 0.5 * before


def _in_corner(kspace: np.ndarray, axis: int) -> bool:
    """Whether energy gathers around index 0 of an axis, on both sides of it. Elsewhere the ratio is at most 0.6, 1 of noise."""
    lines = profile(kspace, axis)
    size, place = len(lines), np.arange(len(lines))
    width, measured = max(1, size // 16), lines > 0
    around = np.minimum(place, size - place) <= width
    parts = [lines[measured & part] for part in (around & (place > width), around & (place <= width) & (place > 0), ~around)]
    if not all(map(len, parts)):
        return False
    left, right, rest = (float(part.mean()) for part in parts)
    return min(left, right) > 1.5 * rest and float(lines[measured & around].mean()) > 4 * rest


def _exchanged(kspace: np.ndarray, corner: Pair) -> Pair:
    """Along which axes the halves of the image are exchanged: along both, unless one alone was transformed by a plain FFT.

    Of images tried the energy near the edges was never above 1.2 times that near the middle along both axes.
    """
    block = [run_through_centre(np.any(pattern_of(kspace), axis)) for axis in (1, 0)]
    if any(end - first < 16 for first, end in block):
        return NEITHER
    rows, cols = (slice(*each) for each in block)
    known = np.zeros_like(kspace)
    known[:, rows, cols] = kspace[:, rows, cols]
    images = ifft2c(known)
    ratios = [_edges_to_middle(profile(images, axis), block[axis]) for axis in (-2, -1)]
    if corner[0] != corner[1]:
        there, other = ratios if corner[0] else ratios[::-1]
        exchanged = there > 3 and other < 0.5
        return corner[0] and exchanged, corner[1] and exchanged
    return (min(ratios) > 1.2 and ratios[0] * ratios[1] > 9,) * 2


def _edges_to_middle(lines: np.ndarray, block: tuple[int, int]) -> float:
    """Energy of the lines of an image near its edges over that near its middle, as finely as a block of k-space tells."""
    size, place = len(lines), np.arange(len(lines))
    width = max(1, size // 16, size // (block[1] - block[0]))
    edges = np.minimum(place, size - place) <= width
    return float(lines[edges].mean() / max(lines[abs(place - size // 2) <= width].mean(), 1e-30))


def _offset(kspace: np.ndarray) -> int:
    """Columns from the middle of those that were measured to the middle of the array, where the energy is around the former."""
    lines = profile(kspace, -1)
    measured, size = np.flatnonzero(lines), len(lines)
    start, stop = int(measured[0]), int(measured[-1]) + 1
    if stop - start != len(measured) or len(measured) < 16:
        return 0
    middle, wanted = (start + stop) // 2, size // 2
    found = wanted - middle
    far = abs(found) > max(4, size // 16) and start + found >= 0 and stop + found <= size
    if not far or abs(int(lines.argmax()) - middle) > 1:
        return 0
    return found if lines[middle] > 4 * lines[max(0, wanted - 1) : wanted + 2].mean() else 0


def _central(measured: np.ndarray) -> slice:
    """The central run of lines that were measured, at most SIDE of them, with its middle in the array's."""
    first, end = run_through_centre(measured)
    middle = len(measured) // 2
    half = min(middle - first, end - middle, SIDE // 2)
    return slice(middle - half, middle + half)
