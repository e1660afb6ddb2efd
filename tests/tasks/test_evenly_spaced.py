"""Scans of many coils whose lines are evenly spaced, without a centre: nothing that was measured tells copies apart."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from heads import coils, head, kspace_of

import mri_d3gm
from mri_d3gm.io.open_scan import scan_of_array
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct

ROWS, COLS, COILS = 96, 80, 8
TRUTH = head(ROWS, COLS)[None]
KSPACE = kspace_of(TRUTH, COILS, noise=0.01)
GAIN = {2: 18, 3: 5}  # dB over zero-filling, at least
FAST = Recon(device="cpu", quality="fast")


def psnr(image: np.ndarray) -> float:
    return float(10 * np.log10(TRUTH.max() ** 2 / np.square(image - TRUTH).mean()))


def every(step: int, offset: int = 0) -> np.ndarray:
    return np.arange(COLS) % step == offset


def beside(lines: int) -> np.ndarray:
    return np.abs(np.arange(COLS) - COLS // 2) <= lines // 2


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("step", [2, 3])
def test_lines_apart_unfold_them(step: int, offset: int) -> None:
    mask = every(step, offset)
    scan = replace(scan_of_array(KSPACE * mask, mask[None]), calibration=lambda index: KSPACE[index] * beside(24))
    result = reconstruct(scan, FAST)
    assert psnr(result.volume) > psnr(result.zero_filled) + GAIN[step]
    said, one = result.record, result.record["PerSlice"][0]
    assert said["CoilMaps"] == ["espirit"] and said["CentreExplained"][0] > 0.95
    assert one["Light"] is None and one["ErrorBelow"] is None and "poor-maps" not in one["Flags"]
    assert [text for text in said["Warnings"] if "nothing could be withheld" in text]


@pytest.mark.parametrize("step", [2, 3])
def test_given_maps_unfold_them(step: int) -> None:
    given = partial(mri_d3gm.reconstruct, KSPACE * every(step), every(step), coil_maps=coils(COILS, ROWS, COLS))
    result = given(device="cpu", quality="fast")
    assert psnr(result.volume) > psnr(result.zero_filled) + GAIN[step]
    np.testing.assert_array_equal(result.volume, given(device="cpu", quality="fast", trust="off").volume)
    assert result.record["CoilMaps"] == ["given"] and result.record["CentreExplained"] == []
    assert result.record["CoilMapSets"] == 1


def test_a_tested_result_and_a_whole_one_warn_of_no_test() -> None:
    for mask in (every(4) | beside(12), np.ones(COLS, bool)):
        record = mri_d3gm.reconstruct(KSPACE * mask, mask, device="cpu", quality="fast").record
        assert not [text for text in record["Warnings"] if "nothing could be withheld" in text]
