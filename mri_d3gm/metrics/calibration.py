"""How well a standard deviation map foretells the error."""

import numpy as np


def calibrated_std(std: np.ndarray, error: np.ndarray | None, noise: float, spread: float, foretold: float) -> np.ndarray:
    """Standard deviation to expect of the error of a magnitude, (rows, cols): of spread x the draws' std, foretold x the size
    of the error that the network expects, where it does, and the noise of a fully sampled scan, the squares added.
    """
    variance = (spread * std.astype(np.float64)) ** 2 + noise**2
    if error is not None:
        variance += (foretold * error.astype(np.float64)) ** 2
    return np.sqrt(variance).astype(np.float32)


def calibration(error: np.ndarray, std: np.ndarray, bins: int = 10) -> dict[str, float]:
    """coverage_1std, coverage_2std (Gaussian: .683, .954), rank_correlation of |error| and std (Spearman, nan for a
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
