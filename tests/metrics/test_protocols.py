"""Laws of every protocol in the registry, and each against scikit-image at equal settings."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from mri_d3gm.metrics import METRICS, score
from mri_d3gm.metrics.body import body_mask

PERFECT = {"psnr": np.inf, "psnr_worst": np.inf, "nmse": 0.0, "nrmse": 0.0}  # of the others 1; errors, which fall, 0


def textured() -> tuple[np.ndarray, np.ndarray]:
    """A textured disc in noise-free air, slices of different brightness, and the same with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:64j, -1:1:56j]
    texture = 1 + 0.3 * ndimage.gaussian_filter(rng.normal(size=(3, 64, 56)), (0, 2, 2)) / 0.14
    reference = np.abs(texture) * (x**2 + y**2 < 0.5) * np.array([1.0, 2.0, 0.5])[:, None, None]
    return reference, np.abs(reference + rng.normal(0, 0.1, reference.shape))


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    return textured()


@pytest.fixture(params=[name for name in METRICS if name != "lpips"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


def test_an_equal_image_is_perfect(protocol, pair):
    for name, value in score(pair[0], pair[0], protocol).items():
        assert value == pytest.approx(PERFECT.get(name, 1.0), abs=1e-12)


def test_more_noise_is_worse(protocol, pair):
    reference = pair[0]
    noise = np.random.default_rng(1).normal(size=reference.shape)
    levels = [score(reference, np.abs(reference + level * noise), protocol) for level in (0.02, 0.1, 0.4)]
    for name in levels[0]:
        values = [level[name] for level in levels]
        assert values == sorted(values, reverse=PERFECT.get(name) != 0)
        assert len(set(values)) == 3


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_do_not_matter(protocol, pair, unit):
    plain = score(*pair, protocol)
    assert score(pair[0] * unit, pair[1] * unit, protocol) == pytest.approx(plain, rel=1e-9)
    single = score((pair[0] * unit).astype(np.float32), (pair[1] * unit).astype(np.float32), protocol)
    assert single == pytest.approx(plain, rel=1e-4)


def test_the_order_of_slices_does_not_matter(protocol, pair):
    assert score(pair[0][::-1], pair[1][::-1], protocol) == pytest.approx(score(*pair, protocol), rel=1e-12)


def test_values_are_plain_floats(protocol, pair):
    assert all(type(value) is float for value in score(*pair, protocol).values())


def test_shapes_that_differ_are_refused(protocol, pair):
    with pytest.raises(ValueError, match="slices, rows, cols"):
        score(pair[0], pair[1][:1], protocol)
    with pytest.raises(ValueError, match="slices, rows, cols"):
        score(pair[0][0], pair[1][0], protocol)


def test_fastmri_volume_is_scikit_image_with_the_maximum_of_the_volume(pair):
    reference, image = pair
    top = reference.max()
    found = score(reference, image, "fastmri-volume")
    slices = [peak_signal_noise_ratio(r, s, data_range=top) for r, s in zip(reference, image, strict=True)]
    ssim = [structural_similarity(r, s, data_range=top) for r, s in zip(reference, image, strict=True)]
    assert found == pytest.approx(
        {
            "psnr": peak_signal_noise_ratio(reference, image, data_range=top),
            "ssim": np.mean(ssim),
            "nmse": normalized_root_mse(reference, image) ** 2,
            "psnr_worst": min(slices),
        }
    )


def test_slice_max_is_scikit_image_on_slices_of_maximum_one(pair):
    tops = pair[0].max((1, 2), keepdims=True)
    slices = list(zip(pair[0] / tops, pair[1] / tops, strict=True))
    assert score(*pair, "slice-max") == pytest.approx(
        {
            "psnr": np.mean([peak_signal_noise_ratio(r, s, data_range=1) for r, s in slices]),
            "ssim_range1": np.mean([structural_similarity(r, s, data_range=1) for r, s in slices]),
            "ssim_range2": np.mean([structural_similarity(r, s, data_range=2) for r, s in slices]),
        }
    )


def test_slice_max_leaves_out_the_psnr_of_equal_slices_among_others(pair):
    reference, image = pair
    others = score(reference[1:], image[1:], "slice-max")
    mixed = score(reference, np.concatenate([reference[:1], image[1:]]), "slice-max")
    assert mixed["psnr"] == pytest.approx(others["psnr"]) and mixed["ssim_range1"] > others["ssim_range1"]


def test_slice_max_ignores_the_brightness_of_slices_and_empty_slices(pair):
    plain = score(*pair, "slice-max")
    gain = np.array([3.0, 0.2, 7.0])[:, None, None]
    assert score(pair[0] * gain, pair[1] * gain, "slice-max") == pytest.approx(plain)
    padded = [np.concatenate([volume, np.zeros((1, 64, 56))]) for volume in pair]
    assert score(*padded, "slice-max") == pytest.approx(plain)


def test_the_wider_range_flatters_ssim(pair):
    found = score(*pair, "slice-max")
    assert found["ssim_range2"] > found["ssim_range1"] + 0.05


def test_ssim_body_averages_the_map_of_scikit_image_inside_the_body(pair):
    reference, image = pair
    top = reference.max()
    inside = []
    for r, s in zip(reference, image, strict=True):
        values = structural_similarity(r, s, data_range=top, full=True)[1]
        inside.append(values[body_mask(r, top)].mean())
    assert score(reference, image, "body") == pytest.approx({"ssim_body": np.mean(inside)})


def test_ssim_body_does_not_see_the_background(pair):
    reference = pair[0]
    far = ~ndimage.binary_dilation(body_mask(reference.max(0), reference.max()), iterations=6)
    image = reference + far * np.abs(np.random.default_rng(2).normal(0, 0.3, reference.shape))
    assert score(reference, image, "body")["ssim_body"] == pytest.approx(1)
    assert score(reference, image, "fastmri-volume")["ssim"] < 0.8


def test_the_body_is_the_anatomy_with_its_holes_and_a_margin_of_three():
    slice_ = np.zeros((40, 40))
    slice_[10:30, 12:28] = 1.0
    expected = ndimage.binary_dilation(slice_ > 0, iterations=3)
    slice_[17:22, 17:22] = 0.0
    slice_[3, 35] = 1.0
    mask = body_mask(slice_, 1.0)
    assert mask[17:22, 17:22].all()
    assert not mask[3, 35]
    assert mask.sum() == pytest.approx(expected.sum(), rel=0.1)
    assert not (mask & ~expected).any()


def test_a_slice_without_anatomy_counts_whole():
    assert body_mask(np.zeros((20, 30)), 1.0).all()
