import csv

import numpy as np
import pytest
import torch
from PIL import Image
from scans import fft2c, phantom, write_scan
from tasks.test_wrapped import scan_of

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.lab.charts import missing
from mri_d3gm.lab.hallucinations import peers_of
from mri_d3gm.lab.stability import PERTURBATION, discrepancy, growth, measure_stability, open_probe, perturbed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.physics import Cartesian
from mri_d3gm.runs.names import told_apart
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.grids import GRIDS
from mri_d3gm.settings import Recon
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.recon import reconstruct

SMALL = {"blocks": 1, "features": 8}


def network(dynamics: str = "d3gm") -> Denoiser:
    """A denoiser that was not trained but is not trivial either."""
    torch.manual_seed(0)
    denoiser = Denoiser(options=SMALL, dynamics=dynamics).eval().requires_grad_(False)
    for parameter in denoiser.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    return denoiser


def test_weights_of_one_name_are_told_apart(tmp_path) -> None:
    files = [tmp_path / folder / "w.safetensors" for folder in ("a/ou-0", "b/ou-1")]
    for file in files:
        file.parent.mkdir(parents=True)
        save_weights(file, network(), {"steps": 1})
    path = write_scan(tmp_path / "a.h5", four_coils())
    asked = {"accel": 4.0, "solvers": ["posterior"], "steps": [1], "weights": [*files, files[0]]}
    rows = measure_stability(path, tmp_path / "out", **asked)["sensitivity"]
    assert [row["weights"] for row in rows if row["step"] == 0] == ["ou-0/w.safetensors", "ou-1/w.safetensors"]
    names = {("a/w", "b/w"): ["a/w", "b/w"], ("a/v", "b/w"): ["v", "w"], ("w", "a/w", "b/a/w"): ["w", "a/w", "b/a/w"]}
    assert all(told_apart(paths) == ends for paths, ends in names.items())
    assert [peer.name for peer in peers_of(files)] == ["ou-0/w", "ou-1/w"]
    assert [peer.name for peer in peers_of(files[:1] * 2)] == ["consistent"]


def four_coils(rows: int = 48, cols: int = 48) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    maps = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2)) for a, b in ((-1, 0), (1, 0), (0, -1), (0, 1))])
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 1, 4, rows, cols))
    return fft2c(phantom(1, rows, cols)[:, None] * maps + noise[0] + 1j * noise[1])


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    return open_probe(write_scan(tmp_path_factory.mktemp("scan") / "a.h5"), 4.0, 0)


def test_every_table_and_picture_is_written(tmp_path) -> None:
    files = []
    for dynamics in ("ou", "sgm-vp"):
        files.append(str(tmp_path / f"{dynamics}.safetensors"))
        save_weights(files[-1], network(dynamics), {"steps": 1})
    told, out = [], tmp_path / "out"
    path = write_scan(tmp_path / "a.h5")
    tables = measure_stability(
        *(path, out, 4.0, 1),
        weights=files,
        solvers=["posterior"],
        steps=[1, 3],
        progress=lambda done, total: told.append((done, total)),
    )
    names = {f"{table}.{ending}" for table in ("cocycle", "discrepancy", "sensitivity") for ending in ("csv", "md")}
    drawn = {"trajectories.png"} if missing() else {"discrepancy.png", "trajectories.png"}
    assert {file.name for file in out.iterdir()} == names | drawn
    for name, rows in tables.items():
        assert len(list(csv.DictReader((out / f"{name}.csv").open()))) == len(rows) > 0
    assert told[-1][0] == told[-1][1] == len(told)
    blocks = {(row["dynamics"], row["evaluations"]) for row in tables["sensitivity"]}
    assert blocks == {("ou", 1), ("ou", 3), ("sgm-vp", 1), ("sgm-vp", 3)}
    assert Image.open(out / "trajectories.png").width > 5 * 150


def test_the_images_are_those_of_a_reconstruction(probe, tmp_path) -> None:
    settings = Recon(accel=4, method="zero-filled", slices="0")
    result = reconstruct(open_scan(write_scan(tmp_path / "a.h5")), settings)
    zero_filled, level = result.zero_filled[0], float(probe.mu.abs().max())
    np.testing.assert_allclose(probe.mu[0].abs() / level, zero_filled / zero_filled.max(), atol=1e-4)
    np.testing.assert_allclose(np.percentile(probe.mu[0].abs(), 99), 1, rtol=1e-3)
    assert float((probe.x0 - probe.mu).abs().max()) > 0.1


def test_discrepancies_drawn_agree_with_the_closed_forms(probe) -> None:
    rows = discrepancy(probe)
    assert [row["dynamics"] for row in rows if row["against"] == "dynamics" and row["t"] == 1] == list(DYNAMICS)
    for row in rows:
        for label in ("W2^2", "KL"):
            if f"{label} drawn" in row:
                slack = 5 * row[f"{label} standard error"] + 1e-4 * row[label]
                assert abs(row[f"{label} drawn"] - row[label]) <= slack
    assert all(np.isfinite(row["W2^2"]) and row["KL"] >= 0 for row in rows)


