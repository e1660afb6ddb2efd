"""Which of two priors suits a scan: what its centre lines say of its phase."""

import pytest
import torch

from mri_d3gm.physics import Cartesian
from mri_d3gm.physics.fft import fft2c
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.physics.phase import has_smooth_phase

N = 128


def head(rough: float, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    """K-space (1, 1, N, N) of an ellipse with detail, under a slow phase and, times `rough`, one that goes with the detail."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, N), torch.linspace(-1, 1, N), indexing="ij")
    detail = torch.rand(N // 4, N // 4, generator=generator)[None, None]
    detail = torch.nn.functional.interpolate(detail, size=(N, N), mode="bilinear")[0, 0]
    angle = 0.8 * x + 0.5 * y * x + rough * (detail - 0.5)
    image = torch.polar(((y / 0.8) ** 2 + (x / 0.65) ** 2 < 1) * (0.4 + detail), angle)
    kspace = fft2c(image)[None, None]
    return kspace + noise * torch.view_as_complex(torch.randn(*kspace.shape, 2, generator=generator))


@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("accel", [2.0, 4.0, 8.0, 16.0])
def test_slow_phases_are_smooth_and_phases_that_go_with_the_anatomy_are_not(axis: int, accel: float) -> None:
    mask = torch.from_numpy(make_mask((N, N), accel, axis={-2: "readout", -1: "phase"}[axis]))[None]
    for seed in range(5):
        found = [
            bool(Cartesian(head(rough, noise, seed), mask, sigma=noise).smooth_phase())
            for rough, noise in ((0.0, 0.0), (0.0, 0.03), (2.0, 0.0), (2.0, 0.03))
        ]
        assert found == [True, True, False, False]


def test_each_of_a_batch_is_judged_alone_and_parts_keep_the_word() -> None:
    mask = torch.from_numpy(make_mask((N, N), 4.0))[None]
    batch = Cartesian(torch.cat([head(0.0), head(2.0), head(0.0, seed=1)]), mask)
    assert batch.smooth_phase().tolist() == [True, False, True]
    parts = batch.withhold(0)
    assert parts is not None
    for part in (*parts, batch.mirrored((-2,)), batch.turned()):
        assert part.smooth_phase().tolist() == [True, False, True]
    assert [bool(batch[i].smooth_phase()) for i in range(3)] == [True, False, True]


def test_masks_along_both_axes_noise_and_nothing_are_not_called_smooth() -> None:
    both = torch.from_numpy(make_mask((N, N), 4.0, "poisson-2d"))[None]
    assert not Cartesian(head(0.0), both).smooth_phase()
    mask = torch.from_numpy(make_mask((N, N), 4.0))[None]
    noise = torch.randn(1, 1, N, N, dtype=torch.complex64)
    for kspace in (noise, torch.zeros_like(noise)):
        assert not has_smooth_phase(kspace * mask, mask, None, torch.zeros(1))


def test_a_centre_of_one_line_tells_of_no_phase() -> None:
    mask = torch.zeros(1, 1, N, dtype=torch.bool)
    mask[..., ::2] = True
    assert not Cartesian(head(0.0), mask).smooth_phase()
    mask[..., N // 2 - 1 : N // 2 + 2] = True
    assert Cartesian(head(0.0), mask).smooth_phase()


@pytest.mark.parametrize("axis", [-2, -1])
def test_a_partial_echo_is_judged_by_its_lines(axis: int) -> None:
    mask = torch.from_numpy(make_mask((N, N), 4.0)).expand(N, N).clone()
    mask[: N // 3] = False
    mask = mask if axis == -1 else mask.T
    found = [bool(Cartesian(head(rough), mask[None]).smooth_phase()) for rough in (0.0, 2.0)]
    assert found == [True, False]
