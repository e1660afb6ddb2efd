"""A k-space column is measured, missing, or outside of what was encoded, wherever the mask is from."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import four_coils, header, write_scan

import mri_d3gm
from mri_d3gm import pipeline
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.physics.measurement import MEASURED, OUTSIDE, Measurement
from mri_d3gm.settings import Recon

FIRST, END, COLS, ROWS = 8, 56, 64, 72
FAST = {"steps": 1, "samples": 1, "trust": "full"}
reconstruct = partial(mri_d3gm.reconstruct, device="cpu")
INSIDE = (np.arange(COLS) >= FIRST) & (np.arange(COLS) < END)


def limited(path: Path, coils: int, lines: np.ndarray | bool = True, **datasets: np.ndarray) -> Path:
    """A file whose header says that columns 8 to 55 were encoded, with some of its lines."""
    kspace = four_coils(ROWS, COLS)[:, :coils] * INSIDE * lines
    xml = header(ROWS, COLS, last=END - FIRST - 1, centre=COLS // 2 - FIRST)
    return write_scan(path, kspace if coils > 1 else kspace[:, 0], xml, **datasets)


def measured(path: Path, settings: Recon) -> Measurement:
    """What the first slice measures."""
    scan = open_scan(path)
    assert scan.limits == (FIRST, END)
    mask, outside = (torch.from_numpy(array) for array in (pipeline.sampling(scan, settings)[0], scan.outside()))
    return pipeline.prepare(torch.from_numpy(scan.read(0))[None], mask, outside=outside).measurement


@pytest.mark.parametrize("coils", [1, 4])
def test_a_drawn_mask_and_the_same_in_a_file_are_one(coils: int, tmp_path) -> None:
    settings = Recon(accel=4)
    full = limited(tmp_path / "full.h5", coils)
    drawn = pipeline.sampling(open_scan(full), settings)[0][0]
    accel = (END - FIRST) / (drawn & INSIDE).sum()
    assert accel == pytest.approx(4, rel=0.15)
    results = [reconstruct(full, accel=4, **FAST)]
    fractions = [measured(full, settings).sampled_fraction()]
    for name, own in {"inside": {"mask": drawn & INSIDE}, "padded": {"mask": drawn | ~INSIDE}, "lines": {}}.items():
        path = limited(tmp_path / f"{name}.h5", coils, drawn, **own)
        results.append(reconstruct(path, **FAST))
        fractions.append(measured(path, Recon()).sampled_fraction())
    for result, fraction in zip(results, fractions, strict=True):
        assert result.record["Sampling"]["AccelerationAchieved"] == pytest.approx(accel, abs=1e-3)
        assert float(fraction) == pytest.approx(1 / accel)
        assert result.record["Trust"] == results[0].record["Trust"]
        assert result.record["Noise"] == results[0].record["Noise"]
        assert np.array_equal(result.volume, results[0].volume) and np.array_equal(result.std, results[0].std)


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("options", [{}, {"axis": "readout"}, {"mask_kind": "gaussian-2d"}])
def test_nothing_outside_is_measured_or_withheld(coils: int, options: dict[str, str], tmp_path) -> None:
    path = limited(tmp_path / "a.h5", coils)
    measurement = measured(path, Recon(accel=4, **options))
    everything = torch.zeros(ROWS, COLS, dtype=torch.bool)
    for fold in range(4):
        kept, withheld = measurement.withhold(fold)
        for part in (kept, withheld):
            state = part.sampled().expand(1, ROWS, COLS)[0]
            assert (state[:, ~INSIDE] == OUTSIDE).all() and not (state[:, INSIDE] == OUTSIDE).any()
        everything |= withheld.sampled().expand(1, ROWS, COLS)[0] == MEASURED
    assert not everything[:, ~INSIDE].any() and everything[:, INSIDE].any()
    record = reconstruct(path, accel=4, **options, **FAST, slices="0").record
    assert record["Trust"]["WithheldSamples"] == coils * int(everything.sum())
    fraction = float(measurement.sampled_fraction())
    assert record["Sampling"]["AccelerationAchieved"] == pytest.approx(1 / fraction, rel=1e-3)


def test_limits_that_contradict_the_data_are_dropped_with_and_without_a_mask(tmp_path) -> None:
    lines = np.arange(COLS) % 2 == 0
    kspace = four_coils(ROWS, COLS) * lines
    xml = header(ROWS, COLS, last=END - FIRST - 1, centre=COLS // 2 - FIRST)
    for name, own in {"mask": {"mask": lines}, "lines": {}}.items():
        scan = open_scan(write_scan(tmp_path / f"{name}.h5", kspace, xml, **own))
        assert scan.limits is None and scan.mask is not None and int(scan.mask.sum()) == int(lines.sum())


def test_options_that_a_mask_of_the_scan_makes_idle_are_said() -> None:
    lines = (np.arange(COLS) % 3 == 0) | (abs(np.arange(COLS) - COLS // 2) < 6)
    kspace = four_coils(ROWS, COLS) * lines
    said = reconstruct(kspace, lines, method="zero-filled", mask_kind="gaussian", center_fraction=0.2).record["Warnings"]
    assert any("--mask, --center-fraction ignored" in warning for warning in said)
    assert not any("ignored" in warning for warning in reconstruct(kspace, lines, method="zero-filled").record["Warnings"])
