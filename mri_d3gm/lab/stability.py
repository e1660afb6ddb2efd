"""Stability of the dynamics on one slice: discrepancy, sampling trajectories, cocycle property, sensitivity."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mri_d3gm import pipeline
from mri_d3gm.compute import Progress
from mri_d3gm.dynamics import DYNAMICS, make_path
from mri_d3gm.dynamics.cocycle import cocycle_deviation, invariance_deviation, own_clock
from mri_d3gm.dynamics.d3gm import D3GM
from mri_d3gm.dynamics.discrepancy import drawn_discrepancies, kullback_leibler, proposition_2, wasserstein
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.schedules import SCHEDULES
from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import write_text
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.preview import write_grid
from mri_d3gm.io.scan import cropped
from mri_d3gm.io.spikes import mended
from mri_d3gm.lab.charts import write_chart
from mri_d3gm.methods.draws import Agreement, draw_seed
from mri_d3gm.metrics.table import Row, to_csv, to_markdown
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import check_channels, load_weights
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.compression import compressed
from mri_d3gm.physics.normalise import normalised_kspace
from mri_d3gm.runs.model import check_task
from mri_d3gm.runs.names import make_folder, told_apart
from mri_d3gm.runs.record import weights_file
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import noise_source
from mri_d3gm.samplers.solver import Solver
from mri_d3gm.samplers.trajectory import trajectory
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import prepare_slice

QUARTERS = (0.25, 0.5, 0.75, 1.0)
SWEEPS: dict[str, Sequence[Any]] = {
    "a_T": (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001),
    "tau": (1.0, 2.0, 4.0, 8.0),
    "lam": (5 / 255, 10 / 255, 20 / 255, 40 / 255),
}
DRAWS = 16
DELTA = 0.05
KEPT = 1e-6
PERTURBATION = 1e-3


class Probe(NamedTuple):
    """One fully sampled slice, undersampled: images (1, rows, cols) as `recon` normalises, and what was measured."""

    x0: Tensor
    mu: Tensor
    measurement: Cartesian


class Instrument(NamedTuple):
    """A trained network and what of its file's path tells it from the others."""

    name: str
    network: Denoiser


def measure_stability(
    path: str | Path,
    output: Path,
    accel: float = 8.0,
    index: int | None = None,
    *,
    weights: Sequence[str] = (),
    solvers: Sequence[str] = ("posterior", "deterministic"),
    steps: Sequence[int] = (1, 10),
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, list[Row]]:
    """All tables by name, after they and the pictures were written to the folder `output`.

    index: of the slice, the middle one without; weights: files, each for the dynamics that it was trained under, the shipped
    one without; steps: network evaluations of the runs that are perturbed. InputError for what cannot be used.
    """
    unknown = [name for name in solvers if name not in SOLVERS]
    if unknown or not solvers:
        raise InputError(f"--solver {','.join(unknown)}: unknown; one of {', '.join(SOLVERS)}")
    if not steps or min(steps) < 1:
        raise InputError(f"--steps {','.join(map(str, steps))}: each must be at least 1")
    files = list(dict.fromkeys(map(str, weights))) or [weights_file(Recon())]
    instruments = [load(file, name) for file, name in zip(files, told_apart(files), strict=True)]
    probe = open_probe(path, accel, index, seed)
    make_folder(output / "discrepancy.csv")
    total, done = len(DYNAMICS) + len(instruments) * len(solvers) * sum(steps), 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    tables = {"cocycle": cocycle(), "discrepancy": discrepancy(probe, seed, tell)}
    tables["sensitivity"] = sensitivity(probe, instruments, solvers, steps, seed, tell)
    write_tables(tables, output)
    scan = open_scan(path)
    panels = {name: [cropped(image, scan) for image in images] for name, images in trajectories(probe, seed).items()}
    columns = [f"t = {t:g}" for t in (*reversed(QUARTERS), 0.0)]
    title = f"{Path(path).name}  R = {accel:g}  reverse process with x0 known"
    write_grid(output / "trajectories.png", panels, columns, title, scan.voxel_mm[:2])
    return tables


def write_tables(tables: dict[str, list[Row]], output: Path) -> None:
    """Every table as NAME.csv and, a part for each sweep, as NAME.md; KL at T as discrepancy.png."""
    for name, rows in tables.items():
        write_text(output / f"{name}.csv", to_csv(rows))
        sweeps = groupby(rows, lambda row: row.get("against"))
        write_text(output / f"{name}.md", "\n".join(to_markdown(list(sweep)) for _, sweep in sweeps))
    charted = [row for row in tables["discrepancy"] if row["t"] == 1 and row["against"] in ("dynamics", "a_T", "tau")]
    lines = [row | {"method": row[row["against"]]} for row in charted]
    write_chart(lines, output / "discrepancy.png", "KL", ("against",), "log")


