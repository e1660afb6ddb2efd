"""Voxels that are far brighter than all others: found, given their neighbours' median, said; anatomy and labels stay."""

from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from heads import head

import mri_d3gm
from mri_d3gm.io.bright_voxels import MOST, without_bright_voxels
from mri_d3gm.io.image import Image, make_image
from mri_d3gm.metrics import score
from mri_d3gm.transforms.resolution import cached_volume

VOLUME = np.float32(300 * np.stack([head(40, 48, 3, place) for place in (-0.2, 0, 0.2)], -1) + 2)
PEAK, PLACE = float(VOLUME.max()), (20, 30, 1)
superresolve = partial(mri_d3gm.superresolve, scale=2, samples=1, device="cpu", slice_axis=2)


def image(array: np.ndarray) -> Image:
    return make_image("image", array, np.eye(4), ())


def spoiled(times: float, *places: tuple[int, ...], array: np.ndarray = VOLUME) -> np.ndarray:
    array = array.copy()
    for place in places or (PLACE,):
        array[place] = times * PEAK
    return array


@pytest.mark.parametrize("times", [6, 1000, -100])
def test_a_voxel_far_above_all_is_replaced(times: float) -> None:
    found = without_bright_voxels(image(spoiled(times)))
    assert [one.place for one in found.bright] == [PLACE]
    assert found.bright[0].times == pytest.approx(abs(times), rel=1e-5)
    beside = np.delete(VOLUME[19:22, 29:32, 1].ravel(), 4)
    assert found.array[PLACE] == np.median(beside)
    assert np.array_equal(np.delete(found.array.ravel(), np.ravel_multi_index(PLACE, VOLUME.shape)),
                          np.delete(VOLUME.ravel(), np.ravel_multi_index(PLACE, VOLUME.shape)))  # fmt: skip


def test_several_of_different_sizes_at_borders_and_in_frames_are_found() -> None:
    array = spoiled(10, (0, 0, 0), (39, 47, 2))
    array[5, 6, 1] = 400 * PEAK
    assert {one.place for one in without_bright_voxels(image(array)).bright} == {(0, 0, 0), (39, 47, 2), (5, 6, 1)}
    series = np.stack([VOLUME, array, VOLUME], -1)
    assert {one.place[3] for one in without_bright_voxels(image(series)).bright} == {1}


STAYING = {
    "as it is": VOLUME,
    "four times": spoiled(4),
    "of two voxels": spoiled(50, PLACE, (20, 31, 1)),
    "alone in zeros": np.float32(np.arange(VOLUME.size).reshape(VOLUME.shape) == 900),
    "many": spoiled(50, *((2 * n, 2 * n, 0) for n in range(MOST + 1))),
}


@pytest.mark.parametrize("name", STAYING)
def test_others_stay(name: str) -> None:
    source = image(STAYING[name])
    assert without_bright_voxels(source) is source


@pytest.mark.parametrize("times", [10, 1000])
@pytest.mark.parametrize("options", [{}, {"method": "regression"}])
def test_a_slice_is_as_it_would_be_without_and_that_is_said(times: float, options: dict) -> None:
    clean, result = superresolve(VOLUME, **options), superresolve(spoiled(times), **options)
    assert result.record["Operator"]["Chosen"] == clean.record["Operator"]["Chosen"]
    assert result.record["Operator"]["Weight"] == pytest.approx(clean.record["Operator"]["Weight"], abs=0.05)
    slices = [one.volume.transpose(2, 0, 1) for one in (clean, result)]
    assert score(*slices, "fastmri-volume")["psnr"] > 35
    told = [text for text in result.record["Warnings"] if "voxel 20, 30, 1 of slice 1" in text]
    assert (
        len(told) == 1 and f"{times} times" in told[0] and len(result.record["Warnings"]) == len(clean.record["Warnings"]) + 1
    )
    assert [one["Flags"] for one in result.record["PerSlice"]] == [[], ["bright-voxel"], []]


def test_through_the_slices_it_is_said_too() -> None:
    thick = np.diag([1.0, 1, 3, 1])
    result = mri_d3gm.superresolve(
        spoiled(100, (20, 30, 2), array=np.repeat(VOLUME, 2, 2)), thick, isotropic=True, samples=1, device="cpu"
    )
    assert any("voxel 20, 30, 2 of slice 2" in text for text in result.record["Warnings"])
    assert result.volume.max() < 3 * PEAK


@pytest.mark.parametrize("method", ["nearest", "sinc"])
def test_methods_without_a_network_take_voxels_as_they_are(method: str) -> None:
    result = superresolve(spoiled(100), method=method)
    assert result.volume.max() > 90 * PEAK and not any("voxel 20" in text for text in result.record["Warnings"])


def test_rare_labels_stay() -> None:
    labels = np.float32(VOLUME > 100)
    labels[PLACE] = 7
    assert not any("neighbours" in text for text in superresolve(labels).record["Warnings"])


def test_a_bundles_volume_is_without_them_but_for_labels(tmp_path: Path) -> None:
    labels = np.float32(VOLUME > 100)
    labels[PLACE] = 7
    for name, array, found in (("a.nii", spoiled(100), [PLACE]), ("b.nii", labels, [])):
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / name)
        assert [one.place for one in cached_volume(str(tmp_path / name)).bright] == found
