import numpy as np
import pytest
import torch
from test_coil_maps import birdcage_scan

from mri_d3gm.physics import baselines
from mri_d3gm.physics.masks import make_mask


@pytest.mark.parametrize("method", [baselines.sense, baselines.l1_wavelet, baselines.tv])
def test_baselines_beat_zero_filling_and_do_not_depend_on_units(method) -> None:
    kspace, maps, _ = birdcage_scan(64, 64)
    mask = make_mask((64, 64), 3, center_fraction=0.12)
    truth = torch.linalg.vector_norm(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=(-2, -1)), norm="ortho"), dim=0)
    truth = torch.fft.fftshift(truth).numpy()
    measured = (kspace.numpy() * mask).astype(np.complex64)
    image = np.abs(method(measured, mask, maps.numpy()))
    coils = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(measured, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    zero_filled = np.linalg.norm(coils, axis=0)
    assert np.linalg.norm(image - truth) < 0.7 * np.linalg.norm(zero_filled - truth)
    scaled = np.abs(method(measured * np.float32(1e6), mask, maps.numpy()))
    np.testing.assert_allclose(scaled / 1e6, image, rtol=1e-3, atol=1e-3 * image.max())
