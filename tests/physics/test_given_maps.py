"""Coil maps that a user gives are held against the scan's own centre: honest ones are used, others named."""

import numpy as np
import pytest
import torch
from heads import coils, every, fft2c, head, kspace_of

from mri_d3gm.physics.coil_maps import contradiction, espirit, low_resolution_maps

ROWS, COLS = 96, 96
MASK = torch.from_numpy(every(COLS, 4, 12)[None])


def said(kspace: np.ndarray, maps: np.ndarray, mask: torch.Tensor = MASK) -> str | None:
    data, given = (torch.from_numpy(np.ascontiguousarray(one)).to(torch.complex64) for one in (kspace, maps))
    size = torch.linalg.vector_norm(given, dim=0)
    return contradiction(data * mask, mask, torch.where(size > 1e-12, given / size.clamp_min(1e-12), 0))


def scan(seed: int, count: int, noise: float = 0.03) -> np.ndarray:
    return kspace_of(head(ROWS, COLS, seed), count, noise, seed)


@pytest.mark.parametrize("count", [2, 4, 8, 16])
@pytest.mark.parametrize("noise", [0.003, 0.03, 0.3, 3.0])
def test_maps_of_the_same_coils_are_used(count: int, noise: float) -> None:
    for seed in range(4):
        kspace, maps = scan(seed, count, noise), coils(count, ROWS, COLS, seed)
        assert said(kspace, maps) is None
        assert said(kspace, np.roll(maps, ROWS // 10, -1)) is None, "moved by a tenth of the field of view"
        assert said(kspace, maps * np.exp(2j * head(ROWS, COLS, 7))) is None, "of another phase"
        region = np.hypot(*np.ogrid[-48:48, -48:48]) < 15
        assert said(kspace, maps * region) is None, "of a part of the object alone"


@pytest.mark.parametrize("count", [4, 8, 16])
def test_maps_from_another_scan_of_the_same_coils_are_used(count: int) -> None:
    for seed in range(4):
        images = head(ROWS, COLS, seed + 40) * coils(count, ROWS, COLS, seed)
        other = torch.from_numpy(fft2c(images)).to(torch.complex64)
        assert said(scan(seed, count), espirit(other, (24, 24))[0].numpy()) is None
        assert said(scan(seed, count), low_resolution_maps(other, MASK).numpy()) is None


@pytest.mark.parametrize("noise", [0.003, 0.1])
def test_maps_that_cannot_be_are_named(noise: float) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        slopes = random.normal(0, 1.5, (2, 8, 1, 1))  # so that the array is not symmetric
        y, x = np.ogrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLS * 1j]
        maps = coils(8, ROWS, COLS, seed) * np.exp(1j * (slopes[0] * y + slopes[1] * x))
        kspace = fft2c(head(ROWS, COLS, seed) * maps + noise * random.normal(size=maps.shape))
        wrong = {
            "slices and coils may be exchanged": np.repeat(maps[:1], 8, 0),
            "mirrored along rows": maps[:, ::-1],
            "mirrored along columns": maps[:, :, ::-1],
            "conjugated": maps.conj(),
            "transposed": maps.swapaxes(1, 2),
            "other coils": np.roll(maps, 3, 0),
        }
        for words, given in wrong.items():
            text = said(kspace, given)
            assert text is not None and words in text, (seed, words, text)
        text = said(kspace, coils(8, ROWS, COLS, seed + 50))
        assert text is not None and "other coils" in text


def test_two_coils_and_noise_are_not_judged_beyond_what_they_tell() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(8, ROWS, COLS)) + 1j * random.normal(size=(8, ROWS, COLS))
    for wrong in (coils(8, ROWS, COLS)[::-1], np.ones((8, ROWS, COLS))):
        assert said(noise, wrong) is None and said(0 * noise, wrong) is None


@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_the_unit_of_kspace_does_not_matter(unit: float) -> None:
    kspace = scan(0, 8) * np.float32(unit)
    assert said(kspace, coils(8, ROWS, COLS)) is None and said(kspace, coils(8, ROWS, COLS)[::-1]) is not None


@pytest.mark.parametrize(
    "lines", [every(COLS, 4, 2), every(COLS, 4, 2, 1) & (np.arange(COLS) != COLS // 2), np.ones(COLS, bool)]
)
def test_any_centre_will_do(lines: np.ndarray) -> None:
    mask = torch.from_numpy(lines[None])
    assert said(scan(0, 8), coils(8, ROWS, COLS), mask) is None
    assert said(scan(0, 8), coils(8, ROWS, COLS), mask.T) is None
