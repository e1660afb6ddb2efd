"""Protocols of deraining and dehazing against scikit-image and the definitions, on made pictures."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mri_d3gm.metrics.restoration import RESTORATION_METRICS, averaged_down, luma, ssim

NAMES = list(RESTORATION_METRICS)
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}


def pair(rows: int = 60, cols: int = 75, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    y, x = np.mgrid[:rows, :cols]
    clean = np.stack([0.5 + 0.4 * np.sin(x / 5 + k) * np.cos(y / (7 + k)) for k in range(3)], -1)
    eight_bits = np.round(255 * np.clip(np.stack([clean, clean + rng.normal(0, noise, clean.shape)]), 0, 1)) / 255
    return eight_bits[0], eight_bits[1]


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al., TIP 2004, valid area of an 11 x 11 window."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2

    def mean(image: np.ndarray) -> np.ndarray:
        return convolve2d(image, window, "valid")

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    upper = (2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
    return float((upper / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))).mean())


def test_ssim_is_its_definition_and_scikit_images() -> None:
    a, b = (picture[..., 0] for picture in pair())
    assert ssim(a, b) == pytest.approx(by_definition(a, b), abs=1e-12)
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, **GAUSSIAN), abs=1e-9)


def test_luma_is_scikit_images() -> None:
    clean, _ = pair()
    np.testing.assert_allclose(luma(clean) * 255, rgb2ycbcr(clean)[..., 0], atol=1e-9)
    assert luma(np.array([[[0, 0, 0], [1, 1, 1]]])) * 255 == pytest.approx(np.array([[16, 235]]))


def test_y_uint8_rounds_luma() -> None:
    clean, noisy = pair()
    planes = [np.round(rgb2ycbcr(picture)[..., 0]) / 255 for picture in (clean, noisy)]
    found = RESTORATION_METRICS["y-uint8"](clean, noisy)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(*planes, data_range=1))
    assert found["ssim"] == pytest.approx(structural_similarity(*planes, **GAUSSIAN), abs=1e-9)


def test_y_crop4_ignores_the_border() -> None:
    clean, noisy = pair()
    planes = [rgb2ycbcr(picture)[4:-4, 4:-4, 0] / 255 for picture in (clean, noisy)]
    found = RESTORATION_METRICS["y-crop4"](clean, noisy)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(*planes, data_range=1))
    assert found["ssim"] == pytest.approx(structural_similarity(*planes, **GAUSSIAN), abs=1e-9)
    noisy[:4], noisy[-4:], noisy[:, :4], noisy[:, -4:] = 0, 1, 0, 1
    assert RESTORATION_METRICS["y-crop4"](clean, noisy) == found


@pytest.mark.parametrize("name", ["rgb", "dehaze"])
def test_colours_of_small_pictures(name: str) -> None:
    clean, noisy = pair()
    found = RESTORATION_METRICS[name](clean, noisy)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=1))
    assert found["ssim"] == pytest.approx(structural_similarity(clean, noisy, channel_axis=2, **GAUSSIAN), abs=1e-9)


@pytest.mark.parametrize(("rows", "cols", "factor"), [(383, 400, 1), (400, 390, 2), (645, 641, 3)])
def test_dehaze_averages_down_before_ssim(rows: int, cols: int, factor: int) -> None:
    clean, noisy = pair(rows, cols)
    small = [
        torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(picture).permute(2, 0, 1), (rows // factor, cols // factor))
        .permute(1, 2, 0)
        .numpy()
        for picture in (clean, noisy)
    ]
    np.testing.assert_allclose(averaged_down(clean, factor), small[0], atol=1e-12)
    found = RESTORATION_METRICS["dehaze"](clean, noisy)
    assert found["ssim"] == pytest.approx(structural_similarity(*small, channel_axis=2, **GAUSSIAN), abs=1e-9)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=1))


@pytest.mark.parametrize("name", NAMES)
def test_equal_pictures_and_more_noise(name: str) -> None:
    metric = RESTORATION_METRICS[name]
    clean, _ = pair()
    assert metric(clean, clean) == {"psnr": np.inf, "ssim": pytest.approx(1)}
    values = [metric(*pair(noise=noise)) for noise in (0.02, 0.1, 0.3)]
    assert values[0]["psnr"] > values[1]["psnr"] > values[2]["psnr"]
    assert values[0]["ssim"] > values[1]["ssim"] > values[2]["ssim"]


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_changes_nothing(name: str) -> None:
    clean, noisy = pair()
    found = RESTORATION_METRICS[name](clean.astype(np.float32), noisy.astype(np.float32))
    assert found == pytest.approx(RESTORATION_METRICS[name](clean, noisy), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shapes", [((20, 20, 3), (20, 21, 3)), ((20, 20), (20, 20)), ((20, 20, 1), (20, 20, 1))])
def test_other_shapes_are_refused(name: str, shapes: tuple) -> None:
    with pytest.raises(ValueError, match="must be"):
        RESTORATION_METRICS[name](*(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("name", NAMES)
def test_too_small_for_the_window(name: str) -> None:
    with pytest.raises(ValueError):
        RESTORATION_METRICS[name](np.zeros((10, 40, 3)), np.zeros((10, 40, 3)))
