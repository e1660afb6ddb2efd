"""Scans that are not what they seem come out as those that are."""

from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from heads import coils, every, head, kspace_of
from monai.transforms import Compose
from scans import header, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import open_bundle
from mri_d3gm.transforms import LoadKspaced, NormaliseKspaced, UndersampleKspaced

ROWS, COLS, FRAMES = 96, 80, 5
reconstruct = partial(mri_d3gm.reconstruct, device="cpu", steps=1, samples=1, trust="fast")
LINES = np.stack([every(COLS, 4, 10, frame % 4) for frame in range(FRAMES)])


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / np.square(image - truth).mean()))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_frames_of_other_lines_come_out_as_alone(count: int, own: bool, tmp_path: Path) -> None:
    images = np.stack([head(ROWS, COLS, 3, height) for height in np.linspace(-0.1, 0.1, FRAMES)])
    kspace = kspace_of(images, count) * LINES[:, None, None]
    path = write_scan(tmp_path / "all.h5", kspace, header(ROWS, COLS), **({"mask": LINES} if own else {}))
    together = reconstruct(path)
    accels = [COLS / lines.sum() for lines in LINES]
    assert together.record["Sampling"]["AccelerationAchieved"] == pytest.approx(np.mean(accels), abs=1e-3)
    assert together.record["Sampling"]["CentreLines"] == [1, 10]
    for frame in range(FRAMES):
        alone = reconstruct(write_scan(tmp_path / "one.h5", kspace[frame : frame + 1], header(ROWS, COLS)))
        assert abs(psnr(together.volume[frame], images[frame]) - psnr(alone.volume[0], images[frame])) < 0.3
        assert psnr(together.volume[frame], images[frame]) > psnr(together.zero_filled[frame], images[frame])
    assert not any("ignored" in text for text in reconstruct(path, accel=float(np.mean(accels))).record["Warnings"])
    other = f"it is undersampled already (R = {np.mean(accels):.1f}); --accel 9 is ignored"
    assert other in reconstruct(path, accel=9.0).record["Warnings"]


def test_monai_takes_the_lines_of_each_frame_too(tmp_path: Path) -> None:
    images = np.stack([head(ROWS, COLS, 3)] * FRAMES)
    path = write_scan(tmp_path / "a.h5", kspace_of(images) * LINES[:, None, None], header(ROWS, COLS))
    options = {"dataset_dir": str(path), "steps": 1, "samples": 1, "trust": "fast", "device": "cpu"}
    workflow = open_bundle(shipped("pipelines", "reconstruction"), "inference.json", "inference", **options)
    workflow.run()
    assert np.array_equal(workflow.parser.get_parsed_content("gatherer").result.volume, reconstruct(path).volume)


@pytest.mark.parametrize("accel", [1, 4])
def test_kspace_from_index_0_comes_out_as_from_the_middle(accel: int, tmp_path: Path) -> None:
    kspace = kspace_of(np.stack([head(ROWS, COLS, 3)]), 4) * every(COLS, accel, 10)
    right = reconstruct(write_scan(tmp_path / "right.h5", kspace, header(ROWS, COLS)))
    stored = write_scan(tmp_path / "stored.h5", np.fft.ifftshift(kspace, (-2, -1)), header(ROWS, COLS))
    result = reconstruct(stored)
    assert np.array_equal(result.volume, right.volume) and any("index 0" in text for text in result.record["Warnings"])


@pytest.mark.parametrize("accel", [1, 4])
def test_arrays_in_memory_are_mended_too(accel: int) -> None:
    lines = every(COLS, accel, 10)
    kspace = kspace_of(np.stack([head(ROWS, COLS, 3)]), 4) * lines
    right, mask = reconstruct(kspace, lines), np.fft.ifftshift(lines)
    for known in ({}, {"mask": mask}):
        result = reconstruct(np.fft.ifftshift(kspace, (-2, -1)), **known)
        assert np.array_equal(result.volume, right.volume) and any("index 0" in text for text in result.record["Warnings"])
    steps = [UndersampleKspaced(accel=4), NormaliseKspaced()]
    both = (kspace, lines), (np.fft.ifftshift(kspace, (-2, -1)), mask)
    items = [Compose(steps)({"kspace": one[0], "mask": own}) for one, own in both]
    assert torch.equal(items[0]["kspace"], items[1]["kspace"]) and torch.equal(items[0]["mask"], items[1]["mask"])


def maps_file(path: Path, maps: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["coil_maps"] = maps.astype(np.complex64)
    return path


@pytest.mark.parametrize("slices", [3, 4])
def test_coil_maps_with_slices_and_coils_exchanged_are_one_line(slices: int, tmp_path: Path) -> None:
    kspace = kspace_of(np.stack([head(ROWS, COLS, 3, place) for place in np.linspace(-0.4, 0.4, slices)]), 4)
    path = write_scan(tmp_path / "a.h5", kspace, header(ROWS, COLS))
    maps = np.repeat(coils(4, ROWS, COLS)[None], slices, 0)
    right, wrong = (maps_file(tmp_path / f"{n}.h5", one) for n, one in enumerate((maps, maps.swapaxes(0, 1))))
    assert reconstruct(path, accel=4, coil_maps=right).record["Warnings"] == []
    words = "with slices and coils exchanged they explain" if slices == 4 else "coils before slices"
    with pytest.raises(InputError, match=words) as error:
        reconstruct(path, accel=4, coil_maps=wrong)
    assert str(wrong) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"exchange"):
        reconstruct(path, accel=4, coil_maps=maps.swapaxes(0, 1))


def test_monai_refuses_coil_maps_that_the_scan_contradicts(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", kspace_of(np.stack([head(ROWS, COLS, 3)]), 4), header(ROWS, COLS))
    wrong = maps_file(tmp_path / "maps.h5", coils(4, ROWS, COLS)[::-1])
    options = {"dataset_dir": str(path), "steps": 1, "samples": 1, "accel": 4, "coil_maps": str(wrong), "device": "cpu"}
    workflow = open_bundle(shipped("pipelines", "reconstruction"), "inference.json", "inference", **options)
    with pytest.raises(RuntimeError) as error:
        workflow.run()
    causes = [error.value.__cause__, error.value.__cause__.__cause__]  # type: ignore[union-attr]
    assert any("explain only" in str(cause) and str(wrong) in str(cause) for cause in causes)


def test_an_inverted_mask_of_one_image_is_one_line(tmp_path: Path) -> None:
    kspace = kspace_of(np.stack([head(ROWS, COLS, 3)] * FRAMES)) * LINES[:, None, None]
    masks = np.concatenate([LINES[:-1], ~LINES[-1:]])
    path = write_scan(tmp_path / "a.h5", kspace, header(ROWS, COLS), mask=masks)
    with pytest.raises(InputError, match=r"mask marks none of the samples of image 4 that are not zero; is it inverted\?$"):
        reconstruct(path)
    with pytest.raises(RuntimeError) as error:
        Compose([LoadKspaced(), UndersampleKspaced()])({"path": str(path), "slice": 4})
    assert isinstance(error.value.__cause__, InputError)
