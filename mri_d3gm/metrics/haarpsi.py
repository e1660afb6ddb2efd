"""HaarPSI: perceptual similarity from Haar wavelet coefficients (Reisenhofer et al., Signal Process Image Commun 2018)."""

import numpy as np

CONTRAST, EXPONENT = 30.0, 4.2


def _halve(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 blocks; an odd last row or column is completed by zeros."""
    padded = np.pad(image, [(0, size % 2) for size in image.shape])
    rows, cols = padded.shape
    return padded.reshape(rows // 2, 2, cols // 2, 2).mean((1, 3))


def _coefficients(image: np.ndarray) -> np.ndarray:
    """Haar magnitudes (2 directions, 3 scales, rows, cols); windows of 2, 4 and 8, one pixel longer after than before."""
    from scipy.signal import convolve2d

    rows, cols = image.shape
    stack = []
    for half in (1, 2, 4):
        kernel = np.full((2 * half, 2 * half), 0.5 / half)
        kernel[:half] *= -1
        inside = np.s_[half : half + rows, half : half + cols]
        stack.append([np.abs(convolve2d(image, k)[inside]) for k in (kernel, kernel.T)])
    return np.array(stack).swapaxes(0, 1)


def haarpsi_slice(reference: np.ndarray, image: np.ndarray, peak: float) -> float:
    """HaarPSI of one slice (rows, cols), in [0, 1], 1 for equal images; scaled so that `peak` is 255, then halved in size."""
    from scipy.special import expit, logit

    first, second = (_coefficients(_halve(data * (255 / peak))) for data in (reference, image))
    fine_1, fine_2 = first[:, :2], second[:, :2]
    similarity = ((2 * fine_1 * fine_2 + CONTRAST) / (fine_1**2 + fine_2**2 + CONTRAST)).mean(1)
    weight = np.maximum(first[:, 2], second[:, 2])
    if not weight.any():
        return 1.0
    return float((logit(np.average(expit(EXPONENT * similarity), weights=weight)) / EXPONENT) ** 2)


def haarpsi(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """haarpsi, mean over slices (slices, rows, cols), range the reference volume's maximum."""
    peak = float(reference.max())
    return {"haarpsi": float(np.mean([haarpsi_slice(a, b, peak) for a, b in zip(reference, image, strict=True)]))}