def test_discrepancy_falls_with_a_T_and_its_kl_with_tau(probe) -> None:
    rows = discrepancy(probe)
    for against, rising in (("a_T", False), ("tau", True), ("lam", True)):
        swept = [(row[against], row["KL"]) for row in rows if row["against"] == against]
        assert [kl for _, kl in sorted(swept, reverse=rising)] == sorted(kl for _, kl in swept)
    at_the_end = {row["W2^2"] for row in rows if row["against"] == "schedule" and row["t"] == 1}
    assert len(at_the_end) == 1, "schedules differ before T alone"


@pytest.mark.parametrize("solver", ["posterior", "deterministic"])
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_a_perturbation_grows_from_where_the_dynamics_starts(probe, dynamics: str, solver: str) -> None:
    pair, denoiser = perturbed(probe, 0), network(dynamics)
    rows = growth(pair, denoiser, SOLVERS[solver], 4)
    mean, path = denoiser.path.start()[0], denoiser.path
    assert [row["step"] for row in rows] == list(range(5)) and rows[-1]["t"] == 0
    assert rows[0]["growth"] == pytest.approx(mean, abs=1e-3) and rows[-1]["growth"] >= 0.999
    assert rows[-1]["growth, x0 known"] == 0
    if solver == "deterministic":
        t = GRIDS["log-odds"](path, 4)[:-1]
        gain = path.s(t) / path.s(path.end) if path.start()[1] > 0 else torch.zeros_like(t)
        own = path.B(t) + gain * (mean - path.B(path.end))
        np.testing.assert_allclose([row["growth, x0 known"] for row in rows[:-1]], own.abs(), atol=2e-3)


def test_the_perturbation_is_on_measured_samples_and_of_its_size(probe) -> None:
    pair = perturbed(probe, 0)
    first, second = pair.measurement.kspace
    change = second - first
    assert float(change.norm() / first.norm()) == pytest.approx(PERTURBATION, rel=1e-3)
    assert not bool(change[..., ~pair.measurement.mask[0, 0]].any())
    assert float((pair.mu[1] - pair.mu[0]).norm()) == pytest.approx(float(change.norm()), rel=1e-3)


def test_many_coils_go_in(tmp_path) -> None:
    probe = open_probe(write_scan(tmp_path / "coils.h5", four_coils()), 4.0, None)
    assert probe.measurement.coil_maps is not None and float((probe.x0 - probe.mu).norm()) > 0
    rows = growth(perturbed(probe, 0), network(), SOLVERS["posterior"], 2)
    assert all(np.isfinite(row["growth"]) for row in rows) and rows[0]["growth"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("coils", [1, 4, 17, 20])
def test_x0_is_that_of_the_whole_scan_however_many_coils_there_are(coils: int, tmp_path) -> None:
    mixing = np.random.default_rng(2).normal(size=(coils, 4, 2)) @ [1, 1j]
    kspace = np.einsum("cv,svyx->scyx", mixing, four_coils()).astype(np.complex64)
    path = write_scan(tmp_path / "coils.h5", kspace)
    part, whole = (open_probe(path, accel, None) for accel in (3.0, 1.0))
    assert part.measurement.kspace.shape[1] == min(coils, 16)
    wanted = whole.x0.abs() * (part.x0.abs() * whole.x0.abs()).sum() / whole.x0.abs().square().sum()
    error, before = (float((image.abs() - wanted).norm() / wanted.norm()) for image in (part.x0, part.mu))
    assert error < 0.05 and error < 0.2 * before


def test_x0_is_the_first_of_two_images_that_the_whole_scan_shows(tmp_path) -> None:
    path = scan_of(tmp_path, 64, "phase")
    probe = open_probe(path, 1.5, None)
    known, data = probe.measurement, torch.from_numpy(open_scan(path).read(0))[None]
    assert known.second_maps is not None
    place = int(known.kspace.abs().argmax())
    data = data * (known.kspace.flatten()[place] / data.flatten()[place])
    everything = torch.ones(1, 1, data.shape[-1], dtype=torch.bool)
    whole = Cartesian(data, everything, known.coil_maps, sigma=known.sigma, second_maps=known.second_maps)
    torch.testing.assert_close(probe.x0, whole.prior_mean(), atol=1e-4, rtol=1e-4)


def test_what_cannot_be_used_is_refused(tmp_path) -> None:
    good, out = write_scan(tmp_path / "a.h5"), tmp_path / "out"
    undersampled = fft2c(phantom()) * (np.arange(40) % 2 == 0)
    cases = [
        (dict(path=write_scan(tmp_path / "b.h5", undersampled)), "undersampled"),
        (dict(path=good, index=2), "0 to 1"),
        (dict(path=good, index=-1), "0 to 1"),
        (dict(path=good, solvers=["magic"]), "unknown; one of posterior"),
        (dict(path=good, steps=[0]), "at least 1"),
        (dict(path=good, weights=[str(shipped("pipelines", "restoration", "models", "derain.safetensors"))]), "another task"),
        (dict(path=good, weights=[str(tmp_path / "none")]), "no weights there"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            measure_stability(output=out, **({"accel": 4.0} | arguments))
    assert not out.exists()
