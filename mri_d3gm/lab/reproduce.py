"""Reproduction: a benchmark or ablation of the paper trained, measured by its protocol, and set next to the paper's figures."""

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import write_text
from mri_d3gm.lab import basin
from mri_d3gm.lab.benchmark import measure_recon, protocol_of, run_benchmark
from mri_d3gm.metrics.table import Row, to_csv, to_markdown
from mri_d3gm.tasks.bundles import overlay_files, overlay_keys
from mri_d3gm.tasks.train import train, training_record
from mri_d3gm.training.sources import as_list, matches

OVERLAYS = {
    "fastmri-8x": "fastmri-knee-8x",
    "fastmri-16x": "fastmri-knee-16x",
    **{name: name for name in ("ixi-sr", "rain100h", "rain100l", "rain200h", "o-haze", "dense-haze")},
    **{name: f"ablation-{name}" for name in ("schedules", "tau", "lipschitz", "basin")},
}
METHODS = {
    "reconstruction": ["zero-filled", "regression", "d3gm"],
    "super_resolution": ["sinc", "regression", "d3gm"],
    "restoration": ["identity", "regression", "d3gm"],
}
SHOWN = ("variant", "guess", "t0", "domain", "degrade", "accel", "axis", "method", "files", "evaluations")
PAPER = "paper (PSNR / SSIM)"
STEPS = "train#trainer#steps"
CORE_SECONDS = {"reconstruction": 0.8, "super_resolution": 0.4, "dehaze": 0.53, "derain": 1.06}  # a step took, on one core
GPU_CORES = 18  # an H100 took 0.043 s for a step of reconstruction, with batches 24 times as large
EVALUATION_SECONDS = 0.4


def overlay_of(name: str) -> str:
    """The overlay of a reproduction's name; InputError for another name."""
    if name not in OVERLAYS:
        raise InputError(f"{name}: no such reproduction; one of {', '.join(OVERLAYS)}")
    return OVERLAYS[name]


def plan(name: str, data: Path | None) -> str:
    """What `reproduce` needs, as text: files and whether they are below `data`, steps, hours, protocol, the paper's figures."""
    keys = overlay_keys(overlay_of(name))
    pipeline = keys.get("pipeline", "reconstruction")
    seconds, variants = CORE_SECONDS[keys.get("task", pipeline)], list(keys.get("variants", {}))
    hours = seconds * keys[STEPS] * max(1, len(variants)) / 3600
    trained = f"{len(variants)} x {keys[STEPS]} steps: {', '.join(variants)}" if variants else f"{keys[STEPS]} steps"
    figures = "; ".join(f"{method} {value}" for method, value in keys["paper"].items())
    return "\n".join(
        [
            f"{name}: {' + '.join(path.name for path in overlay_files(overlay_of(name)))} on the bundle {pipeline}",
            f"data (below {data or 'DIR of --data'}):",
            *needed(keys, data),
            f"training: {trained}",
            f"time: about {hours:.2g} hours of one core, at {seconds:.2f} s a step as shipped weights took; at most "
            f"about {hours / GPU_CORES:.2g} on a GPU, taken as {GPU_CORES} cores (measured for reconstruction alone)",
            f"measuring: {measuring(keys)}",
            f"protocol: {keys['protocol']} (docs/protocols.md)",
            f"{PAPER}: {figures or 'not known'}",
            *[f"note: {note}" for note in keys.get("notes", [])],
        ]
    )


def needed(keys: Row, data: Path | None) -> Iterator[str]:
    """A line for each glob of the sources and the domains: what it is for, and how many files it finds."""
    parts = {"train": "sources", "validate": "validation_sources", "test": "domains"}
    for part, key in parts.items():
        for glob in dict.fromkeys(glob for entry in keys.get(key, []) for glob in as_list(entry["glob"])):
            count = 0 if data is None else len(matches(data, glob))
            found = "not looked for" if data is None else f"{count} found" if count else "not found"
            yield f"  {part:8} {glob}: {found}"


