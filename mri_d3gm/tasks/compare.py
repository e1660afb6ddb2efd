"""Dynamics side by side: one overlay trained once for each of them and each seed, and evaluated alike, in one table."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mri_d3gm.dynamics import DYNAMICS
from mri_d3gm.errors import InputError
from mri_d3gm.metrics.table import to_csv, to_markdown
from mri_d3gm.tasks.benchmark import run_restoration
from mri_d3gm.tasks.bundles import overlay_keys
from mri_d3gm.tasks.train import run as train

Row = dict[str, Any]
CONTENDERS = ("regression", *DYNAMICS)
KEY = ("domain", "dynamics", "evaluations")


def run(
    config: str,
    data: Path,
    output: Path,
    contenders: Sequence[str],
    seeds: Sequence[int],
    steps: Sequence[int],
    on_row: Callable[[Row], None],
) -> list[Row]:
    """Train what is not trained yet, in OUTPUT/NAME-SEED, measure on the overlay's `domains`, and tabulate.

    contenders: of CONTENDERS; regression is the same network trained at T alone, without noise, and evaluated once. steps:
    evaluations of the network by the posterior sampler. A row holds means over files and seeds and, for more than one seed,
    the standard deviation over them; table.md and table.csv in `output` grow contender by contender.
    """
    unknown = [name for name in contenders if name not in CONTENDERS]
    if unknown:
        raise InputError(f"--dynamics {unknown[0]}: unknown; one of {', '.join(CONTENDERS)}")
    if "domains" not in overlay_keys(config):
        raise InputError(f"{config}: has no domains to measure on; see configs/compare-derain.json")
    rows: list[Row] = []
    for seed in seeds:
        for name in contenders:
            folder = output / f"{name}-{seed}"
            change = {"train#trainer#spread_after": 1.0} if name == "regression" else {"network_def#dynamics": name}
            train(config, str(data), str(folder), seed=seed, **change)
            method = "regression" if name == "regression" else "d3gm"
            for count in [1] if name == "regression" else steps:
                options = {"steps": count, "weights": str(folder / "weights.safetensors")}
                summary = run_restoration(data, folder / f"{count}-evaluations", config, [method], options, on_row)
                rows += [line | {"dynamics": name, "evaluations": count} for line in summary]
            table = over_seeds(rows)
            (output / "table.md").write_text(to_markdown(table))
            (output / "table.csv").write_text(to_csv(table))
    return table


def over_seeds(rows: list[Row]) -> list[Row]:
    """One row for each of KEY: numbers are means; `psnr_std` is the standard deviation of the first PSNR over seeds."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in KEY), []).append(row)
    table = []
    for key in sorted(groups, key=lambda key: [row["domain"] for row in rows].index(key[0])):
        members = groups[key]
        line: Row = dict(zip(KEY, key, strict=True)) | {"files": members[0]["files"], "seeds": len(members)}
        figures = [name for name in members[0] if ("psnr" in name and not name.endswith("_95")) or "ssim" in name]
        for name in figures:
            line[name] = round(mean(row[name] for row in members), 4 if "ssim" in name else 2)
        if len(members) > 1:
            line["psnr_std"] = round(stdev(row[figures[0]] for row in members), 2)
        table.append(line)
    return table
