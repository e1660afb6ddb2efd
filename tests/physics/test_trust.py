import numpy as np
import pytest
import torch

from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.coil_maps import smooth_coil_maps
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.physics.operators import expand, rss
from mri_d3gm.physics.trust import Support, band_weights, foretold, support, total, weights_of_bands
from mri_d3gm.physics.withheld import evenly_spaced, withheld_samples
from mri_d3gm.training.coils import draw_coils
from mri_d3gm.training.masks import random_mask, random_mask_2d

KINDS = ("columns", "rows", "planar")


def case(kind: str, coils: int = 1):
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(1, 48, 64, dtype=torch.complex64, generator=generator)
    mask = random_mask_2d(48, 64, generator, 6.0) if kind == "planar" else random_mask(64, generator, 4.0)
    if kind == "rows":
        mask = random_mask(48, generator, 4.0).T
    maps = smooth_coil_maps(draw_coils(coils, generator)[None], 48, 64) if coils > 1 else None
    return image, mask[None], maps, fft2c(expand(image, maps))


def parts(kind: str, coils: int = 1) -> tuple[torch.Tensor, Cartesian, Cartesian]:
    """An image, the measurement without its first fold, and that fold."""
    image, mask, maps, kspace = case(kind, coils)
    whole = Cartesian(kspace, mask, maps)
    withheld = whole.withhold(0)
    assert withheld is not None
    return image, *withheld


