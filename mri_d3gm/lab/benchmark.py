"""Benchmarks: methods over files with a reference, in rows that grow as they are measured and are not repeated."""

import csv
import json
import resource
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.metrics.bootstrap import bootstrap_interval
from mri_d3gm.metrics.table import figure, to_csv, to_markdown
from mri_d3gm.networks.weights import file_hash
from mri_d3gm.tasks import recon, restore, sr
from mri_d3gm.tasks.bundles import default_weights, overlay_keys
from mri_d3gm.training.sources import select_files, target_of

Row = dict[str, Any]
RECON_KEY = ("file", "accel", "axis", "method")
DOMAIN_KEY = ("file", "domain", "accel", "axis", "method")
SR_KEY = ("file", "domain", "degrade", "scale", "method")
RESTORE_KEY = ("file", "domain", "method")


def benchmark_folder(
    data: Path,
    output: Path,
    methods: Sequence[str],
    accels: Iterable[float],
    axes: Sequence[str],
    options: dict[str, Any],
    on_row: Callable[[Row], None],
) -> list[Row]:
    """Reconstruct every .h5 file below `data` by every method at every acceleration along every axis, seed 0."""
    files = sorted(data.glob("**/*.h5")) if data.is_dir() else [data]
    if not files or not files[0].exists():
        raise InputError(f"{data}: no .h5 files for --data")
    jobs = [
        (path, {"file": path.stem, "accel": accel, "axis": axis, "method": method})
        for path in files
        for accel in accels
        for axis in axes
        for method in methods
    ]

    def measure(path: Path, job: Row) -> Row:
        return volume_figures(scored(path, job, options, recon.reconstruct))

    weights = options.get("weights") or default_weights(recon.PIPELINE)
    rows = measure_rows(jobs, measure, output, options, weights, on_row)
    return tables(rows, RECON_KEY[1:], output)


def benchmark_recon(
    data: Path,
    output: Path,
    protocol: str,
    methods: Sequence[str],
    options: dict[str, Any],
    on_row: Callable[[Row], None],
    reconstruct: Callable[..., recon.Reconstruction] = recon.reconstruct,
) -> list[Row]:
    """Reconstruct the fully sampled .h5 files of every domain of an overlay (see configs/fastmri-knee-8x.json), seed 0.

    The overlay's `domains` are entries of `training.sources.select_files` with {domain, accel: 8 if absent, axes: both if
    absent}. reconstruct: what stands for `tasks.recon.reconstruct`. Figures also by the protocol `slice-max`.
    """
    jobs = [
        (path, dict(zip(DOMAIN_KEY, (path.stem, entry["domain"], entry.get("accel", 8), axis, method), strict=True)))
        for entry in domains_of(protocol)
        for path in select_files(data, entry)
        for axis in entry.get("axes", ("phase", "readout"))
        for method in methods
    ]

    def measure(path: Path, job: Row) -> Row:
        record = scored(path, job, options, reconstruct)
        return volume_figures(record) | {f"slice-max {key}": value for key, value in record["Metrics"]["slice-max"].items()}

    weights = options.get("weights") or default_weights(recon.PIPELINE)
    rows = measure_rows(jobs, measure, output, options, weights, on_row)
    return tables(rows, DOMAIN_KEY[1:], output)


def scored(path: Path, job: Row, options: dict[str, Any], reconstruct: Callable[..., recon.Reconstruction]) -> Row:
    """The record of one reconstruction, with `Metrics`; InputError for a file without a reference."""
    record = reconstruct(path, **{name: job[name] for name in RECON_KEY[1:]}, **options).record
    if "Metrics" not in record:
        raise InputError(f"{path}: undersampled, so there is nothing to score against; leave it out of the data")
    return record


def domains_of(protocol: str) -> list[dict[str, Any]]:
    """The entries that an overlay is measured on; InputError where it has none."""
    keys = overlay_keys(protocol)
    if "domains" not in keys:
        raise InputError(f"{protocol}: has no domains to measure on; see configs/ for overlays that have")
    return keys["domains"]


