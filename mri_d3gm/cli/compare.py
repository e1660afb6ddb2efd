"""mri-d3gm compare."""

from pathlib import Path
from typing import Annotated

import typer

from mri_d3gm.cli.benchmark import numbers, report


def compare(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="Overlay with sources and domains to measure on.")],
    data: Annotated[Path, typer.Option(help="Folder that the overlay's globs are relative to.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for weights and tables.")] = Path("runs/compare"),
    dynamics: Annotated[str | None, typer.Option(help="Comma-separated; regression is the network alone.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Comma-separated; each is one training of each dynamics.")] = None,
    steps: Annotated[str | None, typer.Option(help="Comma-separated counts of network evaluations.")] = None,
) -> None:
    """Same data, network, training and evaluations for every dynamics, as one report; what is done is not repeated.

    What is left out is as CONFIG says.
    """
    from mri_d3gm.lab.compare import compare_dynamics, settings

    chosen = settings(
        config,
        dynamics=None if dynamics is None else dynamics.split(","),
        seeds=None if seeds is None else numbers("--seeds", seeds, int),
        evaluations=None if steps is None else numbers("--steps", steps, int),
    )
    compare_dynamics(config, data, output, **chosen, on_row=report)
    print((output / "report.md").read_text())
