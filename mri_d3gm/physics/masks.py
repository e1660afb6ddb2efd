"""Cartesian sampling masks by name, seeded; a mask is bool, True where k-space is measured."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mri_d3gm.errors import InputError

Mask1D = Callable[[int, float, float, int], np.ndarray]
Mask2D = Callable[[tuple[int, int], float, float, int], np.ndarray]
POISSON_MINIMUM = 1.5
WHOLE = ("equispaced", "magic")  # kinds that take every accel-th line


def _fastmri(kind: str) -> Mask1D:
    def draw(lines: int, accel: float, center_fraction: float, seed: int) -> np.ndarray:
        from fastmri.data import subsample

        function = getattr(subsample, kind)([center_fraction], [int(accel) if accel == int(accel) else accel])
        return function((1, 1, lines, 2), seed=seed)[0].numpy().reshape(-1) > 0

    return draw


def gaussian(lines: int, accel: float, center_fraction: float, seed: int) -> np.ndarray:
    """Density that falls as a Gaussian (deviation 0.35 of the half width) from the full centre."""
    distance = (np.arange(lines) - lines // 2) / (lines / 2)
    centre = full_centre(lines, round(lines * center_fraction))
    return _by_density(np.exp(-0.5 * (distance / 0.35) ** 2) + 0.02, centre, accel, seed)


def gaussian_2d(shape: tuple[int, int], accel: float, center_fraction: float, seed: int) -> np.ndarray:
    """As `gaussian` in two dimensions; the full centre is center_fraction of each axis."""
    y, x = ((np.arange(n) - n // 2) / (n / 2) for n in shape)
    density = np.exp(-0.5 * (y[:, None] ** 2 + x[None] ** 2) / 0.35**2) + 0.02
    centre = np.outer(*(full_centre(n, round(n * center_fraction)) for n in shape))
    return _by_density(density, centre, accel, seed)


def poisson_2d(shape: tuple[int, int], accel: float, center_fraction: float, seed: int) -> np.ndarray:
    """Variable-density Poisson disc of sigpy, whose search does not end near full sampling."""
    from sigpy.mri import poisson

    if accel < POISSON_MINIMUM:
        raise InputError(f"--accel {accel:g}: mask poisson-2d needs {POISSON_MINIMUM:g} or more; mask gaussian-2d takes less")
    calibration = tuple(max(4, round(n * center_fraction)) for n in shape)
    try:
        return np.abs(poisson(shape, accel, calib=calibration, seed=seed, crop_corner=False, tol=0.1 * accel)) > 0
    except ValueError as error:
        raise InputError(f"mask poisson-2d cannot reach --accel {accel:g} on {shape[0]} x {shape[1]}: {error}") from error


def full_centre(lines: int, count: int) -> np.ndarray:
    """The `count` lines around the centre of k-space that fastMRI's masks sample fully, (lines,) bool."""
    start = (lines - count + 1) // 2
    index = np.arange(lines)
    return (index >= start) & (index < start + count)


def _by_density(density: np.ndarray, centre: np.ndarray, accel: float, seed: int) -> np.ndarray:
    wanted = round(centre.size / accel) - int(centre.sum())
    if wanted < 0:
        raise InputError(f"--accel {accel:g} leaves fewer lines than the full centre; lower --center-fraction")
    density = np.where(centre, 0, density).ravel()
    chosen = np.random.default_rng(seed).choice(centre.size, wanted, replace=False, p=density / density.sum())
    mask = centre.ravel().copy()
    mask[chosen] = True
    return mask.reshape(centre.shape)


MASKS_1D: dict[str, Mask1D] = {
    "random": _fastmri("RandomMaskFunc"),
    "equispaced": _fastmri("EquiSpacedMaskFunc"),
    "equispaced-fraction": _fastmri("EquispacedMaskFractionFunc"),
    "magic": _fastmri("MagicMaskFractionFunc"),
    "gaussian": gaussian,
}
MASKS_2D: dict[str, Mask2D] = {"gaussian-2d": gaussian_2d, "poisson-2d": poisson_2d}
MASKS = (*MASKS_1D, *MASKS_2D)