def benchmark_sr(
    data: Path,
    output: Path,
    protocol: str,
    methods: Sequence[str],
    options: dict[str, Any],
    on_row: Callable[[Row], None],
) -> list[Row]:
    """Super-resolve the volumes of every domain of an overlay (see configs/ixi-sr.json) after degrading them, seed 0.

    The overlay's `domains` are entries of `training.sources.select_files` with {domain, degrade: truncation or kernel,
    operator?: what the method may assume, central?: slices around the middle}.
    """
    jobs, entries = [], {}
    for entry in domains_of(protocol):
        for path in select_files(data, entry):
            same = {"file": path.name, "domain": entry["domain"], "degrade": entry["degrade"], "scale": 4}
            entries[path, entry["degrade"]] = entry
            jobs += [(path, same | {"method": method}) for method in methods]

    def measure(path: Path, job: Row) -> Row:
        entry = entries[path, job["degrade"]]
        operator = entry.get("operator", "truncation" if job["degrade"] == "truncation" else "unknown")
        chosen = {name: job[name] for name in ("degrade", "scale", "method")} | {"operator": operator}
        slices = sr.central_slices(str(path), entry.get("central"))
        return volume_figures(sr.superresolve(path, slices=slices, **chosen, **options).record)

    weights = options.get("weights") or default_weights(sr.PIPELINE)
    rows = measure_rows(jobs, measure, output, options, weights, on_row)
    return tables(rows, SR_KEY[1:], output)


def benchmark_restoration(
    data: Path,
    output: Path,
    protocol: str,
    methods: Sequence[str],
    options: dict[str, Any],
    on_row: Callable[[Row], None],
) -> list[Row]:
    """Restore the photographs of every domain of an overlay (see configs/rain100h.json), seed 0.

    The overlay's `task` is derain or dehaze, its `domains` are entries of `training.sources.select_files` with {domain, and
    either target: [regular expression, replacement] on the path for real pairs, or degrade}.
    """
    task: str | None = overlay_keys(protocol).get("task")
    if task not in restore.TASKS:
        raise InputError(f"{protocol}: has no task, one of {', '.join(restore.TASKS)}, so it names no restoration benchmark")
    jobs = []
    given: dict[tuple[Path, str], dict[str, Any]] = {}
    for entry in domains_of(protocol):
        for index, path in enumerate(select_files(data, entry)):
            target = str(target_of(path, entry)) if "target" in entry else None
            given[path, entry["domain"]] = {"target": target, "degrade": entry.get("degrade"), "index": index}
            jobs += [(path, {"file": path.name, "domain": entry["domain"], "method": method}) for method in methods]
    chosen = options | {"task": task}

    def measure(path: Path, job: Row) -> Row:
        record = restore.restore(path, method=job["method"], **given[path, job["domain"]], **chosen).record
        figures = {f"{name} {key}": value for name, metric in record["Metrics"].items() for key, value in metric.items()}
        return figures | {"evaluations": record["Evaluations"] * record["Draws"], "seconds": record["Seconds"]}

    weights = restore.weights_of(restore.DEFAULTS | chosen)
    rows = measure_rows(jobs, measure, output, chosen, weights, on_row)
    return tables(rows, RESTORE_KEY[1:], output)


MEASURES: dict[str, Callable[..., list[Row]]] = {
    "reconstruction": benchmark_recon,
    "super_resolution": benchmark_sr,
    "restoration": benchmark_restoration,
}


