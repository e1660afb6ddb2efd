"""mri-d3gm benchmark."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mri_d3gm.errors import InputError

Number = TypeVar("Number", int, float)

HEADINGS = {"files": "n", "psnr_95": "95 %", "psnr_worst": "worst", "ssim_body": "body", "evaluations": "evals", "seconds": "s"}

app = typer.Typer(no_args_is_help=True, help="Tables of methods on data with a reference.")


@app.callback()
def group() -> None:
    """Tables of methods on data with a reference."""


def report(row: dict[str, Any]) -> None:
    """A finished row on stderr."""
    setting = " ".join(f"{row[name]}" for name in ("file", "domain", "degrade", "accel", "axis", "method") if name in row)
    name = next(name for name in row if "psnr" in name)
    print(f"{setting}: {row[name]:.2f} dB", file=sys.stderr)


def show(table: list[dict[str, Any]], output: Path) -> None:
    """What of a summary fits the terminal, on stdout; on stderr what no chart was drawn for."""
    from mri_d3gm.lab.charts import missing
    from mri_d3gm.metrics.table import to_text

    print(to_text(table, shutil.get_terminal_size().columns, HEADINGS))
    print(f"all columns: {output / 'table.csv'}, {output / 'table.md'}")
    if hint := missing():
        print(hint, file=sys.stderr)


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Numbers separated by commas; InputError for anything else."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text}: write numbers separated by commas") from error


def trained(protocol: str, data: Path, folder: Path, max_minutes: float | None) -> str:
    """Train by a protocol's own sources, going on where `folder` was; its weights."""
    from mri_d3gm.tasks.train import train

    train(protocol, str(data), str(folder), max_minutes=max_minutes)
    return str(folder / "weights.safetensors")


@app.command("recon")
def recon(
    data: Annotated[Path, typer.Option(help="Folder of fully sampled fastMRI-layout files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables.")] = Path("runs/benchmark"),
    methods: Annotated[str, typer.Option(help="Comma-separated.")] = "zero-filled,sense,l1-wavelet,tv,regression,d3gm",
    accels: Annotated[str, typer.Option(help="Comma-separated.")] = "8,16",
    axes: Annotated[str, typer.Option(help="Comma-separated: phase, readout.")] = "phase,readout",
    center_fraction: Annotated[float | None, typer.Option(help="Part of lines in the full centre (default .32/R).")] = None,
    solver: Annotated[str, typer.Option(help="Solver for d3gm.")] = "posterior",
    steps: Annotated[int, typer.Option(help="Evaluations a draw for d3gm.")] = 1,
    samples: Annotated[int, typer.Option(help="Draws for d3gm.")] = 4,
    tau: Annotated[float | None, typer.Option(help="Noise of the path; the weights' own if left out.")] = None,
    trust: Annotated[str, typer.Option(help="Withheld lines for d3gm: off, fast, full.")] = "fast",
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
) -> None:
    """Method x acceleration x axis: mean, worst slice, 95 % interval, evaluations, seconds a slice, peak memory."""
    from mri_d3gm.lab.benchmark import benchmark_recon, folder_protocol

    options = {
        "center_fraction": center_fraction,
        "solver": solver,
        "steps": steps,
        "samples": samples,
        "tau": tau,
        "trust": trust,
        "weights": weights,
    }
    protocol = folder_protocol(numbers("--accels", accels, float), axes.split(","))
    show(benchmark_recon(data, output, protocol, methods.split(","), options, report), output)


@app.command("sr")
def sr(
    data: Annotated[Path, typer.Option(help="Folder of volumes, as the protocol's globs expect it.")],
    protocol: Annotated[str, typer.Option(help="Overlay with domains: a file or a name in configs/.")] = "open-sr",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables.")] = Path("runs/benchmark-sr"),
    methods: Annotated[str, typer.Option(help="Comma-separated.")] = "nearest,linear,cubic,lanczos,sinc,regression,d3gm",
    solver: Annotated[str, typer.Option(help="Solver for d3gm.")] = "posterior",
    steps: Annotated[int, typer.Option(help="Evaluations a draw for d3gm.")] = 1,
    samples: Annotated[int, typer.Option(help="Draws for d3gm.")] = 4,
    tau: Annotated[float | None, typer.Option(help="Noise of the path; the weights' own if left out.")] = None,
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
    train: Annotated[bool, typer.Option(help="First train by the protocol's own sources, in OUTPUT/train.")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="With --train: stop training after this long.")] = None,
) -> None:
    """Domain x degradation x method: mean, worst slice, 95 % interval, evaluations, seconds a slice, peak memory."""
    from mri_d3gm.lab.benchmark import benchmark_sr, protocol_of

    if train:
        weights = trained(protocol, data, output / "train", max_minutes)
    options = {"solver": solver, "steps": steps, "samples": samples, "tau": tau, "weights": weights}
    show(benchmark_sr(data, output, protocol_of(protocol), methods.split(","), options, report), output)


@app.command("restore")
def restore(
    data: Annotated[Path, typer.Option(help="Folder of photographs, as the protocol's globs expect it.")],
    protocol: Annotated[str, typer.Option(help="Overlay with task and domains: a file or a name in configs/.")] = "open-derain",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables.")] = Path("runs/benchmark-restore"),
    methods: Annotated[str, typer.Option(help="Comma-separated.")] = "identity,median,dark-channel,regression,d3gm",
    solver: Annotated[str, typer.Option(help="Solver for d3gm.")] = "posterior",
    steps: Annotated[int, typer.Option(help="Evaluations a draw for d3gm.")] = 1,
    samples: Annotated[int, typer.Option(help="Draws for d3gm.")] = 1,
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
    train: Annotated[bool, typer.Option(help="First train by the protocol's own sources, in OUTPUT/train.")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="With --train: stop training after this long.")] = None,
) -> None:
    """Domain x method by every protocol of restoration; parameters and FLOPs of the network."""
    from mri_d3gm.lab.benchmark import benchmark_restoration, network_size, protocol_of

    if train:
        weights = trained(protocol, data, output / "train", max_minutes)
    options = {"solver": solver, "steps": steps, "samples": samples, "weights": weights}
    keys = protocol_of(protocol)
    show(benchmark_restoration(data, output, keys, methods.split(","), options, report), output)
    parameters, operations = network_size(keys["task"], weights)
    print(f"{parameters / 1e6:.2f} M parameters, {operations / 1e9:.1f} GFLOPs an evaluation of 256 x 256")
