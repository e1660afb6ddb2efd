"""How well a standard deviation map foretells the error."""

import numpy as np


def calibrated_std(std: np.ndarray, noise: float, gain: float, floor: float, blur: float) -> np.ndarray:
    """Standard deviation to expect of the error, from that of the draws, (rows, cols): its variance blurred by `blur` pixels
    times gain^2, plus floor^2 times its mean over the slice, plus the variance of the noise of a fully sampled scan.
    """
    from scipy.ndimage import gaussian_filter

    variance = std.astype(np.float64) ** 2
    return np.sqrt(gain**2 * gaussian_filter(variance, blur) + floor**2 * variance.mean() + noise**2).astype(np.float32)


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
