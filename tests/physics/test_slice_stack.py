"""Thick slices: profiles, the smoothest image, and what agreement keeps."""

import pytest
import torch

from mri_d3gm.physics.slice_stack import PROFILES, SliceStack, fine_count, slice_profiles


def stack_of(image: torch.Tensor, profile: torch.Tensor) -> SliceStack:
    return SliceStack((image @ profile.T).to(torch.complex64), profile.expand(len(image), -1, -1))


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(
    ("slices", "spacing", "thickness"), [(7, 5.0, 5.0), (6, 6.3, 4.2), (9, 2.5, 4.0), (1, 5.0, 5.0), (4, 1.0, 1.0)]
)
def test_profiles_lie_about_the_centres_of_the_slices_and_sum_to_one(kind, slices, spacing, thickness) -> None:
    profile = slice_profiles(slices, spacing, thickness, kind)
    cols = fine_count(slices, spacing, thickness)
    assert profile.shape == (slices, cols) and -0.01 < (slices - 1) * spacing + thickness - cols < 1
    torch.testing.assert_close(profile.sum(1), torch.ones(slices))
    torch.testing.assert_close(profile.flip(0, 1), profile)
    places = torch.arange(cols) - (cols - 1) / 2
    for index in range(2, slices - 2):
        assert float(profile[index] @ places) == pytest.approx(spacing * (index - (slices - 1) / 2), abs=0.02 * thickness)


def test_a_box_is_constant_over_the_thickness_and_a_gaussian_half_as_high_at_its_edge() -> None:
    box, gaussian = (slice_profiles(5, 8.0, 6.0, kind)[2] for kind in ("box", "gaussian"))
    assert torch.count_nonzero(box) == 6 and float(box.max()) == pytest.approx(1 / 6)
    centre = (len(gaussian) - 1) / 2
    high = float(gaussian.max()) / torch.exp(torch.tensor(-((0.5 * 2.3548 / 6) ** 2) / 2))
    assert float(gaussian[int(centre + 3.5)] / high) == pytest.approx(2 ** -((3.5 / 3) ** 2), rel=1e-3)


@pytest.mark.parametrize(("spacing", "thickness"), [(5.0, 5.0), (6.0, 4.5), (3.0, 4.0)])
def test_lines_stay_lines_and_the_estimate_keeps_what_slices_do_not_show(spacing: float, thickness: float) -> None:
    profile = slice_profiles(9, spacing, thickness, "gaussian")
    line = (3 + 0.1 * torch.arange(profile.shape[1]) * torch.ones(2, 6, 1)).to(torch.complex64)
    known = stack_of(line.real, profile)
    inner = slice(int(2 * thickness), -int(2 * thickness))
    torch.testing.assert_close(known.prior_mean()[..., inner], line[..., inner], atol=0.02, rtol=0)
    torch.testing.assert_close(known.agree(line), line, atol=1e-4, rtol=0)
    fine = line + torch.randn(line.shape, generator=torch.Generator().manual_seed(0))
    agreed = known.agree(fine)
    assert float(known.residual(agreed).max()) < 0.02 * float(known.residual(fine).min())
    hidden = fine - known.adjoint(known.forward(fine))
    assert float((agreed - fine).norm()) < float((hidden - fine).norm()) * 5 and float((agreed - line).norm()) > 1
