"""How well a standard deviation map foretells the error."""

import numpy as np


def calibration(error: np.ndarray, std: np.ndarray, bins: int = 10) -> dict[str, float]:
    """coverage_1std, coverage_2std (Gaussian: .683, .954), rank correlation of |error| and std, and the expected
    calibration error: mean over bins of equal count in std of |RMS error - RMS std|, relative to the RMS error.
    """
    from scipy.stats import spearmanr

    size, std = np.abs(error).ravel(), std.ravel()
    order = np.array_split(np.argsort(std), bins)
    gaps = [abs(np.sqrt((size[b] ** 2).mean()) - np.sqrt((std[b] ** 2).mean())) * len(b) for b in order]
    return {
        "coverage_1std": float((size <= std).mean()),
        "coverage_2std": float((size <= 2 * std).mean()),
        "rank_correlation": float(spearmanr(size, std).statistic),
        "expected_calibration_error": float(sum(gaps) / size.size / np.sqrt((size**2).mean())),
    }
