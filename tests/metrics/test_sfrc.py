"""Fourier ring correlation: 1 for the same image, none for independent noise, a blur's own cut-off; and patches that lie."""

import numpy as np
import pytest

from mri_d3gm.metrics.lesions import soft_disc
from mri_d3gm.metrics.sfrc import CUTOFF, around, cutoff_of, patch_cutoff, ring_correlation, scan_patches


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("size", [32, 48, 33])
def test_an_image_correlates_fully_with_itself_at_any_level(size: int) -> None:
    image = noise(0, size, size)
    frequencies, correlation = ring_correlation(image, 3 * image)
    assert frequencies[0] == 0 and frequencies[-1] == (size // 2) / size and len(frequencies) == size // 2 + 1
    np.testing.assert_allclose(correlation, 1)
    np.testing.assert_allclose(ring_correlation(image, -image)[1], -1)
    assert cutoff_of(frequencies, correlation) == frequencies[-1]
    np.testing.assert_allclose(ring_correlation(0 * image, 0 * image)[1], 1)


def test_independent_noise_does_not_correlate() -> None:
    found = np.array([ring_correlation(noise(2 * k, 48, 48), noise(2 * k + 1, 48, 48))[1] for k in range(40)])
    assert np.abs(found.mean(0)[2:]).max() < 0.15 and np.abs(found[:, 8:]).mean() < 0.12


@pytest.mark.parametrize("limit", [0.1, 0.2, 0.3])
def test_a_blurred_image_is_cut_off_at_the_frequency_of_the_blur(limit: float) -> None:
    image = noise(1, 48, 48)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(48), np.fft.fftfreq(48)))
    blurred = np.fft.ifft2(np.fft.fft2(image) * (frequency <= limit)).real
    found = patch_cutoff(image, blurred + 1e-3 * noise(2, 48, 48), (0, 0), 48)
    assert found == pytest.approx(limit, abs=1.5 / 48)


def test_a_cut_off_lies_between_rings() -> None:
    frequencies = np.array([0.0, 0.1, 0.2, 0.3])
    assert cutoff_of(frequencies, np.array([1.0, 1.0, 0.5, 1.0])) == pytest.approx(0.15)
    assert cutoff_of(frequencies, np.array([0.5, 1.0, 1.0, 1.0])) == 0
    assert cutoff_of(frequencies, np.ones(4)) == 0.3


def test_patches_with_a_structure_that_is_gone_are_flagged_and_no_others() -> None:
    shape, place = (192, 192), (72, 120)
    rows, cols = np.indices(shape)
    tissue = 1 + 0.2 * np.sin(rows / 5) * np.cos(cols / 7) + 0.02 * noise(0, *shape)
    structure = sum(soft_disc(shape, (place[0] + 12 * i, place[1] + 12 * j), 4) for i in (-1, 0, 1) for j in (-1, 0, 1))
    reference, image = tissue + structure, tissue + 1e-3 * noise(1, *shape)
    patches = scan_patches(reference, image, np.ones(shape, bool))
    assert patches.size == 48 and len(patches.cutoffs) == 49
    distance = np.abs(patches.corners + 24 - place).max(1)
    flagged = patches.flagged()
    assert flagged[distance <= 12].all() and not flagged[distance >= 24 + 17].any() and (distance <= 12).any()
    corner, size = around(place, shape)
    assert patch_cutoff(reference, image, corner, size) < CUTOFF
    body = np.zeros(shape, bool)
    body[:60, :60] = True
    few = scan_patches(reference, image, body)
    assert 0 < len(few.cutoffs) < 9 and not few.flagged().any()


def test_small_images_are_one_patch_and_odd_ones_are_covered_to_their_edge() -> None:
    image = noise(0, 20, 30)
    found = scan_patches(image, image, np.ones((20, 30), bool))
    assert found.size == 20 and found.corners.tolist() == [[0, 0], [0, 10]] and (found.cutoffs == 0.5).all()
    assert scan_patches(image, image, np.zeros((20, 30), bool)).cutoffs.size == 0
    assert around((0, 29), (20, 30)) == ((0, 10), 20)
