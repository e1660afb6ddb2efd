"""Synthetic rain: seeded, brightening, colourless, along its angle, and of the sizes asked for."""

import math

import pytest
import torch
from torch import Tensor

from mri_d3gm.weather.guided_filter import box_mean
from mri_d3gm.weather.rain import add_rain, rain_layer


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer(seed: int = 0, rows: int = 96, cols: int = 120, **changes) -> Tensor:
    settings = {"density": 3.0, "length": (20.0, 40.0), "width": (1.0, 2.0), "angle": 0.0, "spread": 0.0, **changes}
    return rain_layer(rows, cols, seeded(seed), **settings)


def direction(image: Tensor) -> float:
    """Degrees from vertical of the streaks, from the structure tensor; positive leans to the right downwards."""
    smoothed = box_mean(box_mean(image, 2), 2)[8:-8, 8:-8]
    down, right = torch.gradient(smoothed)
    turn = 0.5 * math.atan2(2 * float((down * right).sum()), float((right**2 - down**2).sum()))
    return -math.degrees(turn)


@pytest.mark.parametrize("heavy", [False, True])
def test_equal_seeds_give_equal_rain(heavy: bool) -> None:
    image = torch.rand(3, 40, 56, generator=seeded())
    first, second, other = (add_rain(image, seeded(seed), heavy) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("size", [(3, 32, 32), (1, 8, 90), (3, 101, 17)])
def test_shape_range_and_input_kept(heavy: bool, size: tuple[int, ...]) -> None:
    image = torch.rand(size, generator=seeded())
    before = image.clone()
    for seed in range(12):
        rainy = add_rain(image, seeded(seed), heavy)
        assert rainy.shape == image.shape and rainy.dtype == image.dtype
        assert rainy.min() >= 0 and rainy.max() <= 1
    assert torch.equal(image, before)


@pytest.mark.parametrize("heavy", [False, True])
def test_rain_adds_equal_light_to_all_colours(heavy: bool) -> None:
    """On a dark picture, where nothing is clipped; mist would take from bright pictures."""
    image = torch.tensor([0.0, 0.05, 0.1])[:, None, None].expand(3, 64, 64)
    clear = 0
    for seed in range(10):
        added = add_rain(image, seeded(seed), heavy) - image
        assert added.min() > -1e-6
        whole = (image + added).amax(0) < 0.999
        clear += bool((added.amax(0) - added.amin(0))[whole].max() < 1e-6)
    assert 4 <= clear <= 10  # the others have mist


def test_heavy_rain_is_heavier_at_every_seed() -> None:
    image = torch.full((3, 96, 96), 0.3)
    for seed in range(8):
        light, heavy = ((add_rain(image, seeded(seed), kind) - image).square().mean().sqrt() for kind in (False, True))
        assert 0.005 < light < 0.12 < heavy < 0.6


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("angle", [-40.0, -15.0, 0.0, 20.0, 40.0])
def test_streaks_follow_the_angle(soft: bool, angle: float) -> None:
    # so long that few of their ends, which are level, are in the picture
    drawn = layer(angle=angle, soft=soft, width=(4.0, 6.0), length=(300.0, 400.0), density=0.5)
    assert direction(drawn) == pytest.approx(angle, abs=4)  # beads pull a little


def test_a_mirrored_angle_mirrors_the_direction_and_spread_widens_it() -> None:
    assert direction(layer(angle=20.0)) * direction(layer(angle=-20.0)) < 0

    def turning(spread: float) -> float:
        down, right = torch.gradient(layer(spread=spread, soft=True))
        return float(down.abs().sum() / right.abs().sum())

    assert turning(0.0) < turning(8.0) < turning(20.0)


@pytest.mark.parametrize("soft", [False, True])
def test_streaks_have_their_length_and_width(soft: bool) -> None:
    """One streak of 30 x 3 pixels on average covers 90 times its brightness."""
    density, bright = 0.05, 0.5
    total = sum(
        float(
            layer(seed, 300, 300, density=density, length=(30, 30), width=(3, 3), brightness=(bright, bright), soft=soft).sum()
        )
        for seed in range(6)
    )
    streaks = 6 * density * 300 * 300 / 1000
    fading = 1.064 * 0.7628 * 0.75 if soft else 1.0  # Gaussian of that half width, root of sine, beads
    assert total / streaks == pytest.approx(30 * 3 * bright * fading, rel=0.15)


def test_longer_rows_and_more_density_cover_more() -> None:
    covered = [float((layer(density=density) > 0).float().mean()) for density in (0.5, 2.0, 8.0)]
    assert covered == sorted(covered) and covered[0] < 0.1 < covered[2]
    assert layer(density=0.0).max() == 0


def test_rain_is_as_dense_at_the_border_as_inside() -> None:
    mean = torch.stack([layer(seed, 90, 90, angle=30.0, spread=5.0, density=6.0) for seed in range(40)]).mean(0)
    for edge in (mean[:6], mean[-6:], mean[:, :6], mean[:, -6:]):
        assert edge.mean() == pytest.approx(float(mean.mean()), rel=0.15)


@pytest.mark.parametrize(("fade", "faded"), [((0.0, 0.6), slice(-6, None)), ((0.6, 0.0), slice(6))])
def test_rain_fades_towards_the_border_that_is_asked_for(fade: tuple[float, float], faded: slice) -> None:
    mean = torch.stack([layer(seed, 90, 90, density=6.0, fade=fade) for seed in range(40)]).mean(0)
    inside = float(mean[30:60].mean())
    assert mean[faded].mean() < 0.8 * inside
    assert mean.flip(0)[faded].mean() == pytest.approx(inside, rel=0.15)


def test_no_picture_gets_mist_where_none_may() -> None:
    image = torch.full((3, 64, 64), 0.9)
    assert all(
        (add_rain(image, seeded(seed), heavy, misty=0.0) >= image).all() for seed in range(12) for heavy in (False, True)
    )


def test_brightest_streak_wins() -> None:
    drawn = layer(density=30.0, brightness=(0.2, 0.5))
    assert 0.45 < drawn.max() <= 0.5


def test_scale_enlarges_the_streaks_and_keeps_the_cover() -> None:
    image = torch.zeros(3, 128, 128)
    small, large = (torch.stack([add_rain(image, seeded(seed), True, scale)[0] for seed in range(6)]) for scale in (1.0, 3.0))
    assert large.mean() == pytest.approx(float(small.mean()), rel=0.3)
    steps = [float(layers.diff(dim=-1).abs().mean() / layers.mean()) for layers in (small, large)]
    assert steps[1] < 0.7 * steps[0]
