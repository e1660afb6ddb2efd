"""Protocols of deraining and dehazing for colour pictures, by name: arrays (rows, cols, 3) in [0, 1] to psnr (dB) and ssim.

SSIM is Wang's: Gaussian of 11 x 11 and sigma 1.5, K = (0.01, 0.03), averaged over the area where the window fits.
"""

from collections.abc import Callable

import numpy as np

RestorationMetric = Callable[[np.ndarray, np.ndarray], dict[str, float]]

SIGMA, HALF = 1.5, 5


def luma(image: np.ndarray) -> np.ndarray:
    """Y of BT.601 in studio range, 16/255 to 235/255, (rows, cols), as MATLAB's rgb2ycbcr."""
    return (16 + image @ np.array([65.481, 128.553, 24.966])) / 255


def psnr(reference: np.ndarray, image: np.ndarray) -> float:
    """dB, range 1; infinite for equal pictures."""
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(((reference - image) ** 2).mean()))


def ssim(reference: np.ndarray, image: np.ndarray) -> float:
    """SSIM of two planes (rows, cols), each side at least 11, range 1; ValueError where they are smaller."""
    from skimage.metrics import structural_similarity

    settings = {"gaussian_weights": True, "sigma": SIGMA, "use_sample_covariance": False, "data_range": 1.0}
    full = structural_similarity(reference, image, full=True, **settings)[1]
    return float(full[HALF:-HALF, HALF:-HALF].mean())


def _check(reference: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if reference.shape != image.shape or reference.ndim != 3 or reference.shape[2] != 3:
        raise ValueError(f"reference {reference.shape} and image {image.shape}: both must be (rows, cols, 3)")
    return reference.astype(np.float64), image.astype(np.float64)


def _both(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Of planes (rows, cols), or of colours (rows, cols, 3) with SSIM averaged over the channels."""
    if reference.ndim == 2:
        return {"psnr": psnr(reference, image), "ssim": ssim(reference, image)}
    channels = [ssim(reference[..., channel], image[..., channel]) for channel in range(3)]
    return {"psnr": psnr(reference, image), "ssim": float(np.mean(channels))}


def y_uint8(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Y rounded to 8 bits, no border removed: PReNet, MPRNet, Restormer."""
    reference, image = _check(reference, image)
    return _both(np.round(luma(reference) * 255) / 255, np.round(luma(image) * 255) / 255)


def y_crop4(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Y not rounded, four pixels of border removed: IR-SDE's released code."""
    reference, image = _check(reference, image)
    return _both(luma(reference)[4:-4, 4:-4], luma(image)[4:-4, 4:-4])


def rgb(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """All three channels, no border removed: FFA-Net."""
    return _both(*_check(reference, image))


def averaged_down(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor pixels as adaptive pooling to (rows // factor, cols // factor): windows cover the picture."""
    for axis in (0, 1):
        size = image.shape[axis]
        count = size // factor
        windows = [slice(size * k // count, -(-size * (k + 1) // count)) for k in range(count)]
        image = np.stack([np.take(image, range(window.start, window.stop), axis).mean(axis) for window in windows], axis)
    return image


def dehaze(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """PSNR as `rgb`; SSIM after both were averaged down by max(1, round(shorter side / 256)): DehazeFormer."""
    reference, image = _check(reference, image)
    factor = max(1, round(min(reference.shape[:2]) / 256))
    small = _both(averaged_down(reference, factor), averaged_down(image, factor))
    return {"psnr": psnr(reference, image), "ssim": small["ssim"]}


RESTORATION_METRICS: dict[str, RestorationMetric] = {
    "y-uint8": y_uint8,
    "y-crop4": y_crop4,
    "rgb": rgb,
    "dehaze": dehaze,
}