def measuring(keys: Row) -> str:
    """How the network is evaluated, in words."""
    if "starts" in keys:
        starts = (f"{start['guess']} at t0 {start['t0']:g}, {start['steps']} evaluations" for start in keys["starts"])
        return f"one draw a slice from each of {'; '.join(starts)}"
    steps, samples = keys["sampling"]["steps"], keys["sampling"]["samples"]
    seconds = steps * samples * EVALUATION_SECONDS
    return f"{steps} evaluations, {samples} draw(s), posterior solver: about {seconds:.0f} s of a core for 320 x 320 pixels"


def reproduce(
    name: str,
    data: Path,
    output: Path,
    on_row: Callable[[Row], None],
    *,
    device: str = "auto",
    max_minutes: float | None = None,
    **changes: Any,
) -> str:
    """Train what is missing in OUTPUT, measure on the test split, and write and return report.md; table.csv next to it.

    max_minutes: of all trainings together; measured is what has been trained by then, and the same call goes on later.
    changes: keys in place of the overlay's. InputError for an unknown name and for data that cannot be used.
    """
    config, started, rows = overlay_of(name), time.monotonic(), []
    keys, notes = protocol_of(config) | changes, []
    for variant, change in keys.get("variants", {"": {}}).items():
        folder = output / (variant.replace(" ", "-") or "d3gm")
        weights = folder / "weights.safetensors"
        left = math.inf if max_minutes is None else max(0.0, max_minutes - (time.monotonic() - started) / 60)
        if training_record(weights)["steps"] or left > 0:  # what is finished stays, if it is the same training
            train(config, str(data), str(folder), device, left, **change | changes)
        done = training_record(weights)["steps"]
        notes.append(f"{variant or 'network'}: trained {done} of {keys[STEPS]} steps")
        if done:
            measured = measure(keys, data, folder, {"weights": str(weights), "device": device}, on_row)
            rows += [({"variant": variant} if variant else {}) | line for line in measured]
    table = next_to_paper(rows, keys)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "table.csv", to_csv(table))
    text = report(name, keys, table, notes)
    write_text(output / "report.md", text)
    return text


def measure(keys: Row, data: Path, folder: Path, given: Row, on_row: Callable[[Row], None]) -> list[Row]:
    """Summaries over the test split by the overlay's methods, or by each of its `starts` from a first guess."""
    pipeline = keys.get("pipeline", "reconstruction")
    if "starts" not in keys:
        methods = keys.get("methods", METHODS[pipeline])
        return run_benchmark(pipeline, data, folder / "test", keys, methods, keys["sampling"] | given, on_row=on_row)
    rows = []
    for start in keys["starts"]:
        place = folder / f"{start['guess']}-{start['t0']:g}"
        guessed = partial(basin.reconstruct_from_guess, guess=start["guess"], t0=start["t0"])
        solve = partial(measure_recon, reconstruct=guessed)
        options = {"steps": start["steps"], "samples": 1, "trust": "off"} | given
        measured = run_benchmark(pipeline, data, place, keys, ["d3gm"], options, on_row=on_row, measure=solve)
        rows += [start | line for line in measured]
    return rows


def next_to_paper(rows: list[Row], keys: Row) -> list[Row]:
    """The protocol's figures of each row and the paper's of its method; then the paper's of methods that are not ours.

    The overlay's `paper` holds texts by method, or by domain and method.
    """
    protocol, paper = keys["protocol"], dict(keys["paper"])
    table, used = [], set()
    for row in rows:
        figures = [name for name in row if name.startswith(f"{protocol} ")] or ["psnr", "ssim"]
        names = [f"{row.get('domain')} {row['method']}", row["method"]]
        key = next((name for name in names if name in paper), None)
        used.add(key)
        ours = {name: row[name] for name in (*SHOWN, *figures) if name in row}
        table.append(ours | {PAPER: "not known" if key is None else paper[key]})
    return table + [{"method": f"{name} (paper)", PAPER: text} for name, text in paper.items() if name not in used]


def report(name: str, keys: Row, table: list[Row], notes: list[str]) -> str:
    """What was run and found, as Markdown."""
    command = shlex.join(["mri-d3gm", *sys.argv[1:]])
    said = "".join(f"* {note}\n" for note in [*notes, f"measured with {measuring(keys)}", *keys.get("notes", [])])
    return f"# {name}\n\n`{command}`\n\nProtocol `{keys['protocol']}`.\n\n{to_markdown(table)}\n{said}"
