import csv
import math
from functools import partial

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from scans import phantom, write_scan

from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.errors import InputError
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import load_weights, save_weights
from mri_d3gm.physics import SliceStack, Truncation, Unknown
from mri_d3gm.training.anatomy import augment
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.log import Log
from mri_d3gm.training.muon import Muon, orthogonalise
from mri_d3gm.training.objective import OBJECTIVES, reconstruction_loss, time_weight
from mri_d3gm.training.optimisers import Optimisation, optimisers
from mri_d3gm.training.simulate import simulate
from mri_d3gm.training.simulate_resolution import simulate_resolution
from mri_d3gm.training.simulate_slices import simulate_slices
from mri_d3gm.training.sources import Example, limit_band, load_slices

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
OPTIONS = {"network": "consistent", "options": {"blocks": 1, "features": 8, "embedding": 16}}


def trainer(folder, steps: int = 8, **options) -> Trainer:
    settings = {
        "simulate": partial(simulate, batch=2, rows=16, cols=48, crop=24),
        "precision": "float32",
        "validate_every": 4,
        "spread_after": 0.5,
    }
    denoiser = seeded_denoiser(0, **OPTIONS)
    return Trainer(denoiser, SLICES, SLICES[:1], str(folder), steps=steps, **(settings | options))


def losses(folder) -> list[float]:
    with open(folder / "log.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_resumed_training_repeats_the_losses(tmp_path) -> None:
    trainer(tmp_path / "whole").run()
    part = trainer(tmp_path / "parts")
    part.checkpoint_seconds = 0
    steps = iter(range(5))
    simulated = part._batch
    part._batch = lambda step: simulated(step) if next(steps, None) is not None else (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        part.run()
    assert len(losses(tmp_path / "parts")) == 5
    with open(tmp_path / "parts" / "log.csv", "a") as file:
        file.write("\0\0\0\n")
    trainer(tmp_path / "parts").run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    first, second = (load_weights(tmp_path / name / "weights.safetensors")[0] for name in ("whole", "parts"))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


LOG = "step,loss,lr,gain_db\r\n0,0.5,0.01,\r\n1,0.25,0.01,2\r\n"
SAVED: dict[str, tuple[bytes, int]] = {
    "with a mark": (LOG.encode("utf-8-sig"), 2),
    "with columns of its own": (LOG.replace("\r\n", ",note,,\r\n").encode(), 2),
    "without the header": (LOG.partition("\n")[2].encode(), 0),
    "with semicolons": (LOG.replace(",", ";").encode(), 0),
    "with a row of words": (LOG.encode() + b"mean,0.375\r\n\r\n\xff,1\r\n", 2),
    "cut short": (LOG.encode()[:-10], 2),
}


@pytest.mark.parametrize("kind", SAVED)
def test_a_log_that_a_spreadsheet_saved_is_gone_on_with(kind: str, tmp_path) -> None:
    content, count = SAVED[kind]
    (tmp_path / "log.csv").write_bytes(content)
    log = Log(tmp_path, 2)
    log.write({"step": 2, "loss": torch.tensor(0.125), "lr": 0.01})
    log.close()
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [*map(str, range(2 - count, 2)), "2"][-1 - count :]
    assert list(rows[0]) == ["step", "loss", "lr", "gain_db"] and rows[-1]["loss"] == "0.125"


def test_a_log_is_kept_where_a_run_is_killed_as_it_resumes(tmp_path, monkeypatch) -> None:
    (tmp_path / "log.csv").write_text(LOG, newline="")

    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(csv.DictWriter, "writerows", killed)
    with pytest.raises(SystemExit):
        Log(tmp_path, 2)
    assert (tmp_path / "log.csv").read_bytes() == LOG.encode()


def test_training_beats_zero_filling_on_its_own_data(tmp_path) -> None:
    mild = partial(simulate, batch=2, rows=16, cols=48, accel=4.0)
    run = trainer(tmp_path, steps=120, spread_after=1.0, validate_every=120, simulate=mild)
    run.run()
    assert len(losses(tmp_path)) == 120
    with open(tmp_path / "log.csv", newline="") as file:
        assert float([row["gain_db"] for row in csv.DictReader(file)][-1]) > 0
    _, record = load_weights(tmp_path / "weights.safetensors")
    assert record["steps"] == 120


def test_no_time_left_saves_a_checkpoint_and_stops(tmp_path) -> None:
    trainer(tmp_path, max_minutes=0).run()
    assert (tmp_path / "checkpoint.pt").exists() and losses(tmp_path) == []


def test_a_damaged_checkpoint_is_refused(tmp_path) -> None:
    (tmp_path / "checkpoint.pt").write_text("hello")
    with pytest.raises(InputError, match="not a training checkpoint"):
        trainer(tmp_path).run()


def test_cases_follow_from_the_seed_and_hold_the_measurement() -> None:
    kinds = set()
    for seed in range(12):
        case, again = (simulate(SLICES, seed, batch=2, rows=16, cols=48, crop=24) for _ in range(2))
        assert torch.equal(case.measurement.kspace, again.measurement.kspace) and torch.equal(case.image, again.image)
        torch.testing.assert_close(case.mu, case.measurement.prior_mean(), atol=1e-4, rtol=1e-3)
        assert float(case.mu.abs()[0].flatten().quantile(0.99)) == pytest.approx(1, rel=1e-3)
        assert torch.isfinite(torch.view_as_real(case.image)).all()
        kinds.add((case.measurement.masked_axes, case.measurement.exact))
    assert len(kinds) >= 3


@pytest.mark.parametrize("factor", [2, 4])
def test_low_resolution_cases_follow_from_the_seed_and_hold_the_measurement(factor: int) -> None:
    kinds = set()
    for seed in range(8):
        case, again = (simulate_resolution(SLICES, seed, crop=48, factor=factor) for _ in range(2))
        assert torch.equal(case.mu, again.mu) and torch.equal(case.image, again.image)
        assert case.image.shape == (2, 48, 48) and float(case.mu.imag.abs().max()) < 1e-5
        assert float(case.mu.abs()[0].flatten().quantile(0.99)) == pytest.approx(1, rel=1e-3)
        kinds.add(type(case.measurement))
        torch.testing.assert_close(case.measurement.agree(case.mu), case.mu, atol=1e-4, rtol=1e-3)
    assert kinds == {Truncation, Unknown}


def test_cases_of_slices_follow_from_the_seed_and_hold_the_measurement() -> None:
    shapes = set()
    for seed in range(12):
        case, again = (simulate_slices(SLICES, seed, crop=48) for _ in range(2))
        assert torch.equal(case.mu, again.mu) and torch.equal(case.image, again.image)
        assert isinstance(case.measurement, SliceStack) and case.mu.shape == case.image.shape
        assert float(case.mu.abs()[0].flatten().quantile(0.99)) == pytest.approx(1, rel=1e-3)
        before, after = (case.measurement.residual(image) for image in (case.image, case.measurement.agree(case.image)))
        assert bool((after < 0.1 * before).all()) and float(before.max()) < 0.2
        shapes.add((*case.measurement.data.shape[-2:], case.image.shape[-1]))
    assert len(shapes) > 8


def test_resolution_training_runs_in_the_same_trainer(tmp_path) -> None:
    denoiser = seeded_denoiser(0, network="consistent", options={**OPTIONS["options"], "both_axes": True})
    simulator = partial(simulate_resolution, crop=32)
    Trainer(denoiser, SLICES, SLICES[:1], str(tmp_path), simulator, steps=6, validate_every=3, precision="float32").run()
    assert len(losses(tmp_path)) == 6 and all(math.isfinite(loss) for loss in losses(tmp_path))


def test_single_coil_cases_are_the_clean_image_plus_noise() -> None:
    case = next(c for c in (simulate(SLICES, s, rows=16, cols=48, ghosted=0.0) for s in range(50)) if c.measurement.exact)
    difference = case.measurement.forward(case.image) - case.measurement.kspace
    assert 0 < float(difference.abs().mean()) < 0.2


def test_augmented_bands_have_the_size_and_some_anatomy() -> None:
    generator = torch.Generator().manual_seed(0)
    bands = [augment(SLICES[0].image, 16, 48, generator) for _ in range(20)]
    assert all(band.shape == (16, 48) and torch.isfinite(band).all() for band in bands)
    assert sum(float(band.mean()) > 0.05 for band in bands) > 15


def test_sources_read_nifti_pictures_and_kspace(tmp_path) -> None:
    volume = (1000 * phantom(4, 64, 60)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(volume, 0, 2), np.diag([1, 1, 5, 1])), tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([5, 1, 1, 1])), tmp_path / "b.nii.gz")
    Image.fromarray((phantom(1, 64, 60)[0] * 80).astype(np.uint8)).save(tmp_path / "c.png")
    write_scan(tmp_path / "d.h5")
    found = load_slices(tmp_path, [{"glob": "*.nii.gz", "weight": 2}, {"glob": "c.png", "max_size": 32}, {"glob": "*.h5"}])
    assert [tuple(item.image.shape) for item in found] == [(64, 60)] * 8 + [(32, 32)] + [(48, 40)] * 2
    assert found[0].weight == pytest.approx(1)
    torch.testing.assert_close(found[0].image, found[4].image)
    assert len(load_slices(tmp_path, [{"glob": "*.nii.gz", "exclude": ["a*"]}])) == 4
    with pytest.raises(InputError, match="nothing matches"):
        load_slices(tmp_path, [{"glob": "none*"}])


