"""A spike of k-space is said whatever the method and the file, and disturbs neither image nor noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_files import Protocol, shots_of, write_ismrmrd_shots
from scans import four_coils, write_scan

import mri_d3gm
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.lab.stability import open_probe
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import reconstruct

SPIKE = (1, 2, 12, 50)  # slice, coil, row, column


def with_spike(times: float) -> np.ndarray:
    kspace = four_coils()
    kspace[SPIKE] = times * np.median(np.abs(kspace))
    return kspace


@pytest.mark.parametrize("method", ["zero-filled", "sense"])
@pytest.mark.parametrize("kind", ["h5", "npy", "raw", "array"])
def test_it_is_said_and_changes_nothing(method: str, kind: str, tmp_path: Path) -> None:
    found = []
    for times in (1, 3000):
        kspace = with_spike(times)
        path = tmp_path / f"{times}.{kind}"
        if kind == "h5":
            write_scan(path, kspace)
        elif kind == "raw":
            made = Protocol(matrix=(*kspace.shape[2:], 1), slices=(0.0, 5.0))
            write_ismrmrd_shots(path, shots_of(kspace[None, ..., None], made), made)
        elif kind == "npy":
            np.save(path, kspace)
        found.append(mri_d3gm.reconstruct(kspace if kind == "array" else path, method=method, accel=2, device="cpu"))
    clean, made = found
    said = [text for text in made.record["Warnings"] if "spike" in text]
    assert len(said) == 1 and "slice 1, coil 3, row 12, column 50" in said[0] and "set to zero" in said[0]
    assert not any("spike" in text for text in clean.record["Warnings"])
    assert ["spikes" in one["Flags"] for one in made.record["PerSlice"]] == [False, True]
    assert np.linalg.norm(made.volume - clean.volume) < 0.01 * np.linalg.norm(clean.volume)
    np.testing.assert_allclose(made.reference, clean.reference, atol=0.02 * clean.reference.max())
    assert made.record["Noise"]["Sigma"] == pytest.approx(clean.record["Noise"]["Sigma"], rel=0.1)


def test_lines_for_the_coil_maps_are_mended_and_said_too(tmp_path: Path) -> None:
    scan = open_scan(write_scan(tmp_path / "a.h5", four_coils()))
    centre = abs(np.arange(scan.cols) - scan.cols // 2) < 12
    found = []
    for times in (1, 3000):
        lines = four_coils() * centre
        lines[1, 2, 12, 28] = times * np.median(np.abs(lines[lines != 0]))
        apart = replace(scan, calibration=lines.__getitem__)
        found.append(reconstruct(apart, Recon(method="sense", accel=2, device="cpu")))
    clean, made = found
    assert [sum("spike" in text for text in one.record["Warnings"]) for one in found] == [0, 1]
    assert np.linalg.norm(made.volume - clean.volume) < 0.01 * np.linalg.norm(clean.volume)


def test_the_laboratory_reads_what_recon_reads(tmp_path: Path) -> None:
    clean, made = (open_probe(write_scan(tmp_path / f"{times}.h5", with_spike(times)), 2.0, 1) for times in (1, 3000))
    for one, other in ((made.x0, clean.x0), (made.mu, clean.mu)):
        assert float((one - other).norm()) < 0.02 * float(other.norm())
