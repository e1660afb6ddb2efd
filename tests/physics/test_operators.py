"""Laws of the Fourier transform, the forward operator and consistency, for odd and even sizes."""

import math

import fastmri
import numpy as np
import pytest
import torch

from mri_d3gm.physics.consistency import projection, proximal
from mri_d3gm.physics.fft import fft1c, fft2c, ifft1c, ifft2c, mirror
from mri_d3gm.physics.operators import adjoint, combine, expand, forward, gram
from mri_d3gm.physics.phase import data_residual, low_resolution_phase, pocs

SIZES = [(16, 16), (15, 18), (17, 13)]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def unit_maps(coils: int, rows: int, cols: int) -> torch.Tensor:
    maps = noise(2, coils, rows, cols, seed=5)
    return maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)


def masks(rows: int, cols: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(2, *shape, generator=generator) < 0.4 for shape in ((1, cols), (rows, 1), (rows, cols))]


@pytest.mark.parametrize(("rows", "cols"), SIZES)
def test_fourier_is_fastmris_and_an_isometry(rows: int, cols: int) -> None:
    x = noise(2, rows, cols)
    theirs = torch.view_as_complex(fastmri.fft2c(torch.view_as_real(x)))
    torch.testing.assert_close(fft2c(x), theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ifft2c(fft2c(x)), x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fft1c(fft1c(x, -1), -2), fft2c(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ifft1c(ifft1c(fft2c(x), -1), -2), x, atol=1e-5, rtol=1e-5)
    assert float(fft2c(x).norm()) == pytest.approx(float(x.norm()), rel=1e-5)


@pytest.mark.parametrize(("rows", "cols"), SIZES)
@pytest.mark.parametrize("axes", [(), (-1,), (-2,), (-2, -1)])
def test_mirroring_commutes_with_the_transform_and_undoes_itself(rows: int, cols: int, axes: tuple[int, ...]) -> None:
    x = noise(2, rows, cols)
    torch.testing.assert_close(fft2c(mirror(x, axes)), mirror(fft2c(x), axes), atol=1e-5, rtol=1e-5)
    assert torch.equal(mirror(mirror(x, axes), axes), x)


def test_fourier_of_a_gaussian_is_the_analytic_pair() -> None:
    n, width = 64, 4.0
    place = torch.arange(n) - n // 2
    profile = torch.exp(-(place**2) / (2 * width**2)).to(torch.complex64)
    k = 2 * math.pi * place / n
    expected = width * math.sqrt(2 * math.pi / n) * torch.exp(-(k**2) * width**2 / 2)
    torch.testing.assert_close(fft1c(profile, 0).real, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("rows", "cols"), SIZES)
@pytest.mark.parametrize("coils", [1, 3])
def test_adjointness(rows: int, cols: int, coils: int) -> None:
    maps = unit_maps(coils, rows, cols) if coils > 1 else None
    x, y = noise(2, rows, cols, seed=2), noise(2, coils, rows, cols, seed=3)
    for mask in masks(rows, cols):
        left = (forward(x, mask, maps).conj() * y).sum()
        right = (x.conj() * adjoint(y, mask, maps)).sum()
        assert abs(left - right) < 1e-5 * float(x.norm() * y.norm())
        both = adjoint(forward(x, mask, maps), mask, maps)
        torch.testing.assert_close(gram(mask, maps)(x), both, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("rows", "cols"), SIZES)
def test_projection_is_idempotent_and_keeps_the_measurement(rows: int, cols: int) -> None:
    truth, guess = noise(2, rows, cols, seed=2), noise(2, rows, cols, seed=3)
    for mask in masks(rows, cols):
        kspace = forward(truth, mask)
        once = projection(guess, kspace, mask)
        torch.testing.assert_close(forward(once, mask), kspace, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(projection(once, kspace, mask), once, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(projection(truth, kspace, mask), truth, atol=1e-5, rtol=1e-5)
        assert float(data_residual(once, kspace, mask).max()) < 1e-5


@pytest.mark.parametrize("coils", [1, 3])
def test_proximal_solves_its_normal_equation(coils: int) -> None:
    rows, cols = 12, 14
    maps = unit_maps(coils, rows, cols) if coils > 1 else None
    guess = noise(2, rows, cols, seed=3)
    for mask in masks(rows, cols):
        kspace = forward(noise(2, rows, cols, seed=2), mask, maps)
        x = proximal(guess, kspace, mask, maps, 0.3, iterations=25)
        gradient = adjoint(forward(x, mask, maps) - kspace, mask, maps) + 0.3 * (x - guess)
        assert float(gradient.norm()) < 1e-4 * float(guess.norm())


def test_combine_undoes_expand() -> None:
    maps, x = unit_maps(4, 10, 9), noise(2, 10, 9)
    torch.testing.assert_close(combine(expand(x, maps), maps), x, atol=1e-5, rtol=1e-5)


def smooth_object(rows: int = 64, cols: int = 64) -> torch.Tensor:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    magnitude = 1.0 * (x**2 + y**2 < 0.7) + 0.5 * ((x - 0.2) ** 2 + y**2 < 0.1)
    return torch.from_numpy((magnitude * np.exp(1j * (1 + x - 0.5 * y + x * y))).astype(np.complex64))[None]


def test_low_resolution_phase_finds_a_smooth_phase_and_pocs_gains_from_it() -> None:
    image = smooth_object()
    mask = torch.zeros(1, 1, 64, dtype=torch.bool)
    mask[..., 28:37] = True
    mask[..., ::3] = True
    kspace = forward(image, mask)
    phase = low_resolution_phase(kspace, mask)
    inside = image.abs() > 0.5
    assert float((phase * image.conj() / image.abs().clamp_min(1e-6)).angle()[inside].abs().mean()) < 0.1
    torch.testing.assert_close(phase.abs(), torch.ones(1, 64, 64))
    before = (adjoint(kspace, mask).abs() - image.abs()).norm()
    after = (pocs(kspace, mask).abs() - image.abs()).norm()
    assert float(after) < 0.8 * float(before)


def test_a_fully_sampled_scan_keeps_its_own_phase() -> None:
    image = noise(1, 12, 10)
    mask = torch.ones(1, 1, 10, dtype=torch.bool)
    torch.testing.assert_close(low_resolution_phase(fft2c(image)[:, None], mask), image / image.abs(), atol=1e-4, rtol=1e-4)
