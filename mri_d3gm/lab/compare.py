"""Dynamics side by side: one overlay trained once for each of them and each seed, and evaluated alike, in one report."""

import json
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from zlib import crc32

import numpy as np

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_path, write_text
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.preview import write_preview
from mri_d3gm.lab.benchmark import jobs_of, protocol_of, run_benchmark
from mri_d3gm.metrics.table import Row, average, groups, to_markdown, write_table
from mri_d3gm.runs.record import provenance
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.bundles import overlay_keys
from mri_d3gm.tasks.recon import reconstruct
from mri_d3gm.tasks.train import train, training_record
from mri_d3gm.training.sources import as_list, select_files

BASELINES = {"reconstruction": "zero-filled", "super_resolution": "sinc", "restoration": "identity"}
KEY = ("domain", "dynamics", "evaluations")
ORDER = ("d3gm", "ou", "sgm-vp", "decoupled")
DEFAULTS: dict[str, Any] = {"dynamics": ["regression", "ou", "d3gm"], "seeds": [0], "evaluations": [1, 10]}
FITS: dict[str, Callable[[Any], bool]] = {
    "dynamics": lambda name: isinstance(name, str),
    "seeds": lambda seed: type(seed) is int and seed >= 0,
    "evaluations": lambda count: type(count) is int and count > 0,
}


def settings(config: str, **chosen: Any) -> Row:
    """What is compared: the keys of DEFAULTS as chosen, where None as the overlay says, and else those of DEFAULTS."""
    given = {name: value for name, value in chosen.items() if value is not None}
    said = {name: value for name, value in overlay_keys(config).items() if name in DEFAULTS}
    chosen = DEFAULTS | said | given
    for name, value in chosen.items():
        fits = isinstance(value, list) and value and all(map(FITS[name], value))
        if not fits:
            where = "" if name in given else f"{config}: "
            raise InputError(f"{where}{name} must be a list such as {DEFAULTS[name]}, not {value!r}")
    return chosen


