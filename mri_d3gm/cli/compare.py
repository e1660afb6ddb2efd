"""mri-d3gm compare."""

from pathlib import Path
from typing import Annotated

import typer

from mri_d3gm.cli.benchmark import numbers, report


def compare(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="Overlay with sources and domains to measure on.")],
    data: Annotated[Path, typer.Option(help="Folder that the overlay's globs are relative to.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for weights and tables.")] = Path("runs/compare"),
    dynamics: Annotated[str, typer.Option(help="Comma-separated; regression is the network alone.")] = "regression,ou,d3gm",
    seeds: Annotated[str, typer.Option(help="Comma-separated; each is one training of each dynamics.")] = "0",
    steps: Annotated[str, typer.Option(help="Comma-separated counts of network evaluations.")] = "1,10",
) -> None:
    """Same data, network, training and evaluations for every dynamics, as one table; what is done is not repeated."""
    from mri_d3gm.metrics.table import to_markdown
    from mri_d3gm.tasks.compare import run

    drawn, counts = numbers("--seeds", seeds, int), numbers("--steps", steps, int)
    print(to_markdown(run(config, data, output, dynamics.split(","), drawn, counts, report)))
