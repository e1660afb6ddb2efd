"""Spikes of k-space are found and set to zero; nothing that an object or noise has is taken for one."""

import numpy as np
import pytest
from scans import four_coils

from mri_d3gm.io.scan import fft2c, ifft2c
from mri_d3gm.io.spikes import Spike, spikes_of, without_spikes, words
from mri_d3gm.physics.masks import make_mask

ROWS, COLS = 96, 80
Y, X = np.meshgrid(np.arange(ROWS) / ROWS - 0.5, np.arange(COLS) / COLS - 0.5, indexing="ij")
DISC = (Y**2 + X**2 < 0.14) * 1.0
GRATING = np.cos(2 * np.pi * (24 * Y + 16 * X))
OBJECTS = {
    "noise alone": 0 * Y,
    "constant": 0 * Y + 1,
    "point": np.eye(ROWS, COLS, -30) * np.eye(ROWS)[50][:, None] * 50.0,
    "disc": DISC,
    "square": (abs(Y) < 0.3) * (abs(X) < 0.25) * 1.0,
    "disc off the centre of k-space": DISC * np.exp(2j * np.pi * 20.3 * Y),
    "disc of a rolling phase": DISC * (1 + np.exp(2j * np.pi * (24 * Y + 16 * X))),
    "grating": 1 + GRATING,
    "grating without a mean": GRATING,
    "disc of a grating": DISC * (1 + np.cos(2 * np.pi * (20.4 * Y + 11.7 * X))),
    "bars": DISC * (GRATING > 0),
    "checkerboard": np.indices((ROWS, COLS)).sum(0) % 2 * 1.0,
    "grid of pins": ((np.indices((ROWS, COLS)) % 8) == 0).all(0) * DISC,
}


def coils_of(image: np.ndarray, count: int, noise: float, seed: int = 0) -> np.ndarray:
    """K-space (count, rows, cols) of an image under smooth coils, with noise."""
    maps = [np.exp(-((Y - a) ** 2 + (X - b) ** 2) * 2 + 1j * a * X) for a, b in ((0.5, 0), (-0.5, 0.5), (0, -0.5), (0.4, 0.4))]
    seen = image * np.stack(maps[:count]) if count > 1 else image[None]
    parts = noise * np.random.default_rng(seed).normal(size=(2, *seen.shape))
    return (fft2c(seen) + parts[0] + 1j * parts[1]).astype(np.complex64)


def spiked(kspace: np.ndarray, times: float, seed: int, coils: slice = slice(None)) -> tuple[np.ndarray, tuple[int, int]]:
    """K-space with a sample of its outer half `times` its neighbours in some coils, and where it is."""
    generator = np.random.default_rng(seed)
    rows, cols = kspace.shape[1:]
    row, col = int(generator.integers(rows)), int(generator.choice(np.r_[2 : cols // 4, 3 * cols // 4 : cols - 2]))
    near = np.abs(kspace[:, max(0, row - 4) : row + 5, max(0, col - 4) : col + 5])
    found = kspace.copy()
    found[coils, row, col] = times * np.median(near, (1, 2))[coils] * np.exp(1j * seed)
    return found, (row, col)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("accel", [1, 4, 8])
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.1])
def test_objects_and_noise_have_no_spikes(name: str, coils: int, accel: int, noise: float) -> None:
    kspace = coils_of(OBJECTS[name], coils, noise) * (make_mask((ROWS, COLS), accel) if accel > 1 else 1)
    assert spikes_of(kspace) == []
    assert without_spikes(kspace)[0] is kspace


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("times", [100, 1000, 10000])
@pytest.mark.parametrize("seed", range(6))
def test_a_spike_is_found_and_nothing_else_is_changed(coils: int, times: float, seed: int) -> None:
    clean = coils_of(DISC, coils, 0.02, seed)
    coil = seed % coils
    kspace, (row, col) = spiked(clean, times, seed, slice(coil, coil + 1))
    (spike,) = spikes_of(kspace)
    assert spike[:3] == (coil, row, col) and times / 8 < spike.times < 2 * times
    mended, _ = without_spikes(kspace)
    changed = mended != clean
    assert changed.sum() == 1 and mended[coil, row, col] == 0
    before, after = (np.linalg.norm(ifft2c(one - clean)) for one in (kspace, mended))
    assert after < 0.1 * before


def test_one_in_all_coils_at_once_and_several_are_found() -> None:
    kspace, (row, col) = spiked(coils_of(DISC, 4, 0.02), 300, 1)
    assert sorted(spike[:3] for spike in spikes_of(kspace)) == [(coil, row, col) for coil in range(4)]
    kspace[2, 10, 70] = 400 * np.median(np.abs(kspace))
    assert len(spikes_of(kspace)) == 5


@pytest.mark.parametrize("seed", range(4))
def test_between_lines_that_are_missing_it_is_found_in_one_coil(seed: int) -> None:
    mask = make_mask((ROWS, COLS), 4)
    kspace = coils_of(DISC, 4, 0.02) * mask
    row, col = 5 + 20 * seed, int(np.flatnonzero(mask[0])[seed])
    kspace[seed, row, col] = 200 * np.median(np.abs(kspace[kspace != 0]))
    assert [spike[:3] for spike in spikes_of(kspace)] == [(seed, row, col)]


@pytest.mark.parametrize("unit", [2.0**-60, 2.0**60])
def test_the_unit_does_not_matter(unit: float) -> None:
    kspace, _ = spiked(four_coils()[0], 200, 3, slice(1, 2))
    assert spikes_of(kspace * np.float32(unit)) == spikes_of(kspace) != []


def test_near_the_centre_nothing_is_touched() -> None:
    kspace = coils_of(DISC, 1, 0.02)
    kspace[0, ROWS // 2 + 5, COLS // 2 - 6] *= 1e4
    assert spikes_of(kspace) == []


def test_words_tell_the_largest() -> None:
    found = [("slice 3", Spike(0, 5, 6, 20.4)), ("slice 4", Spike(1, 7, 8, 300.0))]
    assert words(found[:1]).startswith(
        "a sample of k-space is a spike and was set to zero: it (slice 3, coil 1, row 5, column 6)"
    )
    assert words(found).startswith("2 samples") and "(slice 4, coil 2, row 7, column 8) is 300 times" in words(found)
