"""mri-d3gm sr."""

from typing import Any

import click

from mri_d3gm.cli.many import named, run_all
from mri_d3gm.cli.options import JSON, OVERWRITE, command, options_of
from mri_d3gm.settings import SuperResolve


def sr(inputs: tuple[str, ...], output: str, overwrite: bool, as_json: bool, **options: Any) -> int:
    """Super-resolve the inputs and say what came out; the exit code."""
    settings = SuperResolve.of(options)
    from mri_d3gm.tasks import sr as task

    def work(file: str, place: str, progress: Any) -> tuple[str, dict[str, Any], bool]:
        names = task.names_of(file, place)
        record, before = task.superresolve_file(file, settings, names, overwrite=overwrite, progress=progress)
        return str(names.result), record, before

    return run_all(named(inputs), output, work, summary, as_json)


def summary(name: str, record: dict[str, Any]) -> str:
    """One line: file, matrix before and after."""
    before, after = ("x".join(map(str, record[key])) for key in ("MatrixBefore", "Matrix"))
    return f"{name}  {before} to {after}  {record['Seconds']:.1f} s"


COMMAND = command(
    "sr",
    sr,
    [
        click.Argument(["inputs"], nargs=-1, required=True, metavar="VOLUME..."),
        click.Option(["-o", "--output"], default=".", help="Folder, or a name ending in .nii.gz (default .)."),
        *options_of(SuperResolve),
        OVERWRITE,
        JSON,
    ],
    "Low-resolution volume to NIfTI of 2 or 4 times the in-plane matrix, std map, sidecar and preview. VOLUME: NIfTI, NRRD or "
    "DICOM (a folder, a zip or one file of a series).",
)