def load(file: str, name: str) -> Instrument:
    """The network of a weights file, by a name; InputError where it is not one for reconstruction."""
    check_task(file, Recon())
    network, _ = load_weights(file)
    check_channels(file, network, 2)
    return Instrument(name, network)


def open_probe(path: str | Path, accel: float, index: int | None, seed: int = 0) -> Probe:
    """A slice as `recon` prepares it, with x0 from all of its k-space; InputError where there is none."""
    scan = mended(open_scan(path))
    if scan.mask is not None:
        raise InputError(f"{path}: is undersampled, so x0 is not known; give a fully sampled file")
    chosen = scan.slices // 2 if index is None else index
    if not 0 <= chosen < scan.slices:
        raise InputError(f"{path}: --slice {chosen}: its slices are 0 to {scan.slices - 1}")
    mask, _ = pipeline.sampling(scan, Recon(accel=accel, seed=seed))
    data = scan.read(chosen)
    if not (data * mask).any():
        raise InputError(f"{path}: slice {chosen} is empty; choose another with --slice")
    prepared = prepare_slice(scan, data, mask)
    known: Any = prepared.measurement
    everything = torch.ones(1, *data.shape[-2:], dtype=torch.bool)
    whole = torch.from_numpy(data)
    few = compressed(normalised_kspace(whole * known.mask[0])[0])
    kspace = (whole if few is None else torch.einsum("vc,cyx->vyx", few.matrix, whole)) / float(prepared.scale[0])
    complete = replace(known, kspace=kspace[None], mask=everything, outside=None, second=None)
    return Probe(complete.prior_mean(), known.prior_mean(), known)


def discrepancy(probe: Probe, seed: int = 0, tell: Callable[[], None] = lambda: None) -> list[Row]:
    """W2^2 and KL between the law of x_t and the start law: every dynamics at its defaults over t, also drawn; D3GM against
    schedule and t, a_T, tau, lambda.
    """
    rows = []
    times = torch.tensor(QUARTERS, dtype=torch.float64)
    x0, mu = (image.to(torch.complex128).expand(DRAWS, -1, -1) for image in (probe.x0, probe.mu))
    for name in DYNAMICS:
        path = make_path(name)
        noise = noise_source([draw_seed(seed, 0, draw) for draw in range(DRAWS)], probe.mu.device)
        for drawn in drawn_discrepancies(path, x0, mu, times, noise):
            line = closed_form(probe, "dynamics", name, path, drawn.t)
            for label, values in (("W2^2", drawn.wasserstein), ("KL", drawn.kullback_leibler)):
                if bool(values.isfinite().all()):
                    error = float(values.std()) / math.sqrt(DRAWS)
                    line |= {f"{label} drawn": short(float(values.mean())), f"{label} standard error": short(error, 2)}
            rows.append(line)
        tell()
    for schedule in SCHEDULES:
        rows += [closed_form(probe, "schedule", "d3gm", make_path("d3gm", schedule=schedule), t) for t in QUARTERS]
    for option, sweep in SWEEPS.items():
        rows += [closed_form(probe, option, "d3gm", make_path("d3gm", **{option: value})) for value in sweep]
    return rows


def closed_form(probe: Probe, against: str, name: str, path: Dynamics, t: float = 1.0) -> Row:
    """One row of the table: the path's parameters, both discrepancies at t, and for D3GM at T both prints of Proposition 2.

    There sigma_max = tau lambda, the widest noise of the path, C = d / sigma_max^2, the mean of |score|^2 at T, and delta 0.05.
    """
    time = torch.tensor(t, dtype=torch.float64)
    row: Row = {"against": against, "dynamics": name}
    row |= {key: short(getattr(path, key), 4) for key in ("schedule", "tau", "lam", "a_T") if hasattr(path, key)}
    row |= {"t": t}
    for label, function in (("W2^2", wasserstein), ("KL", kullback_leibler)):
        row[label] = short(float(function(path, probe.x0, probe.mu, time)))
    if name == "d3gm" and isinstance(path, D3GM) and t == path.T:
        sigma_max = path.start()[1]
        C = 2 * probe.x0.numel() / sigma_max**2
        printed = proposition_2(path, probe.x0, probe.mu, sigma_max=sigma_max, C=C, delta=DELTA)
        row |= {f"Proposition 2, {form}": short(float(v), 8) for form, v in zip(("text", "appendix"), printed, strict=True)}
    return row