def make_mask(
    shape: tuple[int, int],
    accel: float,
    kind: str = "equispaced-fraction",
    axis: str = "phase",
    center_fraction: float | None = None,
    seed: int = 0,
    *,
    limits: tuple[int, int] | None = None,
) -> np.ndarray:
    """A mask for k-space of `shape` (rows, cols): (1, cols) for axis phase, (rows, 1) for readout, (rows, cols) for 2-D.

    center_fraction defaults to 0.32 / accel, of 2-D kinds to sqrt(0.1 / accel) of each axis, at least 4 lines; limits
    (first, end) are the columns that exist.
    InputError for combinations that cannot be.
    """
    options = {"axis": axis, "center_fraction": center_fraction, "seed": seed, "limits": limits}
    return _drawn(shape, accel, kind, **options).copy()  # type: ignore[arg-type]


@lru_cache(maxsize=4)
def _drawn(
    shape: tuple[int, int],
    accel: float,
    kind: str,
    *,
    axis: str,
    center_fraction: float | None,
    seed: int,
    limits: tuple[int, int] | None,
) -> np.ndarray:
    if not np.isfinite(accel) or accel < 1:
        raise InputError(f"--accel {accel:g}: must be 1 or more")
    if kind not in MASKS:
        raise InputError(f"--mask {kind}: unknown; one of {', '.join(MASKS)}")
    if axis not in ("phase", "readout"):
        raise InputError(f"--axis {axis}: phase or readout")
    if center_fraction is not None and not 0 < center_fraction < 1:
        raise InputError(f"--center-fraction {center_fraction:g}: must lie between 0 and 1")
    if accel == 1:
        return np.ones((1, shape[1]) if axis == "phase" else (shape[0], 1), bool)
    sampled = shape if kind in MASKS_2D else (shape[1] if axis == "phase" else shape[0],)
    if center_fraction is not None and round(center_fraction * min(sampled)) < 1:
        raise InputError(f"--center-fraction {center_fraction:g}: leaves no full centre in {min(sampled)} lines")
    if kind in MASKS_2D:
        first, end = limits or (0, shape[1])
        inside = shape[0], end - first
        fraction = center_fraction or max(4 / min(inside), (0.1 / accel) ** 0.5)
        plane = np.zeros(shape, bool)
        plane[:, first:end] = MASKS_2D[kind](inside, accel, fraction, seed)
        return plane
    first, end = limits if limits is not None and axis == "phase" else (0, shape[1] if axis == "phase" else shape[0])
    middle = (shape[1] if axis == "phase" else shape[0]) // 2
    half = max(middle - first, end - middle)
    around = (first, end) if abs((first + end) // 2 - middle) <= 1 else (middle - half, middle + half)
    lines = around[1] - around[0]  # a block that is off the centre is cut out of one that is not
    fraction = center_fraction or max(0.32 / accel, 4 / lines)
    if fraction * accel >= 1:
        raise InputError(
            f"--accel {accel:g} cannot be reached on {lines} lines with {round(fraction * lines)} in the full centre; "
            "lower --accel or --center-fraction"
        )
    if kind in WHOLE and accel != round(accel):
        raise InputError(f"--accel {accel:g}: mask {kind} needs a whole number; mask equispaced-fraction takes any")
    line = np.zeros(shape[1] if axis == "phase" else shape[0], bool)
    try:
        line[first:end] = MASKS_1D[kind](lines, accel, fraction, seed)[first - around[0] :][: end - first]
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"--accel {accel:g} with --mask {kind} cannot be reached on {lines} lines") from error
    return line[None] if axis == "phase" else line[:, None]
