"""mri-d3gm stability."""

import sys
from pathlib import Path
from typing import Any

import click

from mri_d3gm.cli.benchmark import numbers, output_option, several
from mri_d3gm.cli.many import with_progress
from mri_d3gm.cli.options import command, option_of
from mri_d3gm.cli.say import say
from mri_d3gm.settings import Recon


def stability(file: str, output: Path, index: int | None, solver: str, steps: str, **options: Any) -> None:
    """Measure, and say where the tables are and what grew."""
    chosen: dict[str, Any] = {"solvers": solver.split(","), "steps": numbers("--steps", steps, int)} | options

    def work(progress: Any) -> dict[str, list[dict[str, Any]]]:
        from mri_d3gm.lab.stability import measure_stability

        return measure_stability(file, output, index=index, progress=progress, **chosen)

    tables = with_progress(Path(file).name, False, work)
    from mri_d3gm.lab.charts import missing

    for name in (*(f"{table}.md" for table in tables), *([] if missing() else ["discrepancy.png"]), "trajectories.png"):
        say(str(output / name))
    if hint := missing():
        print(hint, file=sys.stderr)
    for row in tables["sensitivity"]:
        if row["t"] == 0:
            setting = f"{row['weights']} ({row['dynamics']}) {row['solver']}, {row['evaluations']} evaluations"
            print(f"{setting}: |delta x0| / |delta mu| = {row['growth']:g}")


COMMAND = command(
    "stability",
    stability,
    [
        click.Argument(["file"], metavar="FILE.h5"),
        output_option("runs/stability", "Folder for tables and pictures"),
        click.Option(["--accel"], type=float, default=8.0, help="Acceleration at which it is undersampled (default 8)."),
        click.Option(["--slice", "index"], type=int, help="Number of the slice; the middle one if left out."),
        click.Option(
            ["--weights"],
            multiple=True,
            metavar="FILE",
            help="Weights file to perturb, by its own dynamics; may be repeated. The shipped one if left out.",
        ),
        several("solver", "posterior,deterministic", "Solvers to perturb"),
        several("steps", "1,10", "Counts of network evaluations"),
        option_of(Recon, "seed"),
    ],
    "Discrepancy, trajectories, cocycle property and sensitivity of the dynamics on one slice of FILE.h5, a fully sampled "
    "scan.",
)
