"""mri-d3gm recon."""

import glob
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mri_d3gm.cli.batch import run_all, with_progress
from mri_d3gm.errors import InputError

QUALITIES: dict[str, dict[str, Any]] = {
    "fast": {"steps": 1, "samples": 1, "trust": "off"},
    "default": {"steps": 1, "samples": 4, "trust": "fast"},
    "best": {"steps": 4, "samples": 8, "trust": "full"},
}


def input_files(patterns: list[str]) -> list[str]:
    """Files, folders (their .h5 files) and globs to a list of files; a lone missing file is kept to be reported."""
    files: list[str] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            found = sorted(str(file) for file in path.glob("*.h5"))
            if not found:
                raise InputError(f"{pattern}: no .h5 files in this folder")
            files += found
        elif any(character in pattern for character in "*?[") and not path.exists():
            found = sorted(glob.glob(pattern))
            if not found:
                raise InputError(f"{pattern}: no file matches")
            files += found
        else:
            files.append(pattern)
    return files


def preset(quality: str, **given: Any) -> dict[str, Any]:
    """Steps, samples and trust of a quality's name, those that were given in their place."""
    if quality not in QUALITIES:
        raise InputError(f"--quality {quality}: unknown; one of {', '.join(QUALITIES)}")
    return QUALITIES[quality] | {name: value for name, value in given.items() if value is not None}


def recon(
    inputs: Annotated[list[str], typer.Argument(metavar="FILE...", help="fastMRI-layout .h5 files, folders or globs.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder, or a name ending in .nii.gz.")] = ".",
    accel: Annotated[float | None, typer.Option(help="Undersample a full file at this R (default 8).")] = None,
    mask: Annotated[
        str, typer.Option(help="random, equispaced, equispaced-fraction, magic, gaussian, gaussian-2d, poisson-2d.")
    ] = ("equispaced-fraction"),
    axis: Annotated[str, typer.Option(help="Axis that is undersampled: phase or readout.")] = "phase",
    center_fraction: Annotated[float | None, typer.Option(help="Part of lines in the full centre (default .32/R).")] = None,
    coil_maps: Annotated[str | None, typer.Option(help="HDF5 file with dataset coil_maps.")] = None,
    method: Annotated[str, typer.Option(help="d3gm, regression, zero-filled, pocs, sense, l1-wavelet, tv.")] = "d3gm",
    solver: Annotated[str, typer.Option(help="Solver of the reverse process.")] = "posterior",
    quality: Annotated[str, typer.Option(help="fast, default or best: sets steps, samples and trust.")] = "default",
    steps: Annotated[int | None, typer.Option(help="Network evaluations a draw (default 1).")] = None,
    samples: Annotated[int | None, typer.Option(help="Draws; more than one writes the std map (default 4).")] = None,
    tau: Annotated[float | None, typer.Option(help="Noise of the path; the weights' own if left out.")] = None,
    trust: Annotated[str | None, typer.Option(help="Measured lines withheld as a test: off, fast (default), full.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of mask and draws.")] = 0,
    slices: Annotated[str | None, typer.Option(help="a:b or one number.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[str | None, typer.Option(help="Weights file instead of the shipped one.")] = None,
    crop: Annotated[bool, typer.Option("--crop/--no-crop", help="Remove readout oversampling.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable line a file.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say what is done.")] = False,
) -> None:
    """Undersampled k-space to NIfTI, uncertainty map, sidecar and preview."""
    options: dict[str, Any] = {
        "accel": accel,
        "mask_kind": mask,
        "axis": axis,
        "center_fraction": center_fraction,
        "coil_maps": coil_maps,
        "crop": crop,
        "seed": seed,
        "method": method,
        "solver": solver,
        "tau": tau,
        "slices": slices,
        "weights": weights,
        "device": device,
    } | preset(quality, steps=steps, samples=samples, trust=trust)
    run_all(input_files(inputs), output, lambda file: one(file, output, options, overwrite, as_json, verbose))


def one(file: str, output: str, options: dict[str, Any], overwrite: bool, as_json: bool, verbose: bool) -> None:
    """Reconstruct one file, with a progress bar on stderr, and say what came out."""
    from rich.console import Console

    from mri_d3gm.io.fastmri_h5 import open_scan

    open_scan(file, crop=options["crop"])
    if verbose:
        print(f"{file}: {options}", file=sys.stderr)
    with Console(stderr=True).status("loading"):
        from mri_d3gm.tasks import recon as task
    names = task.output_names(file, output)
    if not overwrite and task.already_done(file, names, options):
        print(f"{file}: already done, {names.volume} is up to date", file=sys.stderr)
        return
    result = with_progress(
        Path(file).name, as_json, lambda report: task.reconstruct(file, output=names, progress=report, **options)
    )
    for warning in result.record["Warnings"]:
        print(f"{file}: warning: {warning}", file=sys.stderr)
    print(f"{file}: position and left/right are not in the file; orientation follows fastMRI's convention", file=sys.stderr)
    if as_json:
        print(json.dumps({"output": str(names.volume), **result.record}))
        return
    print(summary(names.volume, result.record))


def summary(volume: Path, record: dict[str, Any]) -> str:
    """One line: file, R, and the gain over zero-filled where it is known."""
    text = f"{volume}  R={record['Sampling']['AccelerationAchieved']:g}  {record['Seconds']:.1f} s"
    if "Metrics" in record:
        psnr, before = (record[key]["fastmri-volume"]["psnr"] for key in ("Metrics", "MetricsZeroFilled"))
        text += f"  PSNR {psnr:.2f} dB ({psnr - before:+.2f} over zero-filled)"
    if record["Trust"]["WithheldError"] is not None:
        text += f"  withheld lines: {100 * (1 - record['Trust']['WithheldError']):.0f} % predicted"
    return text
