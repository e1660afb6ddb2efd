"""Benchmarks: methods over files with a reference, in rows that grow as they are measured and are not repeated."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image, slice_axis
from mri_d3gm.io.images.pictures import read_picture
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.open_scan import open_scan, scan_endings
from mri_d3gm.lab.charts import write_chart
from mri_d3gm.lab.throughput import peak_memory
from mri_d3gm.metrics.bootstrap import bootstrap_interval
from mri_d3gm.metrics.table import Row, average, groups, write_table
from mri_d3gm.runs.record import files_hash, provenance, weights_file
from mri_d3gm.settings import TASK_OF, Recon, Restore, Settings, SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import overlay_keys
from mri_d3gm.tasks.recon import Reconstruction, reconstruct
from mri_d3gm.tasks.restore import restore
from mri_d3gm.tasks.sr import superresolve
from mri_d3gm.training.sources import as_list, check_source, select_files, target_of


class Job(NamedTuple):
    """A row to be measured: its file, what names it in a table (with `file` and `method`), the settings of its task.

    central: how many slices around the middle of a volume; None for those that the settings choose.
    """

    path: Path
    name: Row
    settings: Settings
    central: int | None = None


def protocol_of(config: str) -> Row:
    """What an overlay says; InputError where it has no domains to measure on, or names a pipeline that is not there."""
    keys = {"name": config, "pipeline": "reconstruction"} | overlay_keys(config)
    domains, sampling = keys.get("domains"), keys.get("sampling", {})
    if not domains:
        raise InputError(f"{config}: has no domains to measure on; see configs/ for overlays that have")
    if not isinstance(domains, list):
        raise InputError(f"{config}: domains must be a list of objects, each with a glob, not {domains!r}")
    if not isinstance(sampling, dict):
        raise InputError(f"{config}: sampling must be an object, such as {{'samples': 4}}, not {sampling!r}")
    for entry in domains:
        try:
            check_source(entry)
        except InputError as error:
            raise InputError(f"{config}: domains: {error}") from error
        if ("domain" in entry) != ("domain" in domains[0]) or not isinstance(entry.get("domain", ""), str):
            raise InputError(f"{config}: domains: all or none must have a domain, which is text; see {entry}")
    shipped("pipelines", keys["pipeline"])
    return keys


def folder_protocol(accels: Iterable[float], axes: Sequence[str]) -> Row:
    """The protocol of reconstructing every scan below a folder at every acceleration along every axis."""
    globs = [f"**/*{ending}" for ending in scan_endings()]
    return {"domains": [{"glob": globs, "accel": accel, "axes": list(axes)} for accel in accels]}


def entries(data: Path, protocol: Row) -> Iterator[tuple[Row, int, Path, Row]]:
    """The domains of a protocol, and of each the files: index, path, and how tables name it, relative to `data`."""
    root = data.parent if data.is_file() else data
    for entry in protocol["domains"]:
        for index, path in enumerate([data] if data.is_file() else select_files(data, entry)):
            name = {"file": Path(os.path.relpath(path, root)).as_posix()}
            yield entry, index, path, name | ({"domain": entry["domain"]} if "domain" in entry else {})


def recon_jobs(data: Path, protocol: Row, methods: Sequence[str], options: Row) -> Iterator[Job]:
    """Fully sampled .h5 files to reconstruct (see configs/fastmri-knee-8x.json).

    A domain has {domain?, accel: 8 if absent, axes: both if absent}. options: keywords of `Recon`.
    """
    for entry, _, path, name in entries(data, protocol):
        for axis, method in product(as_list(entry.get("axes", ("phase", "readout"))), methods):
            chosen = {"accel": entry.get("accel", 8), "axis": axis, "method": method}
            yield Job(path, name | chosen, Recon.of(options | chosen))


def measure_recon(job: Job, reconstruct: Callable[..., Reconstruction] = reconstruct) -> Row:
    """Figures of `volume_figures` and the protocol `slice-max`; InputError for files without a reference.

    reconstruct(scan, settings) stands for that of `tasks.recon`.
    """
    record = reconstruct(open_scan(job.path), job.settings).record
    if "Metrics" not in record:
        raise InputError(f"{job.path}: undersampled, so there is nothing to score against; leave it out of the data")
    return volume_figures(record) | {f"slice-max {key}": value for key, value in record["Metrics"]["slice-max"].items()}


def sr_jobs(data: Path, protocol: Row, methods: Sequence[str], options: Row) -> Iterator[Job]:
    """Volumes to super-resolve after degrading them (see configs/ixi-sr.json).

    A domain has {domain, degrade: truncation or kernel, operator?: what the method may assume, central?: slices around the
    middle}. options: keywords of `SuperResolve`.
    """
    for entry, _, path, name in entries(data, protocol):
        if "degrade" not in entry:
            raise InputError(f"{protocol.get('name')}: {entry} has no degrade, truncation or kernel, to score against")
        operator = entry.get("operator", "truncation" if entry["degrade"] == "truncation" else "unknown")
        for method in methods:
            chosen = {"degrade": entry["degrade"], "scale": 4, "method": method}
            settings = SuperResolve.of(options | chosen | {"operator": operator})
            yield Job(path, name | chosen, settings, entry.get("central"))


def measure_sr(job: Job) -> Row:
    """Figures of `volume_figures`."""
    source, settings = open_image(job.path), cast(SuperResolve, job.settings)
    if job.central is not None:
        settings = replace(settings, slices=central_slices(source, job.central))
    return volume_figures(superresolve(source, settings).record)


def central_slices(source: Image, count: int) -> str:
    """`slices` for that many around the middle of a volume, or for all where there are fewer."""
    start = max(0, source.array.shape[slice_axis(source)] - count) // 2
    return f"{start}:{start + count}"


def restoration_jobs(data: Path, protocol: Row, methods: Sequence[str], options: Row) -> Iterator[Job]:
    """Photographs to restore (see configs/rain100h.json).

    The protocol's `task` is derain or dehaze; a domain has {domain, and either target: [regular expression, replacement] on the
    path for real pairs, or degrade}. options: keywords of `Restore`. Methods that are for the other task alone are left out.
    """
    if "task" not in protocol:
        raise InputError(f"{protocol.get('name')}: has no task, derain or dehaze, so it restores nothing")
    for entry, index, path, name in entries(data, protocol):
        if not {"target", "degrade"} & entry.keys():
            raise InputError(f"{protocol.get('name')}: {entry} has neither target nor degrade to score against")
        target = target_of(path, entry) if "target" in entry else None
        same = {"task": protocol["task"], "target": target, "degrade": entry.get("degrade"), "index": index}
        for method in methods:
            if TASK_OF.get(method, protocol["task"]) == protocol["task"]:
                yield Job(path, name | {"method": method}, Restore.of(options | same | {"method": method}))


def measure_restoration(job: Job) -> Row:
    """Figures of all protocols of restoration, evaluations and seconds."""
    picture = read_picture(job.path)
    record = restore(picture.array, cast(Restore, job.settings), visible=picture.visible).record
    figures = {f"{name} {key}": value for name, metric in record["Metrics"].items() for key, value in metric.items()}
    return figures | {"evaluations": record["Evaluations"], "seconds": record["Seconds"]}


BENCHMARKS: dict[str, tuple[Callable[..., Iterator[Job]], Callable[[Job], Row]]] = {
    "reconstruction": (recon_jobs, measure_recon),
    "super_resolution": (sr_jobs, measure_sr),
    "restoration": (restoration_jobs, measure_restoration),
}


def run_benchmark(
    pipeline: str,
    data: str | Path,
    output: str | Path,
    protocol: Row,
    methods: Sequence[str],
    options: Row,
    *,
    on_row: Callable[[Row], None] = lambda row: None,
    measure: Callable[[Job], Row] | None = None,
) -> list[Row]:
    """Summary of methods over the files of every domain of a protocol, seed 0; see `tabulate`. The figures of the metric that
    the protocol names come first.

    pipeline: one of BENCHMARKS, which says what a domain has besides an entry of `training.sources.select_files`, and what
    options are keywords of. measure: in place of the pipeline's own.
    """
    jobs = jobs_of(pipeline, Path(data), protocol, methods, options)
    return tabulate(jobs, measure or BENCHMARKS[pipeline][1], Path(output), on_row, str(protocol.get("protocol")))


def jobs_of(pipeline: str, data: Path, protocol: Row, methods: Sequence[str], options: Row) -> list[Job]:
    """All that `run_benchmark` would measure; InputError for what it cannot, which no file is opened for."""
    jobs = list(BENCHMARKS[pipeline][0](data, protocol, methods, options))
    if not jobs:
        raise InputError(f"{data}: nothing to measure: no domain has files here")
    asked: dict[tuple[Any, ...], Row] = {}
    for job in jobs:
        if asked.setdefault((job.path, *asked_of(job)), decided(job)) != decided(job):
            raise InputError(f"{job.path}: is measured in two ways under one name, {asked_of(job)}; name the domains apart")
    return jobs


def asked_of(job: Job) -> tuple[Any, ...]:
    """What a table tells a job by, besides its file."""
    return tuple(value for name, value in job.name.items() if name != "file")


def decided(job: Job) -> Row:
    """What is asked of a job's file: its settings, but for the number that its place in the list gives."""
    return job.settings.fingerprint() | {"index": None, "central": job.central}


