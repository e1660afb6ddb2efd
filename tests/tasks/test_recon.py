import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from bundles import checked
from scans import four_coils, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.methods import METHODS
from mri_d3gm.settings import LEARNED, SAMPLED, Recon
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import open_bundle
from mri_d3gm.tasks.demo import run_demo
from mri_d3gm.tasks.recon import names_of, reconstruct_file
from mri_d3gm.transforms import slice_items

REAL = Path(__file__).parent.parent / "data" / "brain_se_t1_sag_1ch_256.h5"
FAST = {"steps": 2, "samples": 2}
NO_BETTER = ("zero-filled",)  # than zero-filling
reconstruct = partial(mri_d3gm.reconstruct, device="cpu")


@pytest.fixture(scope="module")
def real():
    return reconstruct(REAL, accel=4, **FAST)


def multi_coil(path: Path, scale: float = 1.0) -> Path:
    return write_scan(path, four_coils() * np.float32(scale))


def test_real_kspace_is_reconstructed_in_the_references_units(real) -> None:
    assert real.volume.shape == real.std.shape == real.reference.shape == (1, 256, 256)
    assert np.isfinite(real.volume).all() and (real.volume >= 0).all() and (real.std > 0).any()
    record = real.record
    assert record["Metrics"]["fastmri-volume"]["psnr"] > record["MetricsZeroFilled"]["fastmri-volume"]["psnr"]
    assert (
        record["Evaluations"] == 5  # two of each draw, one of the withheld lines
        and record["Draws"] == 2
        and record["Sampling"]["AccelerationAchieved"] == pytest.approx(4, rel=0.1)
    )
    assert record["Noise"]["Sigma"] > 0 and record["DataResidual"]["RelativeToNoise"] > 0
    body = real.reference > 0.2 * np.percentile(real.reference, 99)
    assert np.median(real.volume[body] / real.reference[body]) == pytest.approx(1, abs=0.03)


def test_two_runs_are_bit_identical_and_the_std_is_never_below_the_noise(real) -> None:
    again = reconstruct(REAL, accel=4, **FAST)
    assert np.array_equal(real.volume, again.volume) and np.array_equal(real.std, again.std)
    assert np.all(real.std[0] >= 0.99 * real.record["Noise"]["Sigma"])


def test_withheld_lines_say_how_well_the_scan_is_predicted(real) -> None:
    trust = real.record["Trust"]
    assert trust["Mode"] == "fast" and 0 < trust["WithheldError"] < 1.1 and trust["WithheldSamples"] > 0
    assert all(0 <= weight <= 1 for weight in trust["WeightByBand"])
    full = reconstruct(REAL, accel=4, trust="full", **FAST).record["Trust"]
    assert full["WithheldSamples"] > 3 * trust["WithheldSamples"]
    off = reconstruct(REAL, accel=4, trust="off", **FAST).record["Trust"]
    assert off["WithheldError"] is None
    with pytest.raises(InputError, match="--trust some: unknown; one of off, fast, full"):
        reconstruct(REAL, trust="some")


def test_pure_noise_is_flagged_and_not_made_worse(tmp_path) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 1, 1, 96, 96))
    path = write_scan(tmp_path / "noise.h5", (noise[0] + 1j * noise[1]).astype(np.complex64))
    record = reconstruct(path, accel=4).record
    assert record["Trust"]["WithheldError"] > 0.95 and any("no better than zero-filling" in w for w in record["Warnings"])
    nmse = [record[name]["fastmri-volume"]["nmse"] for name in ("Metrics", "MetricsZeroFilled")]
    assert nmse[0] < nmse[1] + 0.02


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_the_data_does_not_matter(scale: float, tmp_path) -> None:
    plain = reconstruct(multi_coil(tmp_path / "a.h5"), accel=4, **FAST)
    scaled = reconstruct(multi_coil(tmp_path / "b.h5", scale), accel=4, **FAST)
    np.testing.assert_allclose(scaled.volume / scale, plain.volume, atol=2e-3 * plain.volume.max())
    psnr = [result.record["Metrics"]["fastmri-volume"]["psnr"] for result in (plain, scaled)]
    assert psnr[0] == pytest.approx(psnr[1], abs=0.05)


@pytest.mark.parametrize("method", [method for method in METHODS[Recon] if method not in SAMPLED])
@pytest.mark.parametrize("axis", ["phase", "readout"])
def test_every_method_runs_along_both_axes(method: str, axis: str, tmp_path) -> None:
    result = reconstruct(multi_coil(tmp_path / "a.h5"), accel=3, axis=axis, method=method, center_fraction=0.15)
    assert (result.std is None) == (method not in LEARNED) and result.volume.shape == (2, 72, 64)
    before = result.record["MetricsZeroFilled"]["fastmri-volume"]["psnr"]
    after = result.record["Metrics"]["fastmri-volume"]["psnr"]
    assert after == pytest.approx(before) if method == "zero-filled" else after > before or method in NO_BETTER