def compare_dynamics(
    config: str,
    data: Path,
    output: Path,
    *,
    dynamics: Sequence[str],
    seeds: Sequence[int],
    evaluations: Sequence[int],
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Train what is not trained yet, in OUTPUT/NAME-SEED, measure on the overlay's `domains`, and tabulate.

    dynamics: names of DYNAMICS, or regression, which is the same network trained at T alone, without noise, and evaluated
    once. evaluations: of the network by the posterior sampler; the overlay's `sampling` holds its other options. A row holds
    means over files and seeds and, for more than one seed, standard deviations over them; report.md, table.md and table.csv in
    `output` grow with every training.
    """
    dynamics = list(dict.fromkeys(dynamics))
    seeds, evaluations = (list(dict.fromkeys(values)) for values in (seeds, evaluations))
    contenders = "regression", *DYNAMICS
    unknown = [name for name in dynamics if name not in contenders]
    if unknown:
        raise InputError(f"--dynamics {unknown[0]}: unknown; one of {', '.join(contenders)}")
    protocol = protocol_of(config)
    if not data.is_dir():
        raise InputError(f"{data}: no such folder for --data")
    pipeline, sampling = protocol["pipeline"], protocol.get("sampling", {})
    for count in evaluations:
        jobs_of(pipeline, data, protocol, ["d3gm"], sampling | {"steps": count})  # whose faults come before the work

    def measured(folder: Path, method: str, options: Row, names: Row) -> list[Row]:
        return [
            line | names
            for line in run_benchmark(pipeline, data, folder, protocol, [method], sampling | options, on_row=on_row)
        ]

    plain = BASELINES[pipeline]
    rows = measured(output / plain, plain, {}, {"dynamics": plain, "evaluations": 0, "seed": seeds[0]})
    table = over_seeds(rows)
    for seed, name in product(seeds, dynamics):
        folder = output / f"{name}-{seed}"
        weights = train_contender(protocol, data, folder, name, seed)
        method, counts = ("regression", [1]) if name == "regression" else ("d3gm", evaluations)
        for count in counts:
            names = {"dynamics": name, "evaluations": count, "seed": seed}
            rows += measured(folder / f"{count}-evaluations", method, {"steps": count, "weights": weights}, names)
        if pipeline == "reconstruction" and seed == seeds[0]:
            write_slices(data, protocol, output, dynamics[: dynamics.index(name) + 1], seed, max(evaluations))
        table = over_seeds(rows)
        write_table(table, output, "table")
        write_text(output / "report.md", report(protocol, output, rows))
    return table


def train_contender(protocol: Row, data: Path, folder: Path, name: str, seed: int) -> str:
    """The weights in `folder` of a contender, trained by the protocol's overlay, or found as the end of this training."""
    change = {"train#trainer#spread_after": 1.0} if name == "regression" else {"network_def#dynamics": name}
    return str(train(protocol["name"], str(data), str(folder), seed=seed, **change).weights)


def over_seeds(rows: list[Row]) -> list[Row]:
    """One row for each of KEY, without `domain` where the rows have none: numbers are means; `psnr_std` and `ssim_std` are the
    standard deviations of the first PSNR and SSIM over seeds, of the means over what KEY does not tell apart.
    """
    table = []
    for key, members in groups(rows, [name for name in KEY if name in rows[0]]):
        seeds = sorted({row["seed"] for row in members})
        line = key | {"files": members[0]["files"], "seeds": len(seeds)}
        figures = [name for name in members[0] if ("psnr" in name and not name.endswith(("_95", "_exact"))) or "ssim" in name]
        for name in figures:
            line[name] = round(average([row[name] for row in members]), 4 if "ssim" in name else 2)
            if exact := sum(row.get(f"{name}_exact", 0) for row in members):
                line[f"{name}_exact"] = exact
        for kind, digits in (("psnr", 2), ("ssim", 4)) if len(seeds) > 1 else ():
            first = next(name for name in figures if kind in name)
            values = [average([row[first] for row in members if row["seed"] == seed]) for seed in seeds]
            line[f"{kind}_std"] = round(stdev(values), digits) if all(map(math.isfinite, values)) else math.nan
        table.append(line)
    return table


def report(protocol: Row, output: Path, rows: list[Row]) -> str:
    """What was run, the table without `slice-max`, what it says of the paper's ordering, and the slices, as Markdown."""
    folders = dict.fromkeys(f"{row['dynamics']}-{row['seed']}" for row in rows if row["evaluations"])
    records = [training_record(output / folder / "weights.safetensors") for folder in folders]
    steps = sorted({record["steps"] for record in records})
    minutes = sorted(round(record["seconds"] / 60) for record in records)
    run = f"`{shlex.join(['mri-d3gm', *sys.argv[1:]])}`"
    sampling = ", ".join(f"{name} {value}" for name, value in protocol.get("sampling", {}).items()) or "its defaults"
    seeds = sorted({row["seed"] for row in rows})
    table = [{name: row[name] for name in row if not name.startswith("slice-max")} for row in over_seeds(rows)]
    shown = "\n![One slice by each dynamics](slices.png)\n" if (output / "slices.png").exists() else ""
    return (
        f"# Dynamics side by side: {Path(protocol['name']).stem}\n\n{run}\n\n"
        f"For a seed, every training starts from the same weights and sees the same cases in the same order: "
        f"{', '.join(map(str, steps))} steps ({minutes[0]} to {minutes[-1]} minutes), at all t after "
        f"{protocol.get('train#trainer#spread_after', 'the default part')} of them. Seeds {', '.join(map(str, seeds))}. "
        f"Sampler: posterior, {sampling}. `evaluations` is of a draw; numbers are means over files, axes and seeds.\n\n"
        f"{to_markdown(table)}\n{ordering(rows)}{shown}"
    )


def ordering(rows: list[Row]) -> str:
    """What the first PSNR says of the paper's ordering ORDER: differences of neighbours, means over domains, files and seeds,
    next to their standard deviations over seeds. A difference counts where it is larger than that.
    """
    psnr = next((name for name in rows[0] if "psnr" in name), "psnr")
    lines = []
    for count in sorted({row["evaluations"] for row in rows} - {0}):
        level: dict[str, dict[int, float]] = {}
        for row in (row for row in rows if row["evaluations"] == count and row["dynamics"] in ORDER):
            same = [r[psnr] for r in rows if all(r[k] == row[k] for k in ("evaluations", "dynamics", "seed"))]
            level.setdefault(row["dynamics"], {})[row["seed"]] = average(same)
        verdicts = [compared(first, second, level) for first, second in pairwise(n for n in ORDER if n in level)]
        if verdicts:
            whole = len(level) == len(ORDER) and all(verdict.endswith(" seen") for verdict in verdicts)
            against = any(verdict.endswith(" reversed") for verdict in verdicts)
            word = "was seen" if whole else "was not seen" if against else "cannot be told"
            lines.append(
                f"With {count} evaluation{'s' * (count > 1)} the paper's ordering, {' > '.join(ORDER)}, {word} in {psnr}: "
                f"{'; '.join(verdicts)}.\n"
            )
    return "\n".join(lines)


def compared(first: str, second: str, level: dict[str, dict[int, float]]) -> str:
    """`first` against `second` by PSNR of each seed: the mean difference, its standard deviation, the verdict."""
    differences = [level[first][seed] - level[second][seed] for seed in level[first] if seed in level[second]]
    if len(differences) < 2:
        return f"{first} - {second} {mean(differences or [math.nan]):+.2f} dB, undecided without a second seed"
    middle, std = mean(differences), stdev(differences)
    verdict = "seen" if middle > std else "reversed" if middle < -std else "not told apart"
    return f"{first} - {second} {middle:+.2f} dB (std {std:.2f}), {verdict}"


def write_slices(data: Path, protocol: Row, output: Path, contenders: Sequence[str], seed: int, count: int) -> None:
    """slices.png: the middle slice of the first file by every contender, next to zero-filled and reference."""
    entry = protocol["domains"][0]
    path = select_files(data, entry)[0]
    scan = open_scan(path)
    same = {"accel": entry.get("accel", 8), "axis": as_list(entry.get("axes", "phase"))[0], "slices": str(scan.slices // 2)}
    plain = reconstruct(scan, Recon.of(same | {"method": "zero-filled"}))
    assert plain.reference is not None
    panels = {"zero-filled": plain.volume[0]}
    for name in contenders:
        weights = output / f"{name}-{seed}" / "weights.safetensors"
        method, steps = ("regression", 1) if name == "regression" else ("d3gm", count)
        settings = Recon.of(protocol.get("sampling", {}) | same | {"steps": steps, "weights": weights, "method": method})
        decided = json.dumps(provenance(settings, [path]), sort_keys=True)
        kept = weights.parent / f"{steps}-evaluations" / f"slice-{crc32(decided.encode()):08x}.npy"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            image = reconstruct(scan, settings).volume[0]
            with atomic_path(kept) as temporary:
                np.save(temporary, image)
        panels[name] = np.load(kept)
    title = f"{path.name}, R = {same['accel']} along {same['axis']}, {count} evaluations a draw, seed {seed}"
    write_preview(output / "slices.png", panels | {"reference": plain.reference[0]}, title, scan.voxel_mm[:2])