def network_size(task: str, weights: str | None) -> tuple[int, int]:
    """Parameters of a restoration network, and floating-point operations of one evaluation of 256 x 256."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mri_d3gm.networks.weights import load_network

    network = load_network(weights_file(Restore(task=task, weights=weights)))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 256, 256))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops()


def volume_figures(record: Row) -> Row:
    """Figures of one MRI run: `fastmri-volume`, `body`, `haarpsi`, evaluations, seconds a slice, the process's peak memory."""
    volume = record["Metrics"]["fastmri-volume"]
    return {
        "psnr": volume["psnr"],
        "psnr_worst": volume["psnr_worst"],
        "ssim": volume["ssim"],
        "ssim_body": record["Metrics"]["body"]["ssim_body"],
        "haarpsi": record["Metrics"]["haarpsi"]["haarpsi"],
        "evaluations": record["Evaluations"],
        "seconds": record["Seconds"] / record["Slices"],
        "nmse": volume["nmse"],
        "rss_mb": peak_memory(os.getpid()),
    }


def tabulate(
    jobs: Sequence[Job], measure: Callable[[Job], Row], output: Path, on_row: Callable[[Row], None], leading: str
) -> list[Row]:
    """Summary of the rows of all jobs, also as table.md, table.csv and table.png in `output`; rows.jsonl keeps the rows.

    A row is measured once: see `key_of`; a file and its copies count once, as they are one subject. rows.jsonl also keeps
    those of other runs, which are not used. leading: the metric whose figures come first.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    with open(output / "rows.jsonl", "a+") as file:
        done = recorded(file)
        for job in distinct(jobs):
            key = key_of(job)
            name = json.dumps(key, sort_keys=True)
            known = name in done
            if not known:
                done[name] = job.name | measure(job)
                file.write(json.dumps(done[name] | {"key": key}) + "\n")
                file.flush()
            first = {figure: done[name][figure] for figure in done[name] if figure.startswith(f"{leading} ")}
            rows.append(job.name | first | done[name])
            if not known:
                on_row(rows[-1])
    by = [name for name in jobs[0].name if name != "file"]
    summary = summarise(rows, by)
    write_table(summary, output, "table")
    write_chart(summary, output / "table.png", first_psnr(summary[0]), by[:-1])
    return summary


def key_of(job: Job) -> Row:
    """What tells a job from others: its name, and all that decides its result; see `runs.record.provenance`."""
    return {"name": job.name, "central": job.central} | provenance(job.settings, files_of(job))


def files_of(job: Job) -> list[Path]:
    """The file of a job, or those in its folder."""
    return sorted(part for part in job.path.rglob("*") if part.is_file()) if job.path.is_dir() else [job.path]


def distinct(jobs: Iterable[Job]) -> Iterator[Job]:
    """Jobs without those that ask the same as one before of the same bytes, of whichever file."""
    seen = set()
    for job in jobs:
        asked = files_hash(files_of(job)), *asked_of(job)
        if asked not in seen:
            seen.add(asked)
            yield job


def recorded(file: TextIO) -> dict[str, Row]:
    """Rows of a rows.jsonl by their key, which is left at its end, ready for more; a line that was cut short is left out."""
    file.seek(0)
    text, rows = file.read(), {}
    for line in text.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            rows[json.dumps(row.pop("key"), sort_keys=True)] = row
    if text and not text.endswith("\n"):
        file.write("\n")
    return rows


def first_psnr(row: Row) -> str:
    """The figure that a table's interval and chart are about."""
    return next(name for name in row if "psnr" in name)


def summarise(rows: list[Row], by: Sequence[str]) -> list[Row]:
    """Means over files for each group, settings in the order of appearance; of the first PSNR, where there are several files,
    a 95 % bootstrap interval.

    Of psnr_worst the lowest is kept, of rss_mb the highest. Means are by `average`; NAME_exact counts what was infinite.
    """
    summary = []
    for key, members in groups(rows, by, len(by) - 1):
        line = key | {"files": len(members)}
        for name in (name for name in members[0] if name not in ("file", *by)):
            values = [float(row[name]) for row in members]
            pooled = {"psnr_worst": min, "rss_mb": max}.get(name, average)(values)
            line[name] = round(pooled, 4 if "ssim" in name or name in ("nmse", "haarpsi") else 2)
            finite = [value for value in values if math.isfinite(value)]
            if name == first_psnr(members[0]) and len(finite) > 1:
                low, high = bootstrap_interval(finite)
                line[f"{name}_95"] = f"{low:.2f} to {high:.2f}"
            if exact := values.count(math.inf):
                line[f"{name}_exact"] = exact
        summary.append(line)
    return summary
