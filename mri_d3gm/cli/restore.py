"""mri-d3gm restore."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mri_d3gm.cli.batch import run_all, with_progress
from mri_d3gm.errors import InputError


def restore(
    inputs: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="PNG, JPEG, TIFF, WebP: files, folders or globs.")],
    task: Annotated[str, typer.Option(help="derain or dehaze.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder, or the name of one picture.")],
    method: Annotated[str, typer.Option(help="d3gm, regression, identity, dark-channel (dehaze), median (derain).")] = "d3gm",
    solver: Annotated[str, typer.Option(help="Solver of the reverse process.")] = "posterior",
    steps: Annotated[int, typer.Option(help="Network evaluations a draw.")] = 1,
    samples: Annotated[int, typer.Option(help="Draws, which are averaged.")] = 1,
    tau: Annotated[float | None, typer.Option(help="Noise of the path; the weights' own if left out.")] = None,
    tile: Annotated[int, typer.Option(min=128, help="Side of the tiles that large pictures are estimated in.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable line a picture.")] = False,
) -> None:
    """Rain or haze out of photographs; size, depth, alpha and colour profile stay."""
    from mri_d3gm.io.pictures import picture_files

    options: dict[str, Any] = {
        "task": task,
        "method": method,
        "solver": solver,
        "steps": steps,
        "samples": samples,
        "tau": tau,
        "tile": tile,
        "seed": seed,
        "weights": weights,
        "device": device,
    }
    files = picture_files(inputs)
    if len(files) > 1 and Path(output).suffix and not Path(output).is_dir():
        raise InputError(f"{output}: one name for {len(files)} inputs; -o must be a folder")
    run_all(files, output, lambda path: one(path, output, options, overwrite, as_json))


def one(path: str, output: str, options: dict[str, Any], overwrite: bool, as_json: bool) -> None:
    """Restore one picture, with a progress bar on stderr, and say what came out."""
    from rich.console import Console

    from mri_d3gm.io.pictures import read_picture

    read_picture(path)
    with Console(stderr=True).status("loading"):
        from mri_d3gm.tasks import restore as work
    name = work.output_name(path, output)
    if name.resolve() == Path(path).resolve():
        raise InputError(f"{name}: is the input itself; give another folder to -o")
    if not overwrite and work.already_done(path, name, options):
        print(f"{path}: already done, {name} is up to date", file=sys.stderr)
        return
    result = with_progress(Path(path).name, as_json, lambda report: work.restore(path, output=name, progress=report, **options))
    if as_json:
        print(json.dumps({"output": str(name), **result.record}))
    else:
        print(f"{name}  {result.record['Task']}  {result.record['Seconds']:.1f} s")