@pytest.mark.parametrize("kind", ["random", "gaussian", "gaussian-2d", "poisson-2d"])
def test_other_masks_gain_over_zero_filling(kind: str, tmp_path) -> None:
    record = reconstruct(multi_coil(tmp_path / "a.h5"), accel=4, mask_kind=kind, **FAST).record
    before, after = (record[name]["fastmri-volume"]["psnr"] for name in ("MetricsZeroFilled", "Metrics"))
    assert after > before + 1


def test_an_undersampled_file_is_reconstructed_as_it_is(tmp_path) -> None:
    mask = (np.arange(64) % 3 == 0) | (abs(np.arange(64) - 32) < 6)
    kspace = h5py.File(multi_coil(tmp_path / "full.h5"))["kspace"][()]
    path = write_scan(tmp_path / "a.h5", kspace * mask, mask=mask)
    result = reconstruct(path, accel=8, **FAST)
    assert result.reference is None and "Metrics" not in result.record
    assert result.record["Sampling"]["FromFile"]
    assert any("--accel 8 is ignored" in warning for warning in result.record["Warnings"])
    quiet = reconstruct(path, **FAST)
    assert not any("ignored" in warning for warning in quiet.record["Warnings"])


def test_coil_maps_can_be_given(tmp_path) -> None:
    path = multi_coil(tmp_path / "a.h5")
    shifted = np.fft.ifft2(np.fft.ifftshift(h5py.File(path)["kspace"][0], axes=(-2, -1)), norm="ortho")
    maps = np.fft.fftshift(shifted, axes=(-2, -1)).astype(np.complex64)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["coil_maps"] = maps
    result = reconstruct(path, accel=4, coil_maps=str(tmp_path / "maps.h5"), **FAST)
    assert result.record["CoilMaps"] == ["given"]
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["coil_maps"] = maps[:2]
    with pytest.raises(InputError, match="must be complex of shape"):
        reconstruct(path, accel=4, coil_maps=str(tmp_path / "maps.h5"))


def test_bundle_properties_and_monais_own_command_give_the_same_image(real, tmp_path) -> None:
    root = shipped("pipelines", "reconstruction")
    workflow = open_bundle(root, "inference.json", "inference", dataset_dir=str(REAL))
    assert not workflow.check_properties()
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json")]
    options = {"bundle_root": root, "dataset_dir": REAL, "output": tmp_path, "accel": 4, **FAST}
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(command, check=True, capture_output=True)
    written = nibabel.load(tmp_path / f"{REAL.stem}_recon.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj).transpose(2, 1, 0), real.volume)


def test_bundle_metadata_and_training_configuration_are_valid(tmp_path) -> None:
    checked("reconstruction", write_scan(tmp_path / "a.h5"), 2)


def test_demo_makes_kspace_that_the_user_keeps(tmp_path) -> None:
    source, names, record = run_demo(tmp_path, Recon(accel=8, slices="2:3", report=True, device="cpu", **FAST))
    made = [name for name in names.files() if name not in (names.phase, names.dicom)]
    assert h5py.File(source)["kspace"].shape[1] == 8 and all(name.exists() for name in made)
    metrics = (record[key]["fastmri-volume"]["psnr"] for key in ("Metrics", "MetricsZeroFilled"))
    assert next(metrics) > next(metrics)
    image = nibabel.load(names.result)
    assert image.shape[2] == 1 and image.header.get_zooms()[:2] == pytest.approx((0.599, 0.599), abs=0.01)


def test_outputs_are_named_done_and_refused(tmp_path) -> None:
    path = multi_coil(tmp_path / "scan.h5")
    names = names_of(path, tmp_path / "out")
    assert names.result == tmp_path / "out" / "scan_recon.nii.gz" and names.std.name == "scan_recon_std.nii.gz"
    assert names_of(path, "x/y.nii.gz").sidecar == Path("x/y.json")
    with pytest.raises(InputError, match=r"ends in \.nii\.gz"):
        names_of(path, "y.nii")
    settings = Recon(accel=4, method="zero-filled")
    record, before = reconstruct_file(path, settings, names)
    assert not before and reconstruct_file(path, settings, names) == (json.loads(json.dumps(record)), True)
    with pytest.raises(InputError, match="--overwrite"):
        reconstruct_file(path, Recon(accel=2, method="zero-filled"), names)
    assert not names.std.exists()


def test_slices_and_unknown_options_are_checked(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5")
    assert [item["slice"] for item in slice_items(str(path), Recon(slices="1"))] == [1]
    assert len(slice_items(str(path), Recon(slices="0:2"))) == 2
    for wrong in ("9", "a", "2:1"):
        with pytest.raises(InputError, match="--slices"):
            slice_items(str(path), Recon(slices=wrong))
    for options in (
        {"colour": 1},
        {"method": "magic"},
        {"solver": "magic"},
        {"steps": 0},
        {"tau": -1},
        {"device": "tpu"},
    ):
        with pytest.raises(InputError):
            mri_d3gm.reconstruct(str(path), **options)
