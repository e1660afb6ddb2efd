"""How much of k-space an image fills, and images on other grids of the same field of view."""

import numpy as np
import pytest
import torch
from scans import phantom

from mri_d3gm.physics.degrade import blurred
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.normalise import is_signed
from mri_d3gm.physics.occupied import filled, occupied, resampled, within
from mri_d3gm.physics.resolution import embed, truncate
from mri_d3gm.physics.truncation import Truncation


def head(rows: int, cols: int, noise: float = 0.01) -> torch.Tensor:
    """Two slices with edges, and noise in the whole of k-space, on a ground that no ringing makes negative."""
    grain = np.random.default_rng(rows).normal(0, noise, (2, rows, cols))
    return torch.from_numpy(0.5 + phantom(2, rows, cols) + grain).float()


@pytest.mark.parametrize("size", [(24, 26), (25, 27), (24, 27)])
@pytest.mark.parametrize("factor", [2, 4])
def test_more_voxels_are_those_of_the_fourier_grid(size: tuple[int, int], factor: int) -> None:
    image = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    more = resampled(image, (factor * size[0], factor * size[1]))
    torch.testing.assert_close(more, ifft2c(embed(image, factor)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(more[..., ::factor, ::factor].real, image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(resampled(more, size).real, image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(resampled(more, size), truncate(more, factor), atol=1e-5, rtol=1e-5)


def test_all_lines_known_is_the_measurement_of_the_image_itself() -> None:
    image = torch.randn(2, 24, 27, generator=torch.Generator().manual_seed(0))
    one, other = within(image, (24, 27), (48, 54)), Truncation.of(image, 2)
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.kspace, other.kspace, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ratio", [1.2, 1.5, 2, 3.1])
@pytest.mark.parametrize("size", [(64, 80), (75, 96)])
def test_what_interpolation_added_is_found(ratio: float, size: tuple[int, int]) -> None:
    few = head(*size)
    more = resampled(few, (round(ratio * size[0]), round(ratio * size[1]))).abs()
    for found, true in zip(occupied(more.numpy()), size, strict=True):
        assert found % 2 == 1 and 0.92 * true <= found <= true
    assert occupied(few.numpy()) == size
    one_way = resampled(few, (size[0], round(ratio * size[1]))).abs()
    assert occupied(one_way.numpy())[0] == size[0] and occupied(one_way.numpy())[1] <= size[1]


def test_a_blur_is_no_edge() -> None:
    fewer = torch.stack([blurred(head(160, 192)[0], 2, seed) for seed in range(6)])
    for image in fewer:
        assert occupied(image[None].numpy()) == (80, 96)


@pytest.mark.parametrize("power", [np.zeros(64), np.ones(64), np.ones(5), np.eye(1, 200)[0], np.full(100, 1e-30)])
def test_nothing_that_could_be_told_is_all(power: np.ndarray) -> None:
    assert filled(power) == len(power)


def test_units_decide_nothing() -> None:
    """Nor does a value a hair below zero, as interpolation leaves it."""
    rng = np.random.default_rng(1)
    images = resampled(torch.from_numpy(rng.random((2, 49, 61), np.float32)), (80, 96)).numpy()
    signed = rng.normal(size=(20, 20))
    for unit in (1, 1e17, 1e-17):
        assert occupied(np.float32(unit) * images) == occupied(images) != (80, 96)
        assert is_signed(unit * signed) and not is_signed(unit * np.abs(signed))
        assert not is_signed(unit * np.append(np.abs(signed), -1e-4)) and is_signed(unit * np.append(np.abs(signed), -0.1))
