"""Scans whose field of view is smaller than the object: two places share a pixel, and two sets of coil maps tell them apart."""

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from scans import header, phantom, write_scan

from mri_d3gm import reconstruct
from mri_d3gm.methods.drawing import Drawn
from mri_d3gm.methods.second_look import Look, Way, shown
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.coil_maps import smooth_coil_maps
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.operators import expand, rss
from mri_d3gm.physics.withheld import withheld_samples
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.recon_record import doubts
from mri_d3gm.training.coils import draw_coils

ROWS, COLS, KEPT = 96, 96, 64
FAST = {"steps": 1, "samples": 1, "device": "cpu"}


def coil_images(kept: int, noise: float = 0.005) -> np.ndarray:
    """(8, ROWS, kept) complex: the phantom under eight coils, what lies beyond `kept` columns wrapped around."""
    generator = torch.Generator().manual_seed(5)
    maps = smooth_coil_maps(draw_coils(8, generator)[None], ROWS, COLS)[0].numpy()
    images = maps * phantom(1, ROWS, COLS)[0] * np.exp(0.4j * np.linspace(-1, 1, COLS))
    wrapped = np.zeros((8, ROWS, kept), complex)
    np.add.at(wrapped, (slice(None), slice(None), (np.arange(COLS) - COLS // 2 + kept // 2) % kept), images)
    draws = np.random.default_rng(0).normal(0, noise, (2, *wrapped.shape))
    return wrapped + draws[0] + 1j * draws[1]


def scan_of(folder: Path, kept: int, axis: str) -> Path:
    images = coil_images(kept)
    kspace = fft2c(torch.from_numpy(images if axis == "phase" else images.swapaxes(1, 2))).numpy()
    return write_scan(folder / "scan.h5", kspace[None].astype(np.complex64), header(*kspace.shape[1:]))


def gain(record: dict) -> float:
    after, before = record["Metrics"], record["MetricsZeroFilled"]
    return after["fastmri-volume"]["psnr"] - before["fastmri-volume"]["psnr"]


@pytest.mark.parametrize("axis", ["phase", "readout"])
def test_a_field_of_view_that_wraps_around_is_noticed_said_and_unfolded(axis: str, tmp_path) -> None:
    options = {"accel": 2, "axis": axis, "center_fraction": 0.25} | FAST
    record = reconstruct(scan_of(tmp_path, KEPT, axis), **options).record
    assert record["CoilMapSets"] == 2 and record["CentreExplained"][0] < 0.99
    assert sum(record["CentreExplained"]) > record["CentreExplained"][0] + 0.005
    assert any("field of view" in warning for warning in record["Warnings"])
    assert gain(record) > 10


@pytest.mark.parametrize("axis", ["phase", "readout"])
def test_where_no_two_sets_fit_each_coil_is_reconstructed_alone(axis: str, tmp_path) -> None:
    """Three places in a pixel."""
    scan = scan_of(tmp_path, 40, axis)
    options = {"accel": 2, "axis": axis, "center_fraction": 0.1} | FAST
    believed, doubted = (reconstruct(scan, trust=trust, **options) for trust in ("off", "fast"))
    assert doubted.record["CoilMaps"] == ["none in place of recalibrated"]
    assert any("each coil was reconstructed alone" in warning for warning in doubted.record["Warnings"])
    flags = doubted.record["PerSlice"][0]["Flags"]
    assert "without-maps" in flags and not {"poor-maps", "wrapped"} & set(flags) and doubted.record["CoilMapSets"] == 0
    assert gain(doubted.record) > max(gain(believed.record), 0) + 1
    assert doubted.record["Evaluations"] > 3 * 8 and doubted.phase.any() and (doubted.std > 0).any()


def test_coils_alone_are_the_scan() -> None:
    """Normalised each, with its share of the noise; put together, with what compression left, they are the image of all."""
    generator = torch.Generator().manual_seed(3)
    maps = smooth_coil_maps(draw_coils(5, generator)[None], 32, 24)
    sizes = torch.tensor([1, 0.1, 1e-3, 0, 1])[:, None, None]
    kspace = torch.randn(1, 5, 32, 24, dtype=torch.complex64, generator=generator) * sizes
    rest = torch.rand(1, 32, 24, generator=generator)
    whole = Cartesian(kspace, torch.ones(1, 1, 24, dtype=torch.bool), maps, sigma=0.1, rest=rest)
    parts, scales = whole.each_coil()
    assert scales[3] == 0 and all(scales[place] > 0 for place in (0, 1, 2, 4))
    assert float(parts[0].sigma) == pytest.approx(0.1 / scales[0]) and parts[0].each_coil() is None
    draws = [Drawn(part.agree(torch.ones(1, 32, 24) + 0j)[:, None], torch.ones(1), torch.ones(1, 32, 24)) for part in parts]
    image, residual, error = shown(Look(Way(parts, scales), draws, []), whole)
    torch.testing.assert_close(image[:, 0], whole.shown(torch.zeros(1, 32, 24) + 0j), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(image[:, 0].abs().square(), rss(ifft2c(kspace)).square() + rest)
    assert float(residual) == pytest.approx(np.sqrt(np.mean(np.square(scales))), rel=1e-5)
    assert (error > 0).all() and float(error.max()) <= np.linalg.norm(scales) * 1.001


def test_a_field_of_view_that_does_not_wrap_needs_one_set(tmp_path) -> None:
    record = reconstruct(scan_of(tmp_path, COLS, "phase"), accel=2, center_fraction=0.25, **FAST).record
    assert record["CoilMapSets"] == 1 and record["CentreExplained"][0] > 0.99 and record["Warnings"] == []


def test_maps_that_do_not_fit_are_said(tmp_path) -> None:
    """Those of the same coils, moved by a fifth of the field of view."""
    maps = smooth_coil_maps(draw_coils(8, torch.Generator().manual_seed(5))[None], ROWS, COLS)[0].roll(20, -1)
    kspace = fft2c(torch.from_numpy(coil_images(COLS)))[None]
    for trust, said in (("off", "coil maps explain only"), ("fast", "contradict coil maps (given)")):
        record = reconstruct(kspace, accel=2, coil_maps=maps, trust=trust, **FAST).record
        assert record["CoilMapSets"] == 1
        assert any(said in warning for warning in record["Warnings"])


def two_sets() -> tuple[Measurement, torch.Tensor]:
    """A measurement of two images, and the first of them."""
    generator = torch.Generator().manual_seed(2)
    first, second = (smooth_coil_maps(draw_coils(6, generator)[None], 32, 24) for _ in range(2))
    images = [torch.randn(1, 32, 24, dtype=torch.complex64, generator=generator) for _ in range(2)]
    images[1][:, :, :18] = 0
    mask = torch.ones(1, 1, 24, dtype=torch.bool)
    mask[..., ::3] = False
    mask[..., 8:16] = True
    kspace = fft2c(sum(expand(*pair) for pair in zip(images, (first, second), strict=True)))
    return Cartesian(kspace, mask, first, second_maps=second), images[0]


@pytest.mark.parametrize("axes", [(-1,), (-2,), (-2, -1)])
def test_the_second_image_is_mirrored_turned_and_chosen_with_the_first(axes: tuple[int, ...]) -> None:
    measurement, _ = two_sets()
    for same in (
        measurement.mirrored(axes).mirrored(axes),
        measurement.turned().turned(),
        measurement[0],
        measurement.repeated(1),
    ):
        torch.testing.assert_close(same.prior_mean(), measurement.prior_mean(), atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(same.second, measurement.second)


def test_what_is_measured_is_shown_as_it_is() -> None:
    measurement, image = two_sets()
    full = Cartesian(measurement.kspace, torch.ones(1, 1, 24, dtype=torch.bool), measurement.coil_maps)
    assert torch.equal(full.kspace, measurement.kspace)
    for estimate in (image, 0 * image):
        coils = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(full.kspace, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
        torch.testing.assert_close(full.shown(estimate).abs(), rss(coils), atol=1e-5, rtol=1e-4)


def test_withheld_samples_do_not_leak_through_the_second_image() -> None:
    measurement, _ = two_sets()
    kept, withheld = measurement.withhold(0, 4)
    other = Cartesian(
        measurement.kspace + 5 * withheld.kspace, measurement.mask, measurement.coil_maps, second_maps=measurement.second_maps
    )
    torch.testing.assert_close(other.withhold(0, 4)[0].second, kept.second)


UNTESTED = {"Mode": "fast", "WithheldError": None, "WithheldSamples": 0}


def test_one_slice_that_wraps_among_others_is_said() -> None:
    shares = [[0.95], [0.93, 0.06]]
    warnings = doubts({"Source": "outermost lines", "Reliable": True}, ["espirit"], shares, UNTESTED, 1.0)
    assert len(warnings) == 1 and "field of view" in warnings[0]


def test_other_kspace_has_another_second_image() -> None:
    measurement, _ = two_sets()
    doubled = measurement.with_tensors({"kspace": 2 * measurement.kspace})
    torch.testing.assert_close(doubled.second, 2 * measurement.second, atol=1e-4, rtol=1e-3)


def test_folds_of_many_coils_reach_all_of_kspace() -> None:
    mask = torch.zeros(1, 1, 256, dtype=torch.bool)
    mask[..., ::8] = True
    mask[..., 124:133] = True
    distances = [(withheld_samples(mask, fold, 16).flatten().nonzero() - 128).abs() for fold in range(4)]
    assert all(float(each.max()) > 64 for each in distances)
    assert len({int(value) for each in distances for value in each.flatten()}) == sum(
        len(set(each.flatten().tolist())) for each in distances
    )


def test_monai_gives_the_same_bits_where_the_field_of_view_wraps(tmp_path) -> None:
    path, root = scan_of(tmp_path, KEPT, "phase"), shipped("pipelines", "reconstruction")
    result = reconstruct(path, accel=2, center_fraction=0.25, **FAST)
    assert result.record["CoilMapSets"] == 2
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json")]
    options = {
        "bundle_root": root,
        "dataset_dir": path,
        "output": tmp_path / "bundle",
        "accel": 2,
        "center_fraction": 0.25,
        **FAST,
    }
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(command, check=True, capture_output=True)
    written = nibabel.load(tmp_path / "bundle" / "scan_recon.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj).transpose(2, 1, 0), result.volume)


@pytest.mark.parametrize(("kept", "accel", "centre"), [(48, 2, 0.15), (56, 3, 0.25)])
def test_withheld_lines_do_not_cost_what_they_are_to_protect(kept: int, accel: float, centre: float) -> None:
    """Without the last agreement what is predicted of wrapped k-space is worse than nothing, though the image is good."""
    kspace = fft2c(torch.from_numpy(coil_images(kept)))[None]
    options = {"accel": accel, "center_fraction": centre} | FAST
    free, tested = (reconstruct(kspace, trust=trust, **options).record for trust in ("off", "fast"))
    assert gain(free) > 2 and gain(tested) > gain(free) - 0.1
    assert tested["Trust"]["WithheldError"] < 1
