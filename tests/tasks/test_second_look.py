"""Coil maps that are wrong: withheld lines show it, and maps of low resolution stand in for them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scans import four_coils, write_scan

import mri_d3gm
from mri_d3gm import pipeline
from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import recon
from mri_d3gm.tasks.recon import load

FAST = {"accel": 3, "steps": 1, "samples": 1, "device": "cpu"}


WRONG = np.exp(1j * np.random.default_rng(0).uniform(0, 2 * np.pi, (4, 1, 1))) / 2 * np.ones((1, 72, 64))


def psnr(record: dict, which: str = "Metrics") -> float:
    return record[which]["fastmri-volume"]["psnr"]


def test_wrong_coil_maps_of_the_file_are_replaced_and_it_is_said(tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5", four_coils()[:1])
    scan = replace(open_scan(path), coil_maps=lambda _: WRONG)
    believed, doubted = (recon.reconstruct(scan, Recon(trust=trust, **FAST)).record for trust in ("off", "fast"))
    with pytest.raises(InputError, match="coil maps explain only 13 %"):
        mri_d3gm.reconstruct(path, coil_maps=WRONG, **FAST)
    assert believed["CoilMaps"] == ["given"] and doubted["CoilMaps"] == ["low-resolution in place of given"]
    assert any("contradict coil maps (given)" in warning for warning in doubted["Warnings"])
    assert doubted["Trust"]["SecondLooks"] == 1 and doubted["CentreExplained"][0] > 0.99
    assert psnr(doubted) > psnr(believed) + 1 and psnr(doubted) > psnr(doubted, "MetricsZeroFilled")
    assert doubted["Evaluations"] > believed["Evaluations"] + 1


def test_good_coil_maps_are_kept(tmp_path) -> None:
    record = mri_d3gm.reconstruct(write_scan(tmp_path / "a.h5", four_coils()[:1]), **FAST).record
    assert record["CoilMaps"] == ["recalibrated"] and record["Trust"]["SecondLooks"] == 0


def test_one_of_a_batch_has_a_second_look_of_its_own() -> None:
    settings = Recon(**FAST, trust="fast")
    kspace = torch.from_numpy(four_coils()[[0, 0, 1]])
    mask = torch.from_numpy(pipeline.sampling(scan_of_array(kspace.numpy()), settings)[0])
    maps = pipeline.prepare(kspace, mask).measurement.coil_maps.clone()
    maps[1] = torch.from_numpy(WRONG)
    network = load(settings)

    def solved(which: slice) -> pipeline.Draws:
        measurement = pipeline.prepare(kspace[which], mask, coil_maps=maps[which]).measurement
        return pipeline.solve(measurement, network, settings, range(3)[which])

    every = solved(slice(None))
    assert [look.instead for look in every.second] == ["", "low-resolution", ""]
    assert every.second[1].evaluations > 1
    for index in range(3):
        alone = solved(slice(index, index + 1))
        three, one = every.one(index).images.abs(), alone.images.abs()
        torch.testing.assert_close(three, one, atol=1e-5 * float(one.max()), rtol=0)
        np.testing.assert_allclose(every.one(index).support[0].error(), alone.support[0].error(), rtol=1e-4)
        assert every.one(index).second == alone.second and every.evaluations == alone.evaluations
