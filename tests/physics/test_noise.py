import pytest
import torch

from mri_d3gm.physics.fft import fft2c
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.physics.noise import estimate_noise


def noisy_disc(sigma: float, coils: int, fermi: bool = False, size: int = 192) -> torch.Tensor:
    place = torch.linspace(-1, 1, size)
    radius = (place[:, None] ** 2 + place[None] ** 2).sqrt()
    image = torch.sigmoid((0.6 - radius) * 40)
    kspace = fft2c((image * 100).to(torch.complex64)).expand(coils, size, size).clone()
    generator = torch.Generator().manual_seed(3)
    kspace += sigma * 2**0.5 * torch.randn(coils, size, size, dtype=torch.complex64, generator=generator)
    return kspace / (1 + torch.exp((radius - 0.85) * 30)) if fermi else kspace


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("accel", [1, 8])
@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_known_sigma_is_found_whatever_the_unit(coils: int, accel: int, unit: float) -> None:
    mask = torch.from_numpy(make_mask((192, 192), accel))
    kspace = noisy_disc(1.0, coils) * unit * mask
    assert estimate_noise(kspace, mask).sigma == pytest.approx(unit, rel=0.3)


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("accel", [1, 2, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_known_sigma_is_found_after_a_partial_echo(coils: int, accel: int, axis: int) -> None:
    mask = torch.from_numpy(make_mask((192, 192), accel)).expand(192, 192).clone()
    mask[:70] = False
    mask = mask if axis else mask.T
    found = estimate_noise(noisy_disc(1.0, coils) * mask, mask)
    assert found.source == "outermost lines" and found.sigma == pytest.approx(1.0, rel=0.3)


@pytest.mark.parametrize("size", [16, 24, 31, 32, 48])
def test_known_sigma_is_found_in_small_images(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    noise = 0.05 * 2**0.5 * torch.randn(4, size, size, dtype=torch.complex64, generator=generator)
    noise[:, size // 2, size // 2] += size
    assert estimate_noise(noise, torch.ones(1, size, dtype=torch.bool)).sigma == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("accel", [1, 8])
def test_a_fermi_filter_does_not_hide_the_noise(accel: int) -> None:
    mask = torch.from_numpy(make_mask((192, 192), accel))
    assert 0.4 < estimate_noise(noisy_disc(1.0, 2, fermi=True) * mask, mask).sigma < 1.5


def test_a_noise_scan_is_believed() -> None:
    scan = 3 * 2**0.5 * torch.randn(4, 2000, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    found = estimate_noise(noisy_disc(1.0, 4), torch.ones(1, 192, dtype=torch.bool), scan, 0.5)
    assert found.source == "noise scan" and found.reliable
    assert found.sigma == pytest.approx(1.5, rel=0.05)


def test_noise_free_data_get_the_floor_and_not_zero() -> None:
    mask = torch.ones(1, 192, dtype=torch.bool)
    assert estimate_noise(noisy_disc(0.0, 1), mask).sigma > 0


def test_the_floor_follows_the_level_of_slices_of_any_size() -> None:
    """torch.quantile refuses more than 2^24 numbers; the floor then was that of an image of level 1."""
    kspace = torch.zeros(17, 1024, 1024, dtype=torch.complex64)
    kspace[:, 512, 512] = 1024e-6
    mask = torch.zeros(1024, 1024, dtype=torch.bool)
    mask[500:520, 500:520] = True
    large, small = estimate_noise(kspace, mask), estimate_noise(kspace[:, 496:528, 496:528], mask[496:528, 496:528])
    assert large.source == small.source == "floor" and not large.reliable
    assert large.sigma == pytest.approx(1e-10, rel=1e-3)
    assert small.sigma == pytest.approx(32e-10, rel=1e-3)
