"""Coil maps of a short centre are estimated again from the centre that an estimate completes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scans import fft2c, phantom

from mri_d3gm import pipeline
from mri_d3gm.io.open_scan import scan_of_array
from mri_d3gm.methods import second_look
from mri_d3gm.methods.recalibration import passes_of, recalibrated
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.unknown import Unknown
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import recon

ROWS, COLS, COILS = 96, 80, 12


def head_array(slices: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Complete k-space (slices, coils, rows, cols) of the phantom in a ring of narrow coils, and their maps."""
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLS * 1j]
    angles = 2 * np.pi * np.arange(COILS) / COILS
    maps = np.stack([np.exp(-2 * ((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) + 1j * (a + x * np.cos(a))) for a in angles])
    maps = maps / np.linalg.norm(maps, axis=0)
    noise = np.random.default_rng(0).normal(0, 0.002, (2, slices, COILS, ROWS, COLS))
    images = phantom(slices, ROWS, COLS)[:, None] * maps + noise[0] + 1j * noise[1]
    return torch.from_numpy(fft2c(images).astype(np.complex64)), torch.from_numpy(maps.astype(np.complex64))


def columns(centre: int, every: int = 3) -> torch.Tensor:
    mask = torch.zeros(1, COLS, dtype=torch.bool)
    mask[:, ::every] = True
    mask[:, COLS // 2 - centre // 2 : COLS // 2 + (centre + 1) // 2] = True
    return mask


def unlike(found: torch.Tensor, maps: torch.Tensor, image: torch.Tensor) -> float:
    """Share of an image's energy that maps do not have in common with the true ones."""
    common = (found.conj() * maps).sum(0).abs().square()
    return 1 - float((common * image.abs().square()).sum() / image.abs().square().sum())


def complete_image(kspace: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    return (ifft2c(kspace) * maps.conj()).sum(-3)


@pytest.mark.parametrize("centre", [4, 6, 10])
def test_a_good_estimate_gives_better_maps(centre: int) -> None:
    kspace, maps = head_array()
    prepared = pipeline.prepare(kspace, columns(centre))
    known = prepared.measurement
    truth = complete_image(kspace, maps) / float(prepared.scale[0])
    common = (known.coil_maps.conj() * maps).sum(1)  # an image's phase is relative to that of its maps
    better = known.recalibrated(truth * common / common.abs().clamp_min(1e-6))
    assert known.poorly_calibrated and prepared.map_sources == ["espirit"]
    assert unlike(better.coil_maps[0], maps, truth[0]) < 0.5 * unlike(known.coil_maps[0], maps, truth[0])
    assert torch.equal(better.kspace, known.kspace) and torch.equal(better.mask, known.mask)


def test_only_the_short_ones_of_a_batch_change() -> None:
    kspace, _ = head_array(2)
    known = pipeline.prepare(kspace, columns(6)).measurement
    some = replace(known, short_centre=torch.tensor([False, True]))
    better = some.recalibrated(some.prior_mean())
    assert torch.equal(better.coil_maps[0], known.coil_maps[0]) and not torch.equal(better.coil_maps[1], known.coil_maps[1])
    alone = some[1].recalibrated(some[1].prior_mean())
    torch.testing.assert_close(better.coil_maps[1:], alone.coil_maps, atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["long centre", "given", "calibration", "one coil", "coarse", "picture"])
def test_what_is_calibrated_well_is_left_alone(how: str) -> None:
    kspace, maps = head_array()
    mask = columns({"long centre": 12, "coarse": 2}.get(how, 6))
    options = {"given": {"coil_maps": maps[None]}, "calibration": {"calibration": kspace}}.get(how, {})
    known = pipeline.prepare(kspace[:, :1] if how == "one coil" else kspace, mask, **options).measurement
    if how == "picture":
        known = Unknown(torch.rand(1, 3, 8, 8))
    assert not known.poorly_calibrated and passes_of(known, 4) == 0


def test_the_network_and_its_own_maps_lead_to_a_better_image_and_it_is_said() -> None:
    kspace, _ = head_array()
    scan = replace(scan_of_array(kspace.numpy()), mask=None)
    settings = Recon(accel=4, center_fraction=0.06, device="cpu", threads=1)
    assert recon.reconstruct(scan, settings).record["CoilMaps"] == ["recalibrated"]
    mask = torch.from_numpy(pipeline.sampling(scan, settings)[0])
    prepared, network = pipeline.prepare(kspace, mask), recon.load(settings)
    whole = torch.linalg.vector_norm(ifft2c(kspace), dim=1)[0].numpy()

    def error(measurement: Cartesian) -> tuple[float, int]:
        draws = pipeline.solve(measurement, network, settings)
        return float(np.linalg.norm(pipeline.finish(draws, prepared.scale).images[0] - whole)), draws.evaluations

    own, better = error(replace(prepared.measurement, short_centre=False)), error(prepared.measurement)
    assert better[0] < 0.8 * own[0] and better[1] == own[1] + 2
    once = recalibrated(prepared.measurement, network, 1)
    assert not torch.equal(once.coil_maps, prepared.measurement.coil_maps)


def test_maps_that_an_estimate_spoils_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace, _ = head_array()
    settings = Recon(device="cpu", samples=2)
    known, network = pipeline.prepare(kspace, columns(6, 4)).measurement, recon.load(settings)

    def spoiled(measurement: Cartesian, estimate: torch.Tensor) -> Cartesian:
        return replace(measurement, coil_maps=measurement.coil_maps.roll(COILS // 4, 1))

    monkeypatch.setattr(Cartesian, "recalibrated", spoiled)
    monkeypatch.setattr(second_look, "MISSED", 0.0)
    monkeypatch.setattr(second_look, "CLEARLY", 0.0)
    draws = pipeline.solve(known, network, settings)
    plain = pipeline.solve(replace(known, short_centre=False), network, settings)
    assert [look.instead for look in (*draws.second, *plain.second)] == ["espirit", ""]
    torch.testing.assert_close(draws.images, plain.images)
    assert draws.support[0].error() == plain.support[0].error()
