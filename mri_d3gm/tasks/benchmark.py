"""Benchmarks: methods over files with a reference, in rows that grow as they are measured and are not repeated."""

import csv
import json
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.metrics.bootstrap import bootstrap_interval
from mri_d3gm.metrics.table import figure, to_csv, to_markdown
from mri_d3gm.networks.weights import file_hash
from mri_d3gm.tasks import recon, sr
from mri_d3gm.tasks.bundles import default_weights, overlay_keys
from mri_d3gm.training.sources import select_files

Row = dict[str, Any]
RECON_KEY = ("file", "accel", "axis", "method")
SR_KEY = ("file", "domain", "degrade", "scale", "method")
MEASURED = ("psnr", "ssim", "ssim_body", "nmse", "psnr_worst", "evaluations", "seconds", "rss_mb")


def run(
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
        result = recon.reconstruct(path, **{name: job[name] for name in RECON_KEY[1:]}, **options)
        if result.reference is None:
            raise InputError(f"{path}: undersampled, so there is nothing to score against; leave it out of --data")
        return result.record

    weights = options.get("weights") or default_weights(recon.PIPELINE)
    rows = measure_rows(jobs, measure, output, options, weights, on_row)
    return tables(rows, RECON_KEY[1:], output)


def run_sr(
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
    keys = overlay_keys(protocol)
    if "domains" not in keys:
        raise InputError(f"{protocol}: has no domains, so it names no super-resolution benchmark")
    jobs, entries = [], {}
    for entry in keys["domains"]:
        for path in select_files(data, entry):
            same = {"file": path.name, "domain": entry["domain"], "degrade": entry["degrade"], "scale": 4}
            entries[path, entry["degrade"]] = entry
            jobs += [(path, same | {"method": method}) for method in methods]

    def measure(path: Path, job: Row) -> Row:
        entry = entries[path, job["degrade"]]
        operator = entry.get("operator", "truncation" if job["degrade"] == "truncation" else "unknown")
        chosen = {name: job[name] for name in ("degrade", "scale", "method")} | {"operator": operator}
        slices = sr.central_slices(str(path), entry.get("central"))
        return sr.superresolve(path, slices=slices, **chosen, **options).record

    weights = options.get("weights") or default_weights(sr.PIPELINE)
    rows = measure_rows(jobs, measure, output, options, weights, on_row)
    return tables(rows, SR_KEY[1:], output)


def measure_rows(
    jobs: Sequence[tuple[Path, Row]],
    measure: Callable[[Path, Row], Row],
    output: Path,
    options: dict[str, Any],
    weights: str | Path,
    on_row: Callable[[Row], None],
) -> list[Row]:
    """A row for each job: what identifies it and the record that `measure` returns, scored; rows.csv keeps those done.

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
    fresh = not rows_file.exists()
    with open(rows_file, "a", newline="") as file:
        writer = csv.DictWriter(file, [*names, *MEASURED, "options"])
        if fresh:
            writer.writeheader()
        for path, job in jobs:
            if tuple(str(job[name]) for name in names) in done:
                continue
            started = time.monotonic()
            row = job | scored(measure(path, job), time.monotonic() - started)
            writer.writerow(row | {"options": key})
            file.flush()
            rows.append(row)
            on_row(row)
    return rows


def scored(record: Row, seconds: float) -> Row:
    """Figures of one run: `fastmri-volume` and `body`, evaluations, seconds a slice, peak memory of the process."""
    volume = record["Metrics"]["fastmri-volume"]
    return {
        **{name: volume[name] for name in ("psnr", "ssim", "nmse", "psnr_worst")},
        "ssim_body": record["Metrics"]["body"]["ssim_body"],
        "evaluations": record["Evaluations"] * record["Draws"],
        "seconds": record["Seconds"] / record["Slices"],
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def tables(rows: list[Row], by: tuple[str, ...], output: Path) -> list[Row]:
    """Summary of the rows, also as table.md, table.csv and table.png in `output`."""
    summary = summarise(rows, by)
    (output / "table.md").write_text(to_markdown(summary))
    (output / "table.csv").write_text(to_csv(summary))
    figure(summary, output / "table.png", "psnr", by[:-1])
    return summary


def summarise(rows: list[Row], by: tuple[str, ...]) -> list[Row]:
    """Mean over files with a 95 % bootstrap interval and the worst slice, for each group; in the order of appearance."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[name]) for name in by), []).append(row)
    settings = list(dict.fromkeys(group[:-1] for group in groups))
    summary = []
    for group in sorted(groups, key=lambda group: settings.index(group[:-1])):
        members = groups[group]
        mean = {name: sum(float(row[name]) for row in members) / len(members) for name in MEASURED}
        low, high = bootstrap_interval([float(row["psnr"]) for row in members])
        summary.append(
            {
                **dict(zip(by, group, strict=True)),
                "files": len(members),
                "psnr": round(mean["psnr"], 2),
                "psnr_95": f"{low:.2f} to {high:.2f}",
                "worst_slice": round(min(float(row["psnr_worst"]) for row in members), 2),
                "ssim": round(mean["ssim"], 4),
                "ssim_body": round(mean["ssim_body"], 4),
                "evaluations": round(mean["evaluations"], 1),
                "s_per_slice": round(mean["seconds"], 2),
                "rss_mb": round(max(float(row["rss_mb"]) for row in members)),
            }
        )
    return summary


def run_bundle(data: str, output: str, method: str, accels: list[float], axes: list[str]) -> list[Row]:
    """The benchmark of one method beside zero-filling, as the reconstruction bundle's evaluate.json calls it."""
    return run(Path(data), Path(output), ["zero-filled", method], accels, axes, {}, lambda row: None)


def run_sr_bundle(data: str, output: str, method: str, protocol: str) -> list[Row]:
    """The benchmark of one method beside interpolation, as the super-resolution bundle's evaluate.json calls it."""
    return run_sr(Path(data), Path(output), protocol, ["cubic", "sinc", method], {}, lambda row: None)
