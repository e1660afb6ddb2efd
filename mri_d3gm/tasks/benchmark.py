"""Benchmark: methods x acceleration x axis over a folder of fully sampled files, resumable row by row."""

import csv
import json
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.metrics.bootstrap import bootstrap_interval
from mri_d3gm.metrics.table import figure, to_csv, to_markdown
from mri_d3gm.tasks.recon import default_weights, reconstruct, weights_record

FIELDS = (
    "file",
    "method",
    "accel",
    "axis",
    "psnr",
    "ssim",
    "ssim_body",
    "nmse",
    "psnr_worst",
    "evaluations",
    "seconds",
    "rss_mb",
)


def measure(path: Path, method: str, accel: float, axis: str, options: dict[str, Any]) -> dict[str, Any]:
    """One row: the method on one file, seed 0, metrics by `fastmri-volume` and `body`."""
    started = time.monotonic()
    result = reconstruct(path, method=method, accel=accel, axis=axis, **options)
    if result.reference is None:
        raise InputError(f"{path}: undersampled, so there is nothing to score against; leave it out of --data")
    metrics, slices = result.record["Metrics"], len(result.volume)
    return {
        "file": path.stem,
        "method": method,
        "accel": accel,
        "axis": axis,
        **{name: metrics["fastmri-volume"][name] for name in ("psnr", "ssim", "nmse")},
        "ssim_body": metrics["body"]["ssim_body"],
        "psnr_worst": metrics["fastmri-volume"]["psnr_worst"],
        "evaluations": result.record["Evaluations"] * result.record["Draws"],
        "seconds": (time.monotonic() - started) / slices,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over files with a 95 % bootstrap interval, the worst slice, for each method x acceleration x axis."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((float(row["accel"]), row["axis"], row["method"]), []).append(row)
    summary = []
    for (accel, axis, method), members in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1])):
        mean = {name: sum(float(row[name]) for row in members) / len(members) for name in FIELDS[4:]}
        low, high = bootstrap_interval([float(row["psnr"]) for row in members])
        summary.append(
            {
                "accel": accel,
                "axis": axis,
                "method": method,
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


def run(
    data: Path,
    output: Path,
    methods: Iterable[str],
    accels: Iterable[float],
    axes: Iterable[str],
    options: dict[str, Any],
    on_row: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Measure every combination on every .h5 file below `data`; rows.csv grows as they finish and is not repeated."""
    files = sorted(data.glob("**/*.h5")) if data.is_dir() else [data]
    if not files or not files[0].exists():
        raise InputError(f"{data}: no .h5 files for --data")
    output.mkdir(parents=True, exist_ok=True)
    rows_file = output / "rows.csv"
    weights = weights_record(str(options.get("weights") or default_weights()))["SHA256"]
    key = json.dumps(options | {"weights": weights}, sort_keys=True)
    rows: list[dict[str, Any]] = []
    if rows_file.exists():
        with open(rows_file, newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["options"] == key]
    done = {(row["file"], row["method"], float(row["accel"]), row["axis"]) for row in rows}
    fresh = not rows_file.exists()
    with open(rows_file, "a", newline="") as file:
        writer = csv.DictWriter(file, [*FIELDS, "options"])
        if fresh:
            writer.writeheader()
        for path in files:
            for accel in accels:
                for axis in axes:
                    for method in methods:
                        if (path.stem, method, accel, axis) in done:
                            continue
                        row = measure(path, method, accel, axis, options)
                        writer.writerow(row | {"options": key})
                        file.flush()
                        rows.append(row)
                        on_row(row)
    summary = summarise(rows)
    (output / "table.md").write_text(to_markdown(summary))
    (output / "table.csv").write_text(to_csv(summary))
    figure(summary, output / "table.png", "psnr")
    return summary


def run_bundle(data: str, output: str, method: str, accels: list[float], axes: list[str]) -> list[dict[str, Any]]:
    """The benchmark of one method beside zero-filling, as the bundle's evaluate.json calls it."""
    return run(Path(data), Path(output), ["zero-filled", method], accels, axes, {}, lambda row: None)