def test_limit_band_keeps_what_a_smaller_matrix_acquired() -> None:
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    smooth = torch.from_numpy(np.exp(-4 * (x**2 + y**2)))
    assert float((limit_band(smooth, 32) * 0.5 - smooth[::2, ::2]).abs().max()) < 0.05


def test_muon_steps_are_orthogonal_and_optimisers_split_the_parameters() -> None:
    matrix = orthogonalise(torch.randn(8, 30, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(matrix)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3
    muon, adam = optimisers(Denoiser(**OPTIONS), 0.01, 0.0)
    assert isinstance(muon, Muon)
    assert all(p.ndim == 4 and len(p) > 8 for group in muon.param_groups for p in group["params"])
    count = sum(p.numel() for o in (muon, adam) for group in o.param_groups for p in group["params"])
    assert count == sum(p.numel() for p in Denoiser(**OPTIONS).parameters())


def test_a_network_of_narrow_layers_alone_is_trained_without_muon() -> None:
    denoiser = Denoiser("nafnet", {"features": 4, "levels": 1})
    optimisation = Optimisation(denoiser, 0.1, 0.0, 0.9)
    assert [type(solver) for solver in optimisation.solvers] == [torch.optim.AdamW]
    for parameter in denoiser.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimisation.step(49, 10**6)
    assert optimisation.solvers[0].param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("grown_options", [{"deep": True, "foretell": True}, {"blocks": 4}])
def test_initial_weights_grow_into_a_larger_network_that_answers_the_same(tmp_path, grown_options: dict) -> None:
    small = seeded_denoiser(0, options={"blocks": 2, "features": 8, "embedding": 16})
    with torch.no_grad():
        for parameter in small.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    save_weights(tmp_path / "small.safetensors", small, {"steps": 1})
    grown = seeded_denoiser(0, str(tmp_path / "small.safetensors"), options=grown_options)
    assert sum(p.numel() for p in grown.parameters()) > 1.7 * sum(p.numel() for p in small.parameters())
    if "blocks" in grown_options:
        assert torch.equal(grown.net.blocks[3].first.weight, grown.net.blocks[1].first.weight)  # type: ignore[union-attr,index]
    image, t = torch.randn(1, 16, 24, dtype=torch.complex64), torch.ones(1, dtype=torch.float64)
    before, after = (denoiser.estimates(image, t, image, Unknown(image)).images[-1] for denoiser in (small, grown))
    torch.testing.assert_close(after, before, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("options", [{"blocks": 1}, {"features": 4}, {"features": 16}, {"deep": False}])
def test_initial_weights_that_do_not_fit_are_refused_and_no_part_of_them_is_dropped(tmp_path, options: dict) -> None:
    file = str(tmp_path / "first.safetensors")
    whole = {"blocks": 2, "features": 8, "embedding": 16, "deep": True, "foretell": True}
    save_weights(file, seeded_denoiser(0, options=whole), {"steps": 1})
    with pytest.raises(InputError, match="initial weights"):
        seeded_denoiser(0, file, options=options)
    assert seeded_denoiser(0, file, options={}).config["options"] == seeded_denoiser(0, options=whole).config["options"]
    headless = seeded_denoiser(0, file, options={"foretell": False}, sigma_r=0.2)
    assert headless.sigma_r == 0.2 and headless.net.error is None and headless.net.blocks[1].deep is not None


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_time_weights_are_positive_and_x0_is_flat_at_the_start_law(dynamics: str, objective: str) -> None:
    path, t = make_path(dynamics), torch.linspace(0.05, 1, 8, dtype=torch.float64)
    weight = time_weight(path, t, 0.15, objective)
    assert torch.isfinite(weight).all() and (weight[:-1] > 0).all() and weight[-1] >= 0
    if objective == "x0":
        assert float(weight[-1]) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_the_objective_eps_weights_errors_of_x0_as_errors_of_eps(dynamics: str) -> None:
    path, t = make_path(dynamics), torch.tensor([0.4, 0.6, 0.8], dtype=torch.float64)
    x0, estimate, eps = (torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(3))
    found = (path.A(t) * (x0 - estimate) + path.s(t) * eps) / path.s(t)
    wanted = (0.15 * (found - eps).abs()).minimum(8 * (estimate - x0).abs())
    torch.testing.assert_close(time_weight(path, t, 0.15, "eps") * (estimate - x0).abs(), wanted)


def test_loss_is_zero_at_the_target_and_weighs_the_last_block_most() -> None:
    target = torch.randn(2, 6, 6, dtype=torch.complex64)
    one = torch.ones(2, dtype=torch.float64)
    assert float(reconstruction_loss([target], target, one)) == pytest.approx(0, abs=1e-3)
    early, late = (float(reconstruction_loss(pair, target, one)) for pair in ([target + 1, target], [target, target + 1]))
    assert early == pytest.approx(math.sqrt(0.2) * late, rel=1e-2)
    for image in (target, target.real[:, None]):
        for squared in (False, True):
            unit, heavy = (float(reconstruction_loss([image + 0.5], image, w * one, squared=squared)) for w in (1, 4))
            assert heavy / unit == pytest.approx(4 ** ((2 if squared else 1) / (2 if image.is_complex() else 1)), rel=1e-4)
    squared = float(reconstruction_loss([target + 0.5], target, one, squared=True))
    assert not math.isclose(squared, float(reconstruction_loss([target + 0.5], target, one)))
