"""What one compares with: SENSE, l1-wavelet and total variation, all by sigpy."""

import numpy as np


def _solve(app: str, kspace: np.ndarray, mask: np.ndarray, coil_maps: np.ndarray, lamda: float, **options: int) -> np.ndarray:
    """Run a sigpy.mri.app on k-space (coils, rows, cols) scaled so that lamda does not depend on its units."""
    import sigpy.mri.app

    scale = float(np.abs(kspace).max()) or 1.0
    weights = np.broadcast_to(mask, kspace.shape[-2:]).astype(np.float32)
    function = getattr(sigpy.mri.app, app)
    state = np.random.get_state()
    np.random.seed(0)  # sigpy finds step sizes by power iteration from a random start
    image = function(kspace / scale, coil_maps, lamda, weights=weights, show_pbar=False, **options).run()
    np.random.set_state(state)
    return np.asarray(image) * scale


def sense(kspace: np.ndarray, mask: np.ndarray, coil_maps: np.ndarray, lamda: float = 0.01) -> np.ndarray:
    """Tikhonov-regularised SENSE: complex image (rows, cols) from kspace (coils, rows, cols) and mask (rows | 1, cols | 1)."""
    return _solve("SenseRecon", kspace, mask, coil_maps, lamda, max_iter=30)


def l1_wavelet(kspace: np.ndarray, mask: np.ndarray, coil_maps: np.ndarray, lamda: float = 1e-4) -> np.ndarray:
    """l1-wavelet compressed sensing (Daubechies 4), FISTA; shapes as `sense`."""
    return _solve("L1WaveletRecon", kspace, mask, coil_maps, lamda, max_iter=100)


def tv(kspace: np.ndarray, mask: np.ndarray, coil_maps: np.ndarray, lamda: float = 1e-4) -> np.ndarray:
    """Total variation, primal-dual; shapes as `sense`."""
    return _solve("TotalVariationRecon", kspace, mask, coil_maps, lamda, max_iter=100)
