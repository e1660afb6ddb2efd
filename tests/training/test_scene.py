"""Laws of the scenes that reconstruction is trained on, over examples."""

import dataclasses

import numpy as np
import pytest
import torch
from scans import phantom

from mri_d3gm.physics.coil_maps import espirit
from mri_d3gm.physics.fft import fft2c
from mri_d3gm.physics.phase import imaginary_share
from mri_d3gm.training.coils import COUNTS, compression, draw_coils, espirit_maps, maps_of_band, virtual_maps
from mri_d3gm.training.masks import draw_accel, random_mask, random_mask_2d, regular_mask, without_a_side
from mri_d3gm.training.phases import draw_phase, phases
from mri_d3gm.training.simulate import Scene, draw_ghost, draw_scene, ghosts, measure
from mri_d3gm.training.sources import Example

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
SMALL = {"batch": 2, "rows": 16, "cols": 48, "crop": 24}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(rough: float, count: int = 60) -> np.ndarray:
    """The imaginary share of phantoms under drawn phases, at R = 4."""
    numbers = torch.stack([draw_phase(seeded(seed), rough) for seed in range(count)])
    magnitude = torch.from_numpy(phantom(1, 32, 320)).float().expand(count, -1, -1) / 3
    image = torch.polar(magnitude, phases(numbers, magnitude, 0))
    return imaginary_share(fft2c(image)[:, None], random_mask(320, seeded(0), 4.0)[None].expand(count, -1, -1)).numpy()


def test_everything_follows_from_the_seed() -> None:
    for seed in range(20):
        first, second = (draw_scene(SLICES, seed, **SMALL) for _ in range(2))
        for field in dataclasses.fields(Scene):
            one, other = getattr(first, field.name), getattr(second, field.name)
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
        assert torch.equal(measure(first).mu, measure(second).mu)


def test_phases_span_those_of_real_scans_and_smooth_ones_stay_below() -> None:
    real, smooth = shares(1.0), shares(0.0)
    assert real.min() < 0.001 and real.max() > 0.2
    assert np.median(smooth) < 0.002 < 0.008 < np.median(real)


@pytest.mark.parametrize("coils", sorted(set(COUNTS)))
def test_maps_of_virtual_coils_are_normalised_and_hold_what_the_coils_see(coils: int) -> None:
    magnitude = torch.from_numpy(phantom(1, 48, 64)[0]).float()
    for seed in range(8):
        numbers = draw_coils(coils, seeded(seed))
        maps = virtual_maps(numbers[None], compression(numbers, magnitude)[None], 48, 64)
        assert maps.shape == (1, min(coils, 8), 48, 64)
        torch.testing.assert_close(torch.linalg.vector_norm(maps, dim=1), torch.ones(1, 48, 64))


def test_accelerations_begin_at_one_and_a_half_and_many_coils_stay_low() -> None:
    generator = seeded(0)
    many, one = (np.array([draw_accel(several, generator) for _ in range(300)]) for several in (True, False))
    assert 1.5 <= many.min() < 1.7 and many.max() > 15
    assert 0.5 < ((many >= 2) & (many <= 5)).mean() < 0.85
    assert 1.5 <= one.min() < 2 and np.isin(one, (4, 8, 16)).mean() > 0.4


def test_masks_have_a_full_centre_and_their_acceleration() -> None:
    for seed, accel in enumerate((1.5, 2.0, 3.3, 4.0, 8.0, 16.0)):
        mask = random_mask(320, seeded(seed), accel)
        assert mask.shape == (1, 320) and mask[0, 158:162].all()
        assert 0.95 * accel < 320 / int(mask.sum()) < 1.6 * accel
        plane = random_mask_2d(64, 64, seeded(seed), accel)
        assert plane.shape == (64, 64) and plane[31:33, 31:33].all()
        assert 64 * 64 / int(plane.sum()) == pytest.approx(accel, rel=0.05)
    regular = regular_mask(320, 3.2)
    assert regular[0, 160] and int(regular.sum()) in (106, 107)


@pytest.mark.parametrize("cols", [95, 96])
def test_a_side_is_missing_beyond_a_part_and_the_centre_stays(cols: int) -> None:
    for seed in range(20):
        mask = without_a_side(torch.ones(1, cols, dtype=torch.bool), seeded(seed))[0]
        left, right = mask[: cols // 2], mask[cols // 2 + 1 :]
        assert mask[cols // 2] and int(left.all()) + int(right.all()) == 1
        assert 0 < min(int(left.sum()), int(right.sum())) < 0.75 * cols / 2


def test_ghosts_are_rare_and_change_no_energy() -> None:
    numbers = torch.stack([draw_ghost(0.1, seeded(seed)) for seed in range(300)])
    assert 0.03 < float((numbers[:, 0] > 0).float().mean()) < 0.2
    factors = ghosts(numbers, 6, 8)
    torch.testing.assert_close(factors.abs(), torch.ones_like(factors.abs()))
    assert bool((factors[numbers[:, 0] == 0] == 1).all())


@pytest.mark.parametrize("calibration", [(24, 24), (24, 12)])
def test_maps_of_a_batch_are_those_of_the_product(calibration: tuple[int, int]) -> None:
    magnitude = torch.from_numpy(phantom(1, 48, 96)).float()
    numbers = torch.stack([draw_coils(6, seeded(seed)) for seed in range(3)])
    noise = torch.randn(3, 6, 48, 96, dtype=torch.complex64, generator=seeded(0))
    every = torch.eye(6, dtype=torch.complex64).expand(3, -1, -1)
    kspace = fft2c(virtual_maps(numbers, every, 48, 96) * magnitude[:, None]) + 0.003 * noise
    found = espirit_maps(kspace, calibration)
    for mine, one in zip(found, kspace, strict=True):
        product = espirit(one, calibration)[0]
        both = (mine.abs().sum(0) > 0) & (product.abs().sum(0) > 0)
        overlap = (mine.conj() * product).sum(0)[both & (magnitude[0] > 0)]
        assert float(both.float().mean()) > 0.95 * float((product.abs().sum(0) > 0).float().mean())
        assert float(overlap.mean().abs()) > 0.99


def test_maps_of_a_band_know_nothing_of_its_other_end() -> None:
    numbers = torch.stack([draw_coils(8, seeded(seed)) for seed in range(6)])
    true = virtual_maps(numbers, torch.eye(8, dtype=torch.complex64).expand(6, -1, -1), 48, 160)
    kspace = fft2c(true * torch.rand(6, 1, 48, 160, generator=seeded(0)))
    edges = torch.tensor([0, 1, 46, 47])
    ours, plain = (maps(kspace, (24, 24)) for maps in (maps_of_band, espirit_maps))
    missed, known = (float(1 - (true.conj() * maps).sum(1).abs()[:, edges].mean()) for maps in (ours, plain))
    assert missed < 0.03 and missed < 0.5 * known


def test_shares_turn_parts_off() -> None:
    plain = {"many": 0.0, "planar": 0.0, "partial": 0.0, "ghosted": 0.0, "rough": 0.0}
    for seed in range(20):
        scene = draw_scene(SLICES, seed, **SMALL, **plain)
        assert scene.coils is None and scene.mask.shape[1] == 1 and not scene.ghost[:, 0].any()
        assert not scene.phase[:, 46:47].any() and torch.equal(scene.mask, scene.calibrating)
