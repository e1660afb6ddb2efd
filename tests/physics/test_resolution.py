"""Truncation, embedding on the Fourier grid, blur and interpolation: where voxels land and what they keep."""

import numpy as np
import pytest
import torch

from mri_d3gm.physics.blur import blur_subsample, random_kernel
from mri_d3gm.physics.consistency import projection
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.interpolation import interpolate
from mri_d3gm.physics.resolution import centre_mask, embed, truncate
from mri_d3gm.settings import INTERPOLATIONS

SIZES = [(8, 10), (9, 11), (9, 10), (1, 7)]


def image(rows: int, cols: int) -> torch.Tensor:
    return torch.rand(rows, cols, generator=torch.Generator().manual_seed(rows * cols))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [2, 4])
def test_fourier_grid_keeps_every_voxel_in_place_and_the_image_real(size: tuple[int, int], factor: int) -> None:
    low = image(*size)
    high = ifft2c(embed(low, factor))
    assert high.shape == (factor * size[0], factor * size[1])
    assert float(high.imag.abs().max()) < 1e-5
    torch.testing.assert_close(high.real[::factor, ::factor], low, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [2, 4])
def test_truncation_undoes_embedding(size: tuple[int, int], factor: int) -> None:
    low = image(*size)
    back = truncate(ifft2c(embed(low, factor)), factor)
    torch.testing.assert_close(back.real, low, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="divisible"):
        truncate(image(7, 9), factor)


@pytest.mark.parametrize("size", SIZES)
def test_projection_on_the_centre_restores_the_measured_lines_and_nothing_else(size: tuple[int, int]) -> None:
    high = image(4 * size[0], 4 * size[1]).to(torch.complex64)
    mask, kspace = centre_mask(size, 4)[None], embed(truncate(high, 4), 4)[None, None]
    torch.testing.assert_close(projection(high[None], kspace, mask)[0], high, atol=1e-5, rtol=1e-4)
    other = projection(torch.zeros_like(high)[None], kspace, mask)
    torch.testing.assert_close(fft2c(other)[0][mask[0]], kspace[0, 0][mask[0]], atol=1e-5, rtol=1e-4)
    assert float(fft2c(other)[0][~mask[0]].abs().sum()) < 1e-3


def test_a_constant_stays_that_constant_through_every_degradation_and_interpolation() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.full((24, 16), 3.0)
    for low in (truncate(flat, 4).real, blur_subsample(flat, random_kernel(4, generator), 4)):
        torch.testing.assert_close(low, torch.full((6, 4), 3.0), atol=1e-4, rtol=1e-4)
    for kind in INTERPOLATIONS:
        np.testing.assert_allclose(interpolate(np.full((6, 4), 3.0), 4, kind), 3, rtol=1e-5)


@pytest.mark.parametrize("kind", INTERPOLATIONS)
@pytest.mark.parametrize("factor", [2, 4])
def test_interpolations_pass_through_the_voxels(kind: str, factor: int) -> None:
    low = image(7, 12).numpy()
    high = interpolate(low, factor, kind)
    assert high.shape == (7 * factor, 12 * factor)
    np.testing.assert_allclose(high[::factor, ::factor], low, atol=1e-5)


def test_linear_interpolation_is_exact_on_a_ramp() -> None:
    ramp = np.arange(9, dtype=np.float32)[None].repeat(3, 0)
    np.testing.assert_allclose(interpolate(ramp, 4, "linear")[0, :33], np.arange(33) / 4, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_kernels_are_positive_sum_to_one_and_differ_by_seed(factor: int) -> None:
    first, second = (random_kernel(factor, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert first.shape == (4 * factor + 3,) * 2
    assert bool((first >= 0).all()) and float(first.sum()) == pytest.approx(1, rel=1e-5)
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_kernel_leaves_a_landmark_on_its_voxel(factor: int) -> None:
    high = torch.zeros(12 * factor, 12 * factor)
    high[5 * factor, 7 * factor] = 1
    low = blur_subsample(high, random_kernel(factor, torch.Generator().manual_seed(3)), factor)
    assert int(low.argmax()) == 5 * 12 + 7