def trajectories(probe: Probe, seed: int = 0, steps: int = 20) -> dict[str, list[Any]]:
    """Magnitudes (rows, cols) at t = 1, 0.75, 0.5, 0.25, 0 of the posterior sampler with x0 known, by dynamics; one noise for
    all of them.
    """
    found = {}
    for name in DYNAMICS:
        _, states = trajectory(
            make_path(name), lambda x, t: probe.x0, probe.mu, SOLVERS["posterior"], steps, [seed], grid="uniform"
        )
        found[name] = [state[0].abs().numpy() for state in states[:: steps // 4]]
    return found


def cocycle() -> list[Row]:
    """Whether each dynamics, under every schedule that it may have, has the cocycle property of Proposition 1 in t and in its
    own clock, and whether it preserves its start law; with the largest relative deviation. The answer is yes below 1e-6.
    """
    rows = []
    for name, kind in DYNAMICS.items():
        scheduled = any(field.name == "schedule" for field in fields(kind))  # type: ignore[arg-type]
        for schedule in SCHEDULES if scheduled else [""]:
            path = make_path(name, **({"schedule": schedule} if scheduled else {}))
            clock, u = own_clock(path)
            row: Row = {"dynamics": name, "schedule": schedule}
            in_t, in_u = cocycle_deviation(path, lambda t: t), cocycle_deviation(path, u)
            for label, value in (("in t", in_t), ("in u", in_u), ("start law kept", invariance_deviation(path))):
                row |= {label: "yes" if value < KEPT else "no", f"{label}: deviation": short(value, 2)}
            rows.append(row | {"u": clock})
    return rows


def sensitivity(
    probe: Probe,
    instruments: Sequence[Instrument],
    solvers: Sequence[str],
    steps: Sequence[int],
    seed: int = 0,
    tell: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Growth |delta x_t| / |delta mu| of a perturbation of the measured samples, by 0.001 of their norm, along the reverse
    process of each network; and with x0 known, which is the dynamics' own.

    Perturbed and unperturbed run have the same noise. Where B_T = 1 |delta x_T| = |delta mu|; SGM starts without mu. rate: log
    of the growth over T - t.
    """
    pair, rows = perturbed(probe, seed), []
    for name, network in instruments:
        for solver in solvers:
            for count in steps:
                row = {"weights": name, "dynamics": network.config["dynamics"], "solver": solver, "evaluations": count}
                rows += [row | line for line in growth(pair, network, SOLVERS[solver], count, seed, tell)]
    return rows


def growth(
    pair: Probe, network: Denoiser, solver: Solver, steps: int, seed: int = 0, tell: Callable[[], None] = lambda: None
) -> list[Row]:
    """Rows of `sensitivity` for one network, solver and count of evaluations; pair as `perturbed` makes it."""
    path, agree = network.path, Agreement(network, pair.measurement)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        tell()
        return agree.estimate(x, t, pair.mu)

    times, states = trajectory(path, denoise, pair.mu, solver, steps, [seed, seed], on_x0=agree.restore)
    _, alone = trajectory(path, lambda x, t: pair.x0, pair.mu, solver, steps, [seed, seed])
    rows: list[Row] = []
    for step, (t, state, own) in enumerate(zip(times.tolist(), states, alone, strict=True)):
        grown, fixed = (_apart(image) / _apart(pair.mu) for image in (state, own))
        rate = math.log(grown) / (path.T - t) if step > 0 and grown > 0 else None
        row: Row = {"step": step, "t": short(t, 4), "growth": short(grown, 4), "rate": "" if rate is None else short(rate, 3)}
        rows.append(row | {"growth, x0 known": short(fixed, 4)})
    return rows


def perturbed(probe: Probe, seed: int) -> Probe:
    """The probe and, as the second of the batch, the same with white noise of PERTURBATION times their norm on what was
    measured.
    """
    measured, mask = probe.measurement.kspace, probe.measurement.mask
    noise = noise_source([draw_seed(seed, 1, 0)], measured.device)(measured) * mask[:, None]
    other = measured + noise * (PERTURBATION * _norm(measured) / _norm(noise))
    pair = probe.measurement.repeated(2).with_tensors({"kspace": torch.cat([measured, other])})
    return Probe(probe.x0.expand(2, -1, -1), pair.prior_mean(), pair)


def _apart(pair: Tensor) -> float:
    return _norm(pair[1] - pair[0])


def _norm(x: Tensor) -> float:
    return float(x.abs().double().square().sum().sqrt())


def short(value: Any, digits: int = 5) -> Any:
    """A number with as many significant digits; other values as they are."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
