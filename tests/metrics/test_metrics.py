import numpy as np
import pytest
from scans import phantom
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mri_d3gm.metrics import METRICS, score
from mri_d3gm.metrics.body import body_mask
from mri_d3gm.metrics.bootstrap import bootstrap_interval
from mri_d3gm.metrics.calibration import calibration
from mri_d3gm.metrics.table import figure, to_csv, to_markdown

REFERENCE = phantom(3, 64, 60) * 40.0
RISING = {("fastmri-volume", "psnr"), ("fastmri-volume", "ssim"), ("slice-max", "psnr"), ("body", "ssim_body"), ("haarpsi", "haarpsi")}


def noisy(level: float) -> np.ndarray:
    return np.abs(REFERENCE + level * np.random.default_rng(0).normal(size=REFERENCE.shape))


@pytest.mark.parametrize(("protocol", "name"), sorted(RISING))
def test_more_noise_is_worse_and_units_do_not_matter(protocol: str, name: str) -> None:
    values = [score(REFERENCE, noisy(level), protocol)[name] for level in (1, 4, 16)]
    assert values[0] > values[1] > values[2]
    scaled = score(REFERENCE * 1e-9, noisy(4) * 1e-9, protocol)[name]
    assert scaled == pytest.approx(values[1], rel=1e-6)


def test_fastmri_volume_is_scikit_image_with_the_volumes_maximum() -> None:
    image, peak = noisy(4), REFERENCE.max()
    found = score(REFERENCE, image, "fastmri-volume")
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(REFERENCE, image, data_range=peak))
    slices = [structural_similarity(a, b, data_range=peak) for a, b in zip(REFERENCE, image, strict=True)]
    assert found["ssim"] == pytest.approx(np.mean(slices))
    assert found["nmse"] == pytest.approx(((image - REFERENCE) ** 2).sum() / (REFERENCE**2).sum())
    worst = min(peak_signal_noise_ratio(a, b, data_range=peak) for a, b in zip(REFERENCE, image, strict=True))
    assert found["psnr_worst"] == pytest.approx(worst)


def test_slice_max_normalises_each_slice_and_names_both_ranges() -> None:
    found = score(REFERENCE, noisy(4), "slice-max")
    assert found["ssim_range2"] > found["ssim_range1"]
    dimmed = np.array([1, 0.5, 0.1])[:, None, None]
    again = score(REFERENCE * dimmed, noisy(4) * dimmed, "slice-max")
    assert again["psnr"] == pytest.approx(found["psnr"])


def test_body_leaves_the_background_out() -> None:
    mask = body_mask(REFERENCE[0], REFERENCE.max())
    assert mask[32, 30] and not mask[1, 1]
    image = np.where(np.array([body_mask(s, REFERENCE.max()) for s in REFERENCE]), REFERENCE, noisy(9))
    assert score(REFERENCE, image, "body")["ssim_body"] > score(REFERENCE, image, "fastmri-volume")["ssim"] + 0.1


def test_haarpsi_is_one_for_equal_images_and_symmetric() -> None:
    assert METRICS["haarpsi"](REFERENCE, REFERENCE)["haarpsi"] == pytest.approx(1, abs=1e-6)
    other = noisy(4) * REFERENCE.max() / noisy(4).max()
    one, two = METRICS["haarpsi"](REFERENCE, other)["haarpsi"], METRICS["haarpsi"](other, REFERENCE)["haarpsi"]
    assert one == pytest.approx(two) and 0 < one < 1


def test_lpips_gives_a_figure_or_nothing_and_never_fails() -> None:
    assert set(score(REFERENCE, noisy(1), "lpips")) <= {"lpips"}


def test_bootstrap_interval_holds_the_mean_and_narrows() -> None:
    values = np.random.default_rng(0).normal(3, 1, 200)
    low, high = bootstrap_interval(list(values))
    assert low < values.mean() < high and high - low == pytest.approx(4 / 200**0.5, rel=0.2)
    assert bootstrap_interval([2.0]) == (2.0, 2.0)


def test_calibration_of_a_true_gaussian_error_is_nominal() -> None:
    random = np.random.default_rng(0)
    std = random.uniform(0.5, 2, 20000)
    found = calibration(random.normal(0, std), std)
    assert found["coverage_1std"] == pytest.approx(0.683, abs=0.02)
    assert found["coverage_2std"] == pytest.approx(0.954, abs=0.01)
    assert found["rank_correlation"] > 0.2 and found["expected_calibration_error"] < 0.05
    assert calibration(random.normal(0, 3 * std), std)["expected_calibration_error"] > 0.5


def test_tables_hold_every_row(tmp_path) -> None:
    rows = [{"accel": 8.0, "axis": "phase", "method": name, "psnr": value} for name, value in (("a", 20.0), ("d3gm", 25.5))]
    assert to_markdown(rows).count("\n") == 4 and "25.5" in to_csv(rows)
    figure(rows, tmp_path / "t.png", "psnr")
    assert (tmp_path / "t.png").stat().st_size > 500