@pytest.mark.parametrize("kind", KINDS)
def test_folds_are_disjoint_and_make_up_all_but_the_centre(kind: str) -> None:
    _, mask, _, _ = case(kind)
    parts = torch.stack([withheld_samples(mask, fold) for fold in range(4)])
    assert parts.any((1, 2, 3)).all() and parts.sum(0).max() == 1
    outer = parts.any(0)
    assert not (outer & ~mask).any()
    kept = mask & ~outer
    middle = tuple(n // 2 for n in mask.shape[1:])
    assert kept[0][middle] and kept.sum() >= 3
    if kind != "planar":
        away = (torch.arange(mask.numel()) - mask.numel() // 2).abs()
        assert away[parts[0].flatten()].min() == away[outer.flatten()].min()


@pytest.mark.parametrize("rows", [False, True])
def test_a_line_and_its_mirror_image_are_withheld_together(rows: bool) -> None:
    mask = torch.zeros(1, 64, dtype=torch.bool)
    mask[:, 30:35] = True
    mask[:, [32 + k for k in (-28, -20, -12, -4, 4, 12, 20, 28, 31)]] = True
    for fold in range(4):
        lines = withheld_samples(mask.T[None] if rows else mask[None], fold).flatten()
        away = lines.nonzero().flatten() - 32
        assert len(away) > 0 and set((-away[away.abs() < 30]).tolist()) <= set(away.tolist())


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_support_knows_a_perfect_a_scaled_and_an_empty_prediction(kind: str, coils: int) -> None:
    image, whole, withheld = parts(kind, coils)
    perfect = support(image, whole, withheld)
    assert perfect.error() == pytest.approx(0, abs=1e-6)
    assert int(perfect.samples.sum()) == int(withheld.mask.expand(1, 48, 64).sum()) * coils
    doubled = support(2 * image, whole, withheld)
    found = perfect.samples > 0
    torch.testing.assert_close((doubled.cross / doubled.predicted)[found], torch.full_like(doubled.cross, 0.5)[found])
    assert support(0 * image, whole, withheld).error() == 1


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_without_support_zero_filling_is_shown_and_with_it_all_coils_of_the_estimate(kind: str, coils: int) -> None:
    image, mask, maps, kspace = case(kind, coils)
    whole = Cartesian(kspace, mask, maps)
    withheld = whole.withhold(0)
    assert withheld is not None
    found = support(image, *withheld)
    weight = band_weights(found, mask[0]).float()
    torch.testing.assert_close(whole.shown(image, weight).abs(), rss(ifft2c(kspace)), atol=1e-5, rtol=1e-4)
    nothing = Support(0 * found.cross, torch.ones_like(found.predicted), found.measured, found.samples)
    zero_filled = whole.shown(image, band_weights(nothing, mask[0]).float())
    seen = weights_of_bands(nothing) == 0
    assert bool(seen.all())
    torch.testing.assert_close(zero_filled.abs(), rss(ifft2c(whole.kspace)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_below_one_only_where_zero_predicts_better(kind: str) -> None:
    image, whole, withheld = parts(kind)
    seen = support(image, whole, withheld).samples > 0
    for factor, weight in ((0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (4.0, 0.25), (-1.0, 0.0)):
        found = support(factor * image, whole, withheld)
        worse = found.measured - 2 * found.cross + found.predicted > found.measured * (1 + 1e-6)
        weights = weights_of_bands(found)
        torch.testing.assert_close(weights[seen], torch.full_like(weights, weight)[seen], atol=1e-5, rtol=1e-5)
        assert bool(((weights[~seen] - weight).abs() < 1e-5).all()) and bool(worse[seen].all()) == (weight < 1)


def test_what_withheld_samples_foretell_is_the_error_where_they_stand_for_the_rest() -> None:
    """Noise in place of k-space, all of it, predicted as zero: as much is missed of a missing sample as of a withheld one."""
    generator = torch.Generator().manual_seed(0)
    kspace = torch.randn(1, 3, 96, 128, dtype=torch.complex64, generator=generator)
    maps = torch.full((1, 3, 96, 128), 3**-0.5, dtype=torch.complex64)
    mask = torch.from_numpy(make_mask((96, 128), 4.0, "random"))[None]
    measurement = Cartesian(kspace, mask, maps)
    parts = [measurement.withhold(fold) for fold in range(4)]
    nothing = torch.zeros(1, 96, 128, dtype=torch.complex64)
    found = total([support(nothing, *part) for part in parts if part is not None])
    assert found is not None
    missing = float((kspace.abs().square() * ~mask).sum())
    assert foretold(found, measurement) == pytest.approx(missing, rel=0.05)
    without = Cartesian(kspace, torch.ones(1, 1, 128, dtype=torch.bool), maps)
    assert foretold(found, without) == 0


def grid(shape: tuple[int, int], steps: tuple[int, int], shift: int = 0) -> np.ndarray:
    """Every so many rows and columns; columns of each further row are shifted, as in CAIPIRINHA."""
    row, col = np.indices(shape)
    return (row % steps[0] == 0) & ((col + shift * (row // steps[0])) % steps[1] == 0)


@pytest.mark.parametrize("shape", [(1, 64), (1, 63), (48, 1), (48, 64)])
@pytest.mark.parametrize("step", [2, 3, 5])
def test_samples_on_a_grid_are_evenly_spaced_until_they_have_a_centre(shape: tuple[int, int], step: int) -> None:
    steps = tuple(step if n > 1 else 1 for n in shape)
    for shift in (0, 1):
        mask = grid(shape, steps, shift if min(shape) > 1 else 0)
        assert evenly_spaced(mask)
        middle = tuple(slice(n // 2 - 1, n // 2 + 2) if n > 1 else slice(None) for n in shape)
        mask[middle] = True
        assert not evenly_spaced(mask)
    assert not evenly_spaced(np.ones(shape, bool))


@pytest.mark.parametrize("coils", [1, 4])
def test_samples_that_cannot_tell_copies_apart_are_not_withheld(coils: int) -> None:
    _, mask, maps, kspace = case("columns", coils)
    even = torch.zeros_like(mask)
    even[..., ::2] = True
    assert (Cartesian(kspace, even, maps).withhold(0) is None) == (coils > 1)
    assert Cartesian(kspace, even | mask, maps).withhold(0) is not None


@pytest.mark.parametrize("axis", [-2, -1])
def test_of_a_partial_echo_whole_lines_are_withheld(axis: int) -> None:
    _, columns, _, _ = case("columns")
    mask = columns[0].expand(48, 64).clone()
    mask[:20] = False
    mask = mask if axis == -1 else mask.T
    for fold in range(4):
        lines = withheld_samples(mask[None], fold)[0]
        lines = lines if axis == -1 else lines.T
        assert lines.any() and not lines[:20].any()
        assert (lines[20:] == lines[20:21]).all()