def network_size(protocol: str, weights: str | None) -> tuple[int, int]:
    """Parameters of a restoration protocol's network, and floating-point operations of one evaluation of 256 x 256."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mri_d3gm.networks.weights import load_network

    network = load_network(restore.weights_of(restore.DEFAULTS | {"task": overlay_keys(protocol)["task"], "weights": weights}))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 256, 256))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops()


def volume_figures(record: Row) -> Row:
    """Figures of one MRI run: `fastmri-volume`, `body`, `haarpsi`, evaluations, seconds a slice, the process's peak memory."""
    volume = record["Metrics"]["fastmri-volume"]
    return {
        "psnr": volume["psnr"],
        "ssim": volume["ssim"],
        "ssim_body": record["Metrics"]["body"]["ssim_body"],
        "haarpsi": record["Metrics"]["haarpsi"]["haarpsi"],
        "nmse": volume["nmse"],
        "psnr_worst": volume["psnr_worst"],
        "evaluations": record["Evaluations"] * record["Draws"],
        "seconds": record["Seconds"] / record["Slices"],
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_rows(
    jobs: Sequence[tuple[Path, Row]],
    measure: Callable[[Path, Row], Row],
    output: Path,
    options: dict[str, Any],
    weights: str | Path,
    on_row: Callable[[Row], None],
) -> list[Row]:
    """A row for each job: what identifies it and the figures that `measure` returns; rows.csv keeps those done.

    Rows of other options or other weights stay in rows.csv and are not used.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows_file = output / "rows.csv"
    key = json.dumps(options | {"weights": file_hash(weights)}, sort_keys=True)
    rows: list[Row] = []
    if rows_file.exists():
        with open(rows_file, newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["options"] == key]
    names = list(jobs[0][1]) if jobs else []
    done = {tuple(row[name] for name in names) for row in rows}
    fresh = not rows_file.exists() or rows_file.stat().st_size == 0
    with open(rows_file, "a", newline="") as file:
        for path, job in jobs:
            if tuple(str(job[name]) for name in names) in done:
                continue
            row = job | measure(path, job)
            writer = csv.DictWriter(file, [*row, "options"])
            if fresh:
                writer.writeheader()
                fresh = False
            writer.writerow(row | {"options": key})
            file.flush()
            rows.append(row)
            on_row(row)
    return rows


def tables(rows: list[Row], by: tuple[str, ...], output: Path) -> list[Row]:
    """Summary of the rows, also as table.md, table.csv and table.png in `output`."""
    summary = summarise(rows, by)
    (output / "table.md").write_text(to_markdown(summary))
    (output / "table.csv").write_text(to_csv(summary))
    figure(summary, output / "table.png", next(name for name in summary[0] if "psnr" in name), by[:-1])
    return summary


def summarise(rows: list[Row], by: tuple[str, ...]) -> list[Row]:
    """Means over files for each group, settings in the order of appearance; a 95 % bootstrap interval of the first PSNR.

    Of psnr_worst the lowest is kept, of rss_mb the highest.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[name]) for name in by), []).append(row)
    settings = list(dict.fromkeys(group[:-1] for group in groups))
    summary = []
    for group in sorted(groups, key=lambda group: settings.index(group[:-1])):
        members = groups[group]
        columns = {name: [float(row[name]) for row in members] for name in members[0] if name not in ("file", "options", *by)}
        line: Row = dict(zip(by, group, strict=True)) | {"files": len(members)}
        for name, values in columns.items():
            pooled = {"psnr_worst": min, "rss_mb": max}.get(name, lambda numbers: sum(numbers) / len(numbers))(values)
            line[name] = round(pooled, 4 if "ssim" in name or name in ("nmse", "haarpsi") else 2)
            if "psnr" in name and not any(key.endswith("_95") for key in line):
                low, high = bootstrap_interval(values)
                line[f"{name}_95"] = f"{low:.2f} to {high:.2f}"
        summary.append(line)
    return summary


def run_bundle(data: str, output: str, method: str, accels: list[float], axes: list[str]) -> list[Row]:
    """The benchmark of one method beside zero-filling, as the reconstruction bundle's evaluate.json calls it."""
    return benchmark_folder(Path(data), Path(output), ["zero-filled", method], accels, axes, {}, lambda row: None)


def run_sr_bundle(data: str, output: str, method: str, protocol: str) -> list[Row]:
    """The benchmark of one method beside interpolation, as the super-resolution bundle's evaluate.json calls it."""
    return benchmark_sr(Path(data), Path(output), protocol, ["cubic", "sinc", method], {}, lambda row: None)


def run_restoration_bundle(data: str, output: str, method: str, protocol: str) -> list[Row]:
    """The benchmark of one method beside the degraded pictures, as the restoration bundle's evaluate.json calls it."""
    return benchmark_restoration(Path(data), Path(output), protocol, ["identity", method], {}, lambda row: None)
