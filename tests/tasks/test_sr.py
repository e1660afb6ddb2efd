import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from bundles import checked
from dicom_files import COLUMNS, OBLIQUE, ROWS, SLICES, mosaic, stack, write_series
from scans import phantom

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.images.nifti import write_nifti_image
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.scan import Reading
from mri_d3gm.runs.names import Outputs
from mri_d3gm.settings import SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.info import facts_of_file
from mri_d3gm.tasks.sr import names_of, superresolve_file

FAST = {"steps": 1, "samples": 2}
superresolve = partial(mri_d3gm.superresolve, device="cpu")
LPS = np.array([[-0.9, 0.1, 0, 80], [-0.1, -0.9, 0, 90], [0, 0, 5, -20], [0, 0, 0, 1.0]])


def write(path: Path, volume: np.ndarray, affine: np.ndarray = LPS) -> Path:
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), affine), path)
    return path


def run(path: Path, names: Outputs, **options: Any) -> dict[str, Any]:
    """The record of a run that writes."""
    return superresolve_file(path, SuperResolve(device="cpu", **options), names)[0]


def landmark(rows: int, cols: int) -> np.ndarray:
    """Three slices, a Gaussian spot on voxel (11, 7) of the middle one."""
    y, x = np.mgrid[:rows, :cols]
    spot = np.exp(-((y - 11) ** 2 + (x - 7) ** 2) / 4) * 1000 + 10
    return np.stack([np.full((rows, cols), 10.0), spot, np.full((rows, cols), 10.0)], -1)


