"""mri-d3gm benchmark."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Tables of methods on data with a reference.")


@app.callback()
def group() -> None:
    """Tables of methods on data with a reference."""


@app.command("recon")
def recon(
    data: Annotated[Path, typer.Option(help="Folder of fully sampled fastMRI-layout files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables.")] = Path("runs/benchmark"),
    methods: Annotated[str, typer.Option(help="Comma-separated.")] = "zero-filled,sense,l1-wavelet,tv,regression,d3gm",
    accels: Annotated[str, typer.Option(help="Comma-separated.")] = "8,16",
    axes: Annotated[str, typer.Option(help="Comma-separated: phase, readout.")] = "phase,readout",
    solver: Annotated[str, typer.Option(help="Solver for d3gm.")] = "posterior",
    steps: Annotated[int, typer.Option(help="Evaluations a draw for d3gm.")] = 2,
    samples: Annotated[int, typer.Option(help="Draws for d3gm.")] = 4,
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
) -> None:
    """Method x acceleration x axis: mean, worst slice, 95 % interval, evaluations, seconds a slice, peak memory."""
    from mri_d3gm.metrics.table import to_markdown
    from mri_d3gm.tasks.benchmark import run

    options = {"solver": solver, "steps": steps, "samples": samples, "weights": weights}

    def on_row(row: dict[str, object]) -> None:
        print(f"{row['file']} {row['method']} R={row['accel']} {row['axis']}: {row['psnr']:.2f} dB", file=sys.stderr)

    numbers = [float(text) for text in accels.split(",")]
    print(to_markdown(run(data, output, methods.split(","), numbers, axes.split(","), options, on_row)))
