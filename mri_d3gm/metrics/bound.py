"""A bound on the error of an image without a reference, by conformal prediction."""

from typing import NamedTuple

import numpy as np

GREEN, RED = 0.12, 0.25  # relative errors
RULE = (
    f"green: the error of the slice is below {GREEN:.0%} of the image with 90 % probability, and such scans are known; "
    f"red: it may be above {RED:.0%}; amber: anything else"
)
LEAST = (1e-4, 1e-4, 0.01, 1.0)  # of the evidence; less noise than that makes no image better
FOLDS = 10


class Evidence(NamedTuple):
    """What is known of an image without a reference; the first three relative to the root mean square of the image.

    foretold: the error of what was not measured, if it is missed as withheld samples are (`trust.foretold`); std: root mean
    square of the std map; noise: its deviation; accel: encoded over measured samples.
    """

    foretold: float
    std: float
    noise: float
    accel: float


class Bound(NamedTuple):
    """The logarithm of a relative error is that of the evidence times factors, the last one alone, and at most `margin` more.

    least, greatest: the evidence that it was found on; subjects: how many.
    """

    level: float
    factors: list[float]
    margin: float
    least: list[float]
    greatest: list[float]
    subjects: int


def together(parts: list[Evidence], sizes: list[float]) -> Evidence:
    """That of a volume: of slices with root mean squares `sizes`, relative to their own."""
    weights = np.square(sizes) / np.square(sizes).sum()
    *relative, accel = np.array(parts).T
    foretold, std, noise = (float(np.sqrt((weights * part**2).sum())) for part in relative)
    return Evidence(foretold, std, noise, float((weights * accel).sum()))


def fit(evidence: np.ndarray, errors: np.ndarray, subjects: np.ndarray, level: float = 0.9) -> Bound:
    """Least squares in logarithms, and the margin that `level` of a new subject's errors keep (split conformal prediction).

    evidence (n, 4), errors (n,) relative, subjects (n,) names. The margin is a quantile of what is left of the errors of those
    subjects that the factors were not fitted to, FOLDS times a part of them; every subject has the same weight, and one more an
    infinite error. ValueError for fewer than FOLDS subjects.
    """
    names = np.unique(subjects)
    if len(names) < FOLDS:
        raise ValueError(f"{len(names)} subjects: {FOLDS} are needed")
    x, y = design(evidence), np.log(errors)
    left = np.empty_like(y)
    for fold in range(FOLDS):
        out = np.isin(subjects, names[fold::FOLDS])
        left[out] = y[out] - x[out] @ solved(x[~out], y[~out])
    margin = quantile(left, subjects, level)
    return Bound(level, solved(x, y).tolist(), margin, evidence.min(0).tolist(), evidence.max(0).tolist(), len(names))


def design(evidence: np.ndarray) -> np.ndarray:
    """Logarithms and a one, (..., 5) from (..., 4)."""
    return np.concatenate([np.log(np.maximum(evidence, LEAST)), np.ones((*evidence.shape[:-1], 1))], -1)


def solved(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Factors of least squares."""
    return np.linalg.lstsq(x, y, rcond=None)[0]


def quantile(values: np.ndarray, subjects: np.ndarray, level: float) -> float:
    """What `level` of a new subject's values are expected to lie under; the greatest value where subjects are too few."""
    names, counts = np.unique(subjects, return_counts=True)
    weight = (1 / counts)[np.searchsorted(names, subjects)] / (len(names) + 1)
    order = np.argsort(values)
    above = np.flatnonzero(np.cumsum(weight[order]) >= level)
    return float(values[order][above[0] if len(above) else -1])


def upper(bound: Bound, evidence: Evidence) -> float:
    """The relative error that an image stays below at the bound's level."""
    return float(np.exp(design(np.array(evidence)) @ bound.factors + bound.margin))


def least_psnr(relative: float, peak: float, rms: float) -> float:
    """PSNR in dB that goes with a bound, of an image with that peak and root mean square, which stand for the reference's."""
    return float(20 * np.log10(peak / (relative * rms)))


def known_kind(bound: Bound, evidence: Evidence) -> bool:
    """Whether evidence lies within twice the range of that which the bound was found on."""
    return all(low / 2 <= value <= 2 * high for value, low, high in zip(evidence, bound.least, bound.greatest, strict=True))


def light(bound: Bound, evidence: Evidence) -> str:
    """green: the bound is at most GREEN, and such evidence is known; red: it is above RED; amber: any other."""
    greatest = upper(bound, evidence)
    if greatest > RED:
        return "red"
    return "green" if greatest <= GREEN and known_kind(bound, evidence) else "amber"
