"""Protocol slice-max: each slice divided by its own maximum; SSIM with range 1 and, as CDiffMR's code takes it, 2."""

import numpy as np


def slice_max(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """psnr, ssim_range1, ssim_range2, means over slices (slices, rows, cols); both divided by the reference's maximum."""
    from skimage.metrics import structural_similarity

    psnr, one, two = [], [], []
    for clean, estimate in zip(reference, image, strict=True):
        peak = clean.max()
        if peak <= 0:
            continue
        clean, estimate = clean / peak, estimate / peak
        mse = ((clean - estimate) ** 2).mean()
        psnr.append(10 * np.log10(1 / mse) if mse > 0 else np.inf)
        one.append(structural_similarity(clean, estimate, data_range=1))
        two.append(structural_similarity(clean, estimate, data_range=2))
    return {name: float(np.mean(v)) for name, v in (("psnr", psnr), ("ssim_range1", one), ("ssim_range2", two))}
