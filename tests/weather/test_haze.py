"""Haze follows the scattering model, dark channel prior undoes it, the guided filter keeps edges."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from mri_d3gm.weather.guided_filter import box_mean, guided_filter
from mri_d3gm.weather.haze import (
    add_haze,
    dark_channel,
    dark_channel_prior,
    guessed_depth,
    ramp_depth,
    room_depth,
    smooth_depth,
    with_pieces,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(rows: int = 80, cols: int = 96) -> Tensor:
    """Coloured blocks, most with a dark channel as outdoor pictures have."""
    blocks = torch.rand(3, 10, 12, generator=seeded(3)) * 0.9
    blocks[torch.randint(3, (10, 12), generator=seeded(4)), torch.arange(10)[:, None], torch.arange(12)] = 0.02
    return torch.nn.functional.interpolate(blocks[None], (rows, cols), mode="nearest")[0]


def test_equal_seeds_give_equal_haze() -> None:
    for seed in range(6):
        first, second = add_haze(scene(), seeded(seed)), add_haze(scene(), seeded(seed))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(add_haze(scene(), seeded(1))[0], add_haze(scene(), seeded(2))[0])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [(80, 96), (9, 31)])
def test_the_scattering_model_holds_with_one_nearly_grey_airlight(seed: int, size: tuple[int, int]) -> None:
    clean = scene(*size)
    hazy, transmission = add_haze(clean, seeded(seed))
    assert hazy.shape == clean.shape and transmission.shape == clean.shape[1:]
    assert hazy.min() >= 0 and hazy.max() <= 1
    assert transmission.min() > 0 and transmission.max() <= 1
    assert 0.299 < transmission.mean() <= 1
    airlight = (hazy - clean * transmission) / (1 - transmission)
    means = airlight.flatten(1).mean(1)
    assert torch.allclose(airlight, means[:, None, None].expand_as(airlight), atol=1e-3)
    assert means.min() > 0.599 and means.max() < 1.001 and means.max() - means.min() < 0.21


def test_mean_transmission_spans_thin_and_thick() -> None:
    means = [float(add_haze(scene(24, 24), seeded(seed))[1].mean()) for seed in range(60)]
    assert min(means) < 0.4 and max(means) > 0.95


def test_a_given_depth_sets_the_transmission_whatever_its_unit() -> None:
    depth = torch.linspace(1, 9, 80)[:, None].expand(80, 96)
    hazy, transmission = add_haze(scene(), seeded(), depth)
    beta = -transmission.log() / depth
    assert float(beta.std() / beta.mean()) < 1e-4
    in_mm, same = add_haze(scene(), seeded(), 1000 * depth)
    assert torch.allclose(in_mm, hazy, atol=1e-4) and torch.allclose(same, transmission, atol=1e-4)


def test_no_depth_at_all_gives_no_haze() -> None:
    hazy, transmission = add_haze(scene(), seeded(), torch.zeros(80, 96))
    assert torch.equal(hazy, scene()) and bool((transmission == 1).all())


@pytest.mark.parametrize("seed", range(6))
def test_depths_are_between_0_and_1_and_grow_upwards(seed: int) -> None:
    ramp, field = ramp_depth(40, 60, seeded(seed)), smooth_depth(40, 60, seeded(seed))
    guess = guessed_depth(scene(40, 60), seeded(seed))
    room = room_depth(40, 60, seeded(seed))
    for depth in (ramp, field, guess, room):
        assert depth.shape == (40, 60) and depth.min() >= 0 and depth.max() <= 1
    assert bool((ramp.diff(dim=0) <= 1e-6).all()) and ramp[0].mean() > ramp[-1].mean() + 0.2
    assert field.diff(dim=0).abs().max() < 0.3


def test_brighter_and_greyer_is_guessed_farther() -> None:
    image = torch.zeros(3, 64, 64)
    image[:, :, 32:] = 0.9
    image[0, :, :32] = 0.4
    for seed in range(5):
        depth = guessed_depth(image, seeded(seed))
        assert float((depth[:, 44:] - depth[:, :20]).min()) > 0


@pytest.mark.parametrize("seed", range(6))
def test_pieces_stand_apart_where_the_picture_has_edges(seed: int) -> None:
    image = torch.zeros(3, 64, 64)
    image[:, :, 32:] = 0.9
    pieces = with_pieces(torch.ones(64, 64), image, seeded(seed))
    steps = pieces.diff(dim=1).abs().mean(0)
    assert pieces.min() >= 0 and steps.argmax() == 31


def psnr(clean: Tensor, image: Tensor) -> float:
    return -10 * float((clean - image).square().mean().log10())


@pytest.mark.parametrize("mean", [0.7, 1.6])
def test_dark_channel_prior_removes_haze(mean: float) -> None:
    clean = scene(160, 192)
    depth = torch.linspace(3, 0.3, 160)[:, None].expand(160, 192)
    transmission = (-mean * depth).exp()
    hazy = clean * transmission + torch.tensor([0.85, 0.87, 0.9])[:, None, None] * (1 - transmission)
    restored = dark_channel_prior(hazy)
    assert restored.shape == clean.shape and restored.min() >= 0 and restored.max() <= 1
    assert psnr(clean[:, 60:], restored[:, 60:]) > psnr(clean[:, 60:], hazy[:, 60:]) + 3


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_dark_channel_prior_of_flat_pictures_is_finite(level: float) -> None:
    restored = dark_channel_prior(torch.full((3, 20, 30), level))
    assert bool(torch.isfinite(restored).all())
    assert float((restored - level).abs().max()) < 1e-4


def test_dark_channel_is_the_least_of_colours_and_neighbours() -> None:
    image = torch.rand(3, 20, 24, generator=seeded())
    expected = ndimage.minimum_filter(image.numpy().min(0), 5, mode="nearest")
    np.testing.assert_array_equal(dark_channel(image, 5).numpy(), expected)


@pytest.mark.parametrize("radius", [1, 4, 50])
def test_box_mean_by_hand(radius: int) -> None:
    image = torch.rand(2, 13, 17, generator=seeded())
    found = box_mean(image, radius)
    for row, col in ((0, 0), (6, 8), (12, 16), (3, 16)):
        window = image[:, max(0, row - radius) : row + radius + 1, max(0, col - radius) : col + radius + 1]
        assert torch.allclose(found[:, row, col], window.mean((1, 2)), atol=1e-6)


def test_guided_filter_keeps_its_guide_or_averages() -> None:
    image = torch.rand(24, 30, generator=seeded())
    assert torch.allclose(guided_filter(image, image, 3, 1e-9), image, atol=1e-4)
    smoothed = guided_filter(image, image, 3, 1e6)
    assert torch.allclose(smoothed, box_mean(box_mean(image, 3), 3), atol=1e-4)
    flat = torch.full((3, 24, 30), 0.3)
    assert torch.allclose(guided_filter(image, flat, 3, 1e-3), flat, atol=1e-6)


def test_guided_filter_removes_noise_and_keeps_the_edge() -> None:
    guide = torch.zeros(40, 40)
    guide[:, 20:] = 1
    noisy = guide + 0.1 * torch.randn(40, 40, generator=seeded())
    found = guided_filter(guide, noisy, 4, 1e-3)
    assert float((found - guide).std()) < 0.03
    assert float((found[:, 20] - found[:, 19]).mean()) > 0.9
