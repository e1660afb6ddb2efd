"""Protocol fastmri-volume: PSNR and NMSE over the volume, SSIM slice by slice, range the reference volume's maximum."""

import numpy as np


def fastmri_volume(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """psnr (dB), ssim, nmse by fastmri.evaluate, and the worst slice's PSNR with the same range; (slices, rows, cols)."""
    from fastmri import evaluate

    with np.errstate(divide="ignore"):
        return {
            "psnr": np.asarray(evaluate.psnr(reference, image)).item(),
            "ssim": np.asarray(evaluate.ssim(reference, image)).item(),
            "nmse": np.asarray(evaluate.nmse(reference, image)).item(),
            "psnr_worst": float(10 * np.log10(reference.max() ** 2 / ((image - reference) ** 2).mean((1, 2)).max())),
        }
