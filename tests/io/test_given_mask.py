"""Masks that contradict the samples: those that mark none of them, and those that mark what is zero."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heads import every, head, kspace_of
from io_files import error_of
from scans import header, write_scan

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.io.scan import Scan

ROWS, COLS, SLICES = 48, 40, 3
FULL = kspace_of(np.stack([head(ROWS, COLS, 3, height) for height in (-0.2, 0, 0.2)]), 2)
LINES, CLAIMED = every(COLS, 3, 6), np.arange(COLS) < 34
OFFSETS = np.stack([every(COLS, 3, 6, offset) for offset in range(SLICES)])
POINTS = (np.random.default_rng(0).random((ROWS, COLS)) < 0.4) | (abs(np.arange(COLS) - 20) < 4)


def of_fastmri(folder: Path, kspace: np.ndarray, mask: np.ndarray) -> Scan:
    return open_scan(write_scan(folder / "a.h5", kspace, header(ROWS, COLS), mask=mask))


def of_numpy(folder: Path, kspace: np.ndarray, mask: np.ndarray) -> Scan:
    np.savez(folder / "a.npz", kspace=kspace, mask=mask)
    return open_scan(folder / "a.npz")


def of_array(folder: Path, kspace: np.ndarray, mask: np.ndarray) -> Scan:
    return scan_of_array(kspace, mask)


Way = Callable[[Path, np.ndarray, np.ndarray], Scan]
ways = pytest.mark.parametrize("way", [of_fastmri, of_numpy, of_array])
files = pytest.mark.parametrize("way", [of_fastmri, of_numpy])


def said(scan: Scan) -> list[str]:
    return [text for text in scan.warnings if "mask" in text]


@ways
@pytest.mark.parametrize("mask", [LINES, POINTS], ids=["lines", "points"])
def test_an_inverted_mask_is_one_line(way: Way, mask: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"marks none of the samples that are not zero; is it inverted\?$"):
        way(tmp_path, FULL * mask, ~mask)


@files
def test_inverted_masks_of_each_image_are_one_line(way: Way, tmp_path: Path) -> None:
    assert "is it inverted?" in error_of(way, tmp_path, FULL * OFFSETS[:, None, None], ~OFFSETS)


@ways
def test_empty_images_do_not_contradict_a_mask(way: Way, tmp_path: Path) -> None:
    kspace = FULL * LINES * (np.arange(SLICES) == 2)[:, None, None, None]
    scan = way(tmp_path, kspace, LINES)
    assert np.array_equal(scan.mask, LINES[None]) and not said(scan)


@ways
def test_lines_that_a_mask_marks_and_no_image_measured_are_taken_out(way: Way, tmp_path: Path) -> None:
    scan = way(tmp_path, FULL * LINES, CLAIMED)
    assert np.array_equal(scan.mask, (LINES & CLAIMED)[None]) and scan.masks is None
    out = int((CLAIMED & ~LINES).sum())
    assert said(scan) == [f"of 34 lines that the mask marks {out} are zero in every coil: they count as not measured"]


@files
def test_so_they_are_of_masks_of_each_image(way: Way, tmp_path: Path) -> None:
    scan = way(tmp_path, FULL * OFFSETS[:, None, None], np.stack([CLAIMED] * 2 + [OFFSETS[2]]))
    assert scan.masks is not None and len(said(scan)) == 1
    wanted = [OFFSETS[0] & CLAIMED, OFFSETS[1] & CLAIMED, OFFSETS[2]]
    assert np.array_equal(np.stack([scan.masks(image) for image in range(SLICES)])[:, 0], wanted)


@ways
def test_points_that_a_mask_marks_and_no_image_measured_are_taken_out(way: Way, tmp_path: Path) -> None:
    claimed = np.ones((ROWS, COLS), bool)
    claimed[0, 0] = False
    scan = way(tmp_path, FULL * (POINTS & claimed), claimed)
    assert np.array_equal(scan.mask, POINTS & claimed) and "points that the mask marks" in said(scan)[0]


@files
def test_one_mask_for_images_of_other_lines_gives_way_to_their_zeros(way: Way, tmp_path: Path) -> None:
    scan = way(tmp_path, FULL * OFFSETS[:, None, None], np.arange(COLS) != 0)
    assert scan.masks is not None and np.array_equal(scan.masks(2), OFFSETS[2:]) and "does not fit every" in said(scan)[0]


@ways
@pytest.mark.parametrize(
    ("measured", "mask"),
    [
        (LINES & (abs(np.arange(COLS) - 20) < 16), LINES | (abs(np.arange(COLS) - 20) >= 16)),
        (POINTS & (np.random.default_rng(1).random((ROWS, COLS)) < 0.95), POINTS),
        (np.ones(COLS, bool), LINES),
    ],
    ids=["padding", "rounded points", "more than the mask"],
)
def test_other_masks_stay(way: Way, measured: Any, mask: np.ndarray, tmp_path: Path) -> None:
    scan = way(tmp_path, FULL * measured, mask)
    assert np.array_equal(scan.mask, np.atleast_2d(mask)) and not said(scan)
