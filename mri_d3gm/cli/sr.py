"""mri-d3gm sr."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mri_d3gm.cli.batch import run_all, with_progress


def sr(
    inputs: Annotated[
        list[str], typer.Argument(metavar="VOLUME...", help="NIfTI, NRRD or DICOM (folder, zip or one file of a series).")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder, or a name ending in .nii.gz.")] = ".",
    scale: Annotated[int, typer.Option(help="2 or 4, in plane.")] = 4,
    operator: Annotated[
        str, typer.Option(help="truncation: voxels are k-space's centre, kept exactly; unknown: nothing is assumed.")
    ] = "truncation",
    series: Annotated[str | None, typer.Option(help="Number, UID or description of one DICOM series.")] = None,
    slice_axis: Annotated[int | None, typer.Option(help="0, 1 or 2; found from the spacing if left out.")] = None,
    slices: Annotated[str | None, typer.Option(help="a:b or one number.")] = None,
    method: Annotated[str, typer.Option(help="d3gm, regression, sinc, nearest, linear, cubic, lanczos.")] = "d3gm",
    solver: Annotated[str, typer.Option(help="Solver of the reverse process.")] = "posterior",
    steps: Annotated[int, typer.Option(help="Network evaluations a draw.")] = 1,
    samples: Annotated[int, typer.Option(help="Draws; more than one writes the std map.")] = 4,
    tau: Annotated[float | None, typer.Option(help="Noise of the path; the weights' own if left out.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable line a volume.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what is done.")] = False,
) -> None:
    """Low-resolution volume to NIfTI of 2 or 4 times the in-plane matrix, uncertainty map, sidecar and preview."""
    options: dict[str, Any] = {
        "scale": scale,
        "operator": operator,
        "series": series,
        "slice_axis": slice_axis,
        "slices": slices,
        "method": method,
        "solver": solver,
        "steps": steps,
        "samples": samples,
        "tau": tau,
        "seed": seed,
        "weights": weights,
        "device": device,
    }
    run_all(inputs, output, lambda path: one(path, output, options, overwrite, as_json, verbose))


def one(path: str, output: str, options: dict[str, Any], overwrite: bool, as_json: bool, verbose: bool) -> None:
    """Super-resolve one volume, with a progress bar on stderr, and say what came out."""
    from rich.console import Console

    from mri_d3gm.io.open_image import open_image

    open_image(path, options["series"])
    if verbose:
        print(f"{path}: {options}", file=sys.stderr)
    with Console(stderr=True).status("loading"):
        from mri_d3gm.tasks import sr as task
    names = task.output_names(path, output)
    if not overwrite and task.already_done(path, names, options):
        print(f"{path}: already done, {names.volume} is up to date", file=sys.stderr)
        return
    result = with_progress(
        Path(path).name, as_json, lambda report: task.superresolve(path, output=names, progress=report, **options)
    )
    for warning in result.record["Warnings"]:
        print(f"{path}: warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps({"output": str(names.volume), **result.record}))
        return
    before, after = ("x".join(map(str, result.record[key])) for key in ("MatrixBefore", "Matrix"))
    print(f"{names.volume}  {before} to {after}  {result.record['Seconds']:.1f} s")
