"""mri-d3gm stability."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mri_d3gm.cli.batch import with_progress
from mri_d3gm.cli.benchmark import numbers


def stability(
    file: Annotated[str, typer.Argument(metavar="FILE.h5", help="A fully sampled fastMRI-layout file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for tables and pictures.")] = Path("runs/stability"),
    accel: Annotated[float, typer.Option(help="Acceleration at which it is undersampled.")] = 8.0,
    index: Annotated[int | None, typer.Option("--slice", help="Number of the slice (default the middle one).")] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Weights file to perturb; may be repeated, each has its own dynamics.")
    ] = None,
    solver: Annotated[str, typer.Option(help="Comma-separated solvers to perturb.")] = "posterior,deterministic",
    steps: Annotated[str, typer.Option(help="Comma-separated counts of network evaluations.")] = "1,10",
    seed: Annotated[int, typer.Option(min=0, help="Seed of mask, draws and perturbation.")] = 0,
) -> None:
    """Discrepancy, trajectories, cocycle property and sensitivity of the dynamics on one slice."""
    from rich.console import Console

    counts = numbers("--steps", steps, int)
    with Console(stderr=True).status("loading"):
        from mri_d3gm.lab.charts import missing
        from mri_d3gm.lab.stability import measure_stability
    tables = with_progress(
        Path(file).name,
        False,
        lambda report: measure_stability(
            *(file, output, accel, index),
            weights=weights or [],
            solvers=solver.split(","),
            steps=counts,
            seed=seed,
            progress=report,
        ),
    )
    for name in (*(f"{table}.md" for table in tables), *([] if missing() else ["discrepancy.png"]), "trajectories.png"):
        print(output / name)
    if hint := missing():
        print(hint, file=sys.stderr)
    for row in tables["sensitivity"]:
        if row["t"] == 0:
            setting = f"{row['weights']} ({row['dynamics']}) {row['solver']}, {row['evaluations']} evaluations"
            print(f"{setting}: |delta x0| / |delta mu| = {row['growth']:g}")