@pytest.mark.parametrize("size", [(24, 26), (25, 27), (24, 27)])
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("method", ["sinc", "cubic", "nearest"])
def test_a_landmark_keeps_its_world_position_and_its_intensity(size, scale: int, method: str, tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", landmark(*size))
    names = names_of(path, tmp_path)
    run(path, names, scale=scale, method=method)
    written = open_image(names.result)
    assert written.array.shape == (scale * size[0], scale * size[1], 3)
    np.testing.assert_allclose(written.affine, superresolve(path, scale=scale, method=method).affine, atol=1e-4)
    before = LPS @ [11, 7, 1, 1]
    found = np.array(np.unravel_index(written.array.argmax(), written.array.shape))
    if method == "nearest":
        found = np.array([scale * 11, scale * 7, 1])
        assert written.array[tuple(found)] == written.array.max()
    np.testing.assert_allclose((written.affine @ [*found, 1])[:3], before[:3], atol=0.01)
    assert written.array[tuple(found)] == pytest.approx(1010, rel=1e-3)
    assert np.median(written.array[..., 0]) == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("operator", ["truncation", "unknown"])
def test_the_sampler_runs_keeps_the_units_and_the_measured_centre(operator: str, tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", 300 * phantom(3, 40, 48).transpose(1, 2, 0))
    result = superresolve(path, scale=2, operator=operator, **FAST)
    again = superresolve(path, scale=2, operator=operator, **FAST)
    assert np.array_equal(result.volume, again.volume) and result.std is not None
    assert result.volume.shape == (80, 96, 3) and np.isfinite(result.volume).all()
    plain = superresolve(path, scale=2, operator=operator, method="regression")
    assert plain.std is None and plain.volume.mean() == pytest.approx(open_image(path).array.mean(), rel=0.05)
    assert (result.record["DataResidual"]["BeforeLastConsistency"] is None) == (operator == "unknown")


def test_frames_and_slices_go_to_their_places(tmp_path) -> None:
    volume = np.arange(1.0, 7).reshape(1, 1, 3, 2) * np.ones((8, 10, 1, 1))
    path = write(tmp_path / "a.nii.gz", volume)
    result = superresolve(path, scale=2, method="linear")
    assert result.volume.shape == (16, 20, 3, 2)
    np.testing.assert_allclose(result.volume[3, 5], volume[0, 0], rtol=1e-4)
    part = superresolve(path, scale=2, method="linear", slices="1:3")
    np.testing.assert_allclose(part.volume, result.volume[:, :, 1:3])
    np.testing.assert_allclose(part.affine @ [0, 0, 0, 1], LPS @ [0, 0, 1, 1], atol=1e-4)


@pytest.mark.parametrize(
    "unit, step, seconds", [("sec", 2.5, 2.5), ("msec", 2500, 2.5), ("usec", 8e5, 0.8), ("unknown", 2.5, None)]
)
def test_the_time_step_stays(unit: str, step: float, seconds: float | None, tmp_path) -> None:
    image = nibabel.Nifti1Image(np.stack([landmark(16, 16)] * 2, -1).astype(np.float32), LPS)
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = step
    nibabel.save(image, tmp_path / "a.nii.gz")
    names = names_of(tmp_path / "a.nii.gz", tmp_path)
    run(tmp_path / "a.nii.gz", names, scale=2, **FAST)
    for name in (names.result, names.std):
        written = nibabel.load(name)
        assert written.shape[3] == 2 and written.header.get_zooms()[3] == np.float32(seconds or 0)
        assert written.header.get_xyzt_units() == ("mm", "sec" if seconds else "unknown")
        assert open_image(name).time_step == seconds


def test_volumes_of_a_dicom_series_are_done_as_those_of_a_nifti(tmp_path) -> None:
    given = {"ScanningSequence": "EP", "RepetitionTime": 2500}
    write_series(tmp_path / "d", [mosaic(stack() + t, OBLIQUE, InstanceNumber=t + 1, **given) for t in range(2)])
    write_nifti_image(tmp_path / "a.nii.gz", open_image(tmp_path / "d"), 1, "")
    both = []
    for path in (tmp_path / "d", tmp_path / "a.nii.gz"):
        names = names_of(path, tmp_path)
        run(path, names, scale=2, method="linear")
        both.append(nibabel.load(names.result))
    one, other = both
    assert one.shape == (2 * COLUMNS, 2 * ROWS, SLICES, 2) and one.header.get_zooms()[3] == 2.5
    np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())
    assert one.header == other.header


@pytest.mark.parametrize("codes, kept", [((1, 1), 1), ((4, 1), 4), ((0, 3), 3), ((2, 0), 2), ((0, 0), 2)])
def test_the_code_of_the_coordinates_stays(codes: tuple[int, int], kept: int, tmp_path) -> None:
    image = nibabel.Nifti1Image(landmark(16, 16).astype(np.float32), None)
    image.set_sform(LPS, codes[0])
    image.set_qform(LPS, codes[1])
    nibabel.save(image, tmp_path / "a.nii.gz")
    names = names_of(tmp_path / "a.nii.gz", tmp_path)
    run(tmp_path / "a.nii.gz", names, scale=2, **FAST)
    for name in (names.result, names.std):
        header = nibabel.load(name).header
        assert header["sform_code"] == header["qform_code"] == kept


def test_the_slice_axis_may_come_first(tmp_path) -> None:
    volume = 100 * phantom(3, 16, 20)
    first = write(tmp_path / "a.nii.gz", volume, np.diag([5, 1, 1, 1.0]))
    last = write(tmp_path / "b.nii.gz", volume.transpose(1, 2, 0), np.diag([1, 1, 5, 1.0]))
    one, two = (superresolve(path, scale=2, method="sinc") for path in (first, last))
    assert one.volume.shape == (3, 32, 40)
    np.testing.assert_allclose(one.volume, two.volume.transpose(2, 0, 1), rtol=1e-5)
    np.testing.assert_allclose(np.diag(one.affine), [5, 0.5, 0.5, 1])
    assert superresolve(last, scale=2, method="nearest", slice_axis=0).volume.shape == (16, 40, 6)
    with pytest.raises(InputError, match="--slice-axis"):
        superresolve(last, slice_axis=3)


def test_outputs_are_named_skipped_and_refused(tmp_path) -> None:
    path = write(tmp_path / "scan.nii.gz", landmark(16, 16))
    names = names_of(path, tmp_path / "out")
    assert [name.name for name in names.files()] == [
        "scan_sr.nii.gz",
        "scan_sr.json",
        "scan_sr_std.nii.gz",
        "scan_sr_preview.png",
        "scan_sr_report.html",
        "scan_sr_dicom",
    ]
    settings = SuperResolve(method="cubic", scale=2)
    record, before = superresolve_file(path, settings, names)
    assert not before and superresolve_file(path, settings, names) == (json.loads(json.dumps(record)), True)
    assert names.preview.exists() and not names.std.exists()
    with pytest.raises(InputError, match="--overwrite"):
        superresolve_file(path, SuperResolve(method="cubic", scale=4), names)


def test_unknown_methods_and_scales_are_refused(tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", landmark(16, 16))
    for options in ({"method": "magic"}, {"scale": 3}, {"operator": "magic"}, {"slices": "9"}, {"tau": -1}, {"colour": 1}):
        with pytest.raises(InputError):
            superresolve(path, **options)


def test_an_interpolated_volume_is_flagged(tmp_path) -> None:
    noise = np.random.default_rng(0).normal(500, 3, (20, 24, 3)) + 300 * phantom(3, 20, 24).transpose(1, 2, 0)
    sharp = write(tmp_path / "a.nii.gz", noise)
    names = names_of(sharp, tmp_path)
    blurred = run(sharp, names, scale=2, method="sinc")
    assert not any("interpolated" in warning for warning in blurred["Warnings"])
    again = superresolve(names.result, scale=2, method="sinc")
    assert sum("interpolated" in warning for warning in again.record["Warnings"]) == 2


def test_bundle_is_valid_and_monais_own_command_gives_the_same_volume(tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", 300 * phantom(3, 20, 24).transpose(1, 2, 0))
    root = checked("super_resolution", path, 2)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json")]
    options = {"bundle_root": root, "dataset_dir": path, "output": tmp_path / "out", "scale": 2, **FAST}
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    subprocess.run(command, check=True, capture_output=True)
    written = open_image(tmp_path / "out" / "a_sr.nii.gz")
    np.testing.assert_array_equal(written.array, superresolve(path, scale=2, **FAST).volume)


def test_ixi_protocol_goes_from_a_folder_to_the_table(tmp_path) -> None:
    """A tiny folder in the layout of IXI's download: train on HH, rows for HH, Guys and IOP."""
    for number in range(10):
        volume = 500 * phantom(3, 32, 32).transpose(1, 2, 0) * (1 + number / 10)
        write(tmp_path / f"IXI{number:03d}-HH-1{number:03d}-T2.nii.gz", volume)
    for site in ("Guys", "IOP"):
        write(tmp_path / f"IXI10{len(site)}-{site}-0900-T2.nii.gz", volume)
    from mri_d3gm.lab.benchmark import protocol_of, run_benchmark
    from mri_d3gm.tasks.train import train

    overlay = tmp_path / "tiny.json"
    settings = json.loads(shipped("configs", "ixi-sr.json").read_text())
    network = {"options": {"blocks": 1, "features": 8}, "_target_": "mri_d3gm.training.grow.seeded_denoiser", "seed": 0}
    small = {"network_def": network, "train#trainer#steps": 2, "train#simulate#crop": 32}
    overlay.write_text(json.dumps(settings | small))
    train(str(overlay), str(tmp_path), str(tmp_path / "run"), "cpu")
    options = {"weights": str(tmp_path / "run" / "weights.safetensors"), **FAST}
    rows: list[dict] = []
    arguments = (tmp_path, tmp_path / "table", protocol_of(str(overlay)), ["cubic", "d3gm"], options)
    table = run_benchmark("super_resolution", *arguments, on_row=rows.append)
    assert [(row["domain"], row["degrade"], row["method"], row["files"]) for row in table] == [
        (domain, degrade, method, files)
        for domain, degrade, files in (("HH", "truncation", 2), ("Guys", "kernel", 1), ("IOP", "kernel", 1))
        for method in ("cubic", "d3gm")
    ]
    run_benchmark("super_resolution", *arguments, on_row=rows.append)
    assert len(rows) == 8


@pytest.mark.parametrize(("side", "scale"), [(6, 2), (5, 4), (10, 4)])
def test_slices_too_small_to_be_scored_are_one_line(side: int, scale: int) -> None:
    volume = np.random.default_rng(0).random((side, 20, 2))
    superresolve = mri_d3gm.superresolve
    if side - side % scale >= 7:
        assert superresolve(volume, scale=scale, degrade="kernel", method="cubic").record["Metrics"]
        return
    with pytest.raises(InputError, match="cannot be scored; 7 on each side"):
        superresolve(volume, scale=scale, degrade="truncation", device="cpu")


@pytest.mark.parametrize(
    ("sform", "qform", "known"),
    [(0, 0, False), (0, 1, True), (0, 2, False), (1, 0, True), (1, 2, True), (2, 0, False), (2, 1, False), (4, 0, True)],
)
def test_info_and_report_agree_on_whether_the_position_is_known(
    sform: int, qform: int, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of the affine that is used decides: the sform, else the qform."""
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((10, 9, 3), np.float32), np.diag([2.0, 2, 4, 1]))
    image.set_sform(image.affine, sform)
    image.set_qform(image.affine, qform)
    nibabel.save(image, tmp_path / "a.nii")
    said: list[bool] = []
    monkeypatch.setattr("mri_d3gm.tasks.sr.write_report", lambda *_, sides_known, **__: said.append(sides_known))
    settings = SuperResolve(scale=2, method="nearest", report=True)
    superresolve_file(tmp_path / "a.nii", settings, names_of(tmp_path / "a.nii", tmp_path / "out"))
    assert said == [known] and facts_of_file(tmp_path / "a.nii", Reading())["position known"] == known
