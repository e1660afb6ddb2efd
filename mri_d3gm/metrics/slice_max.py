"""Protocol slice-max: each slice divided by its own maximum; SSIM with range 1 and, as CDiffMR's code takes it, 2."""

import numpy as np

from mri_d3gm.metrics.table import average


def slice_max(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """psnr (dB), ssim_range1, ssim_range2, means over slices (slices, rows, cols) that are not empty, by `average`;
    reference and image are both divided by the maximum of the reference's slice.
    """
    from skimage.metrics import structural_similarity

    values = []
    for clean, estimate in zip(reference, image, strict=True):
        peak = clean.max()
        if peak <= 0:
            continue
        clean, estimate = clean / peak, estimate / peak
        with np.errstate(divide="ignore"):
            psnr = -10 * np.log10(((clean - estimate) ** 2).mean())
        values.append([psnr, *(structural_similarity(clean, estimate, data_range=top) for top in (1, 2))])
    return dict(zip(("psnr", "ssim_range1", "ssim_range2"), map(average, np.transpose(values).tolist()), strict=True))
