"""Empty in, empty out, with nothing said of it, by every way in."""

from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scans import four_coils, phantom, write_scan

import mri_d3gm
from mri_d3gm.settings import TASKS, Recon, SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks import recon, sr
from mri_d3gm.tasks.bundles import open_bundle

FAST = {"steps": 1, "samples": 2}
reconstruct = partial(mri_d3gm.reconstruct, device="cpu", accel=4, **FAST)
superresolve = partial(mri_d3gm.superresolve, device="cpu", scale=2, **FAST)


def kspace(coils: int, empty: int, zero: complex) -> np.ndarray:
    """Three slices, one of them zeros."""
    data = np.concatenate([four_coils(), 1.3 * four_coils()[:1]])[:, :coils].astype(np.complex64)
    data[empty] = zero
    return data


def by_bundle(task: str, path: Path, **options: object):
    """What the bundle's evaluator gathers."""
    root = shipped("pipelines", TASKS[task].bundle)
    workflow = open_bundle(root, "inference.json", "inference", dataset_dir=str(path), **FAST, **options)
    workflow.run()
    return workflow.parser.get_parsed_content("gatherer").result


@pytest.mark.parametrize("zero", [0j, complex(-0.0, -0.0)])
@pytest.mark.parametrize("empty", [0, 1])
@pytest.mark.parametrize("accel", [2, 4])
@pytest.mark.parametrize("coils", [1, 4])
def test_an_empty_slice_of_kspace(coils: int, empty: int, zero: complex, accel: int, tmp_path) -> None:
    data = kspace(coils, empty, zero)
    path = write_scan(tmp_path / "a.h5", data)
    result, rest = reconstruct(path, accel=accel), reconstruct(np.delete(data, empty, 0), accel=accel)
    for array in (result.volume, result.std, result.zero_filled, result.reference):
        assert not array[empty].any() and np.isfinite(array).all() and all(one.any() for one in np.delete(array, empty, 0))
    record = result.record
    assert record["Noise"] == rest.record["Noise"] and record["Trust"]["Mode"] == rest.record["Trust"]["Mode"]
    assert record["CoilMaps"] == rest.record["CoilMaps"] and record["Warnings"] == rest.record["Warnings"]
    assert (record["Slices"], record["EmptySlices"]) == (3, 1)
    assert np.isfinite([record["Metrics"][name]["psnr"] for name in ("fastmri-volume", "slice-max")]).all()
    bundle = by_bundle("recon", path, accel=accel)
    for name in ("volume", "std", "zero_filled", "reference"):
        assert np.array_equal(getattr(bundle, name), getattr(result, name))
    assert {k: v for k, v in bundle.record.items() if k != "Seconds"} == {k: v for k, v in record.items() if k != "Seconds"}


def test_nothing_but_an_empty_slice_is_written(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5", kspace(4, 1, 0))
    names = recon.names_of(path, tmp_path)
    record, _ = recon.reconstruct_file(path, Recon(accel=4, slices="1", device="cpu", **FAST), names)
    assert not np.asarray(nibabel.load(names.result).dataobj).any() and record["EmptySlices"] == 1
    assert not any("noise" in warning for warning in record["Warnings"]) and "Metrics" not in record


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("operator", ["truncation", "unknown"])
def test_an_empty_slice_of_a_volume(operator: str, zero: float, tmp_path) -> None:
    array = 300 * phantom(3, 20, 24).transpose(1, 2, 0).astype(np.float32)
    array[..., 1] = zero
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 5, 1])), path)
    result = superresolve(path, operator=operator)
    rest = superresolve(np.delete(array, 1, 2), np.diag([1, 1, 5, 1]), operator=operator)
    for volume in (result.volume, result.std):
        assert not volume[..., 1].any() and np.isfinite(volume).all() and volume[..., 0].any() and volume[..., 2].any()
    assert result.record["Warnings"] == rest.record["Warnings"]
    bundle = by_bundle("sr", path, scale=2, operator=operator)
    assert np.array_equal(bundle.volume, result.volume) and np.array_equal(bundle.std, result.std)
    names = sr.names_of(path, tmp_path / "out")
    sr.superresolve_file(path, SuperResolve(scale=2, slices="1", device="cpu", **FAST), names)
    assert not np.asarray(nibabel.load(names.result).dataobj).any()
