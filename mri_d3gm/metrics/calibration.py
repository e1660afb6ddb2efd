"""How well a standard deviation map predicts the error."""

from collections.abc import Sequence

import numpy as np

USUAL = 0.6
DRAWN, PREDICTED, SURPRISE = 2.0, 1.2, 0.4  # factors of `calibrated_std`
# factors of `detail_std`: k-space's centre is known, nothing is, some of the draws take it for known, thick slices are
KNOWN, UNASSUMED, DOUBTED, STACKED = (7.3, 0.0, 0.0128), (2.4, 0.5, 0.028), (1.3, 0.28, 0.024), (9.8, 0.97, 0.0071)
INTERPOLATED = 0.0, 0.6, 0.0128  # of interpolation alone


def calibrated_std(
    std: np.ndarray,
    error: np.ndarray | None,
    noise: float,
    withheld: float | None,
) -> np.ndarray:
    """Standard deviation to expect of the error of a magnitude, (rows, cols), from that of the draws.

    The squares added of DRAWN x std; of PREDICTED exp(SURPRISE x withheld) x error, the size of the error that the network
    predicts, where it does; and of the noise of a fully sampled scan. withheld: how much of the withheld samples' energy
    the prediction missed, on this scan (`Support.error`); None counts as USUAL. The factors are those of the shipped weights,
    found on held-out training slices (docs/trials.md).
    """
    variance = (DRAWN * std.astype(np.float64)) ** 2 + noise**2
    if error is not None:
        seen = min(max(USUAL if withheld is None else withheld, 0.0), 1.5)
        variance += (PREDICTED * np.exp(SURPRISE * seen) * error.astype(np.float64)) ** 2
    return np.sqrt(variance).astype(np.float32)


def detail_std(
    std: np.ndarray,
    image: np.ndarray,
    unit: float,
    fine: float | Sequence[float],
    near: float | Sequence[float],
    factors: tuple[float, float, float],
) -> np.ndarray:
    """Standard deviation to expect of the error of a super-resolved image or volume, from that of its draws.

    The root of the squares added, in a neighbourhood of Gaussian width `near` (along each axis, in voxels), of factors[0] x std
    and of factors[1] x what is finer in the image than `fine`, and of factors[2] x unit, which is the image's 99th percentile.
    std: of a sample, so that it does not depend on how many were drawn. The factors above were found with the shipped weights:
    STACKED on three heads, the others on held-out training slices (docs/trials.md).
    """
    from scipy.ndimage import gaussian_filter

    size = 2.0 ** np.floor(np.log2(unit)) if unit > 0 else 1.0  # so that no square is too large or too small
    single, unit = (image / size).astype(np.float32), unit / size
    parts = (std / size).astype(np.float32), single - gaussian_filter(single, fine)
    local = sum(factor**2 * gaussian_filter(part**2, near) for factor, part in zip(factors, parts, strict=False))
    return (size * np.sqrt(local + (factors[2] * unit) ** 2)).astype(np.float32)


def calibration(error: np.ndarray, std: np.ndarray, bins: int = 10) -> dict[str, float]:
    """coverage_1std, coverage_2std (Gaussian: 0.683, 0.954), rank_correlation of |error| and std (Spearman, nan for a
    constant map), and expected_calibration_error: mean over bins of equal count in std of |RMS error - RMS std|,
    relative to the RMS error. Both arrays of one shape; ValueError otherwise.
    """
    from scipy.stats import spearmanr

    if error.shape != std.shape:
        raise ValueError(f"error {error.shape} and std {std.shape} differ in shape")
    size, std = np.abs(error).ravel().astype(np.float64), std.ravel().astype(np.float64)
    order = np.array_split(np.argsort(std, kind="stable"), bins)
    gaps = [abs(np.sqrt((size[b] ** 2).mean()) - np.sqrt((std[b] ** 2).mean())) * len(b) for b in order if len(b)]
    return {
        "coverage_1std": float((size <= std).mean()),
        "coverage_2std": float((size <= 2 * std).mean()),
        "rank_correlation": float(spearmanr(size, std).statistic),
        "expected_calibration_error": float(sum(gaps) / size.size / np.sqrt((size**2).mean())),
    }
