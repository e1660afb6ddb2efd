"""HaarPSI: perceptual similarity from Haar wavelet coefficients (Reisenhofer et al., Signal Process Image Commun 2018)."""

import numpy as np
from scipy.signal import convolve2d

CONTRAST, EXPONENT = 30.0, 4.2


def _coefficients(image: np.ndarray) -> np.ndarray:
    """Haar coefficients (2 directions, 3 scales, rows, cols)."""
    stack = []
    for scale in (1, 2, 3):
        size = 2**scale
        kernel = np.full((size, size), 2.0**-scale)
        kernel[: size // 2] *= -1
        stack.append([convolve2d(image, kernel, "same"), convolve2d(image, kernel.T, "same")])
    return np.array(stack).transpose(1, 0, 2, 3)


def haarpsi_slice(reference: np.ndarray, image: np.ndarray, peak: float) -> float:
    """HaarPSI of one slice, (0, 1], 1 for equal images; both scaled so that peak is 255 and halved in size first."""
    pair = []
    for data in (reference, image):
        smooth = convolve2d(data * (255 / peak), np.full((2, 2), 0.25), "same")
        pair.append(_coefficients(smooth[::2, ::2]))
    first, second = pair
    fine_first, fine_second = np.abs(first[:, :2]), np.abs(second[:, :2])
    similarity = (2 * fine_first * fine_second + CONTRAST**2) / (fine_first**2 + fine_second**2 + CONTRAST**2)
    local = 1 / (1 + np.exp(-EXPONENT * similarity.mean(1)))
    weight = np.maximum(np.abs(first[:, 2]), np.abs(second[:, 2]))
    total = weight.sum()
    mean = (local * weight).sum() / total if total > 0 else 1 / (1 + np.exp(-EXPONENT))
    return float((np.log(mean / (1 - mean)) / EXPONENT) ** 2)


def haarpsi(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """haarpsi, mean over slices (slices, rows, cols), range the volume's maximum."""
    peak = float(reference.max())
    return {"haarpsi": float(np.mean([haarpsi_slice(a, b, peak) for a, b in zip(reference, image, strict=True)]))}
