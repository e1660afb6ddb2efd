"""mri-d3gm recon."""

import sys
from typing import Any

import click

from mri_d3gm.cli.many import input_files, run_all
from mri_d3gm.cli.options import JSON, OVERWRITE, command, options_of
from mri_d3gm.settings import Recon


def recon(inputs: tuple[str, ...], output: str, overwrite: bool, as_json: bool, **options: Any) -> int:
    """Reconstruct the inputs and say what came out; the exit code."""
    settings = Recon.of(options)
    from mri_d3gm.io.open_scan import scan_endings

    files = input_files(inputs, scan_endings())
    from mri_d3gm.tasks import recon as task

    def work(file: str, place: str, progress: Any) -> tuple[str, dict[str, Any], bool]:
        names = task.names_of(file, place)
        record, before = task.reconstruct_file(file, settings, names, overwrite=overwrite, progress=progress)
        if not before and not record["PositionKnown"]:
            said = "position and left/right are not in the file; orientation follows fastMRI's convention"
            print(f"{file}: {said}", file=sys.stderr)
        return str(names.result), record, before

    return run_all(files, output, work, summary, as_json)


def summary(name: str, record: dict[str, Any]) -> str:
    """One line: file, R, and the gain over zero-filled where it is known."""
    size = f"{record['Slices']} slice{'s' * (record['Slices'] > 1)}, {record['Coils']} coil{'s' * (record['Coils'] > 1)}"
    text = f"{name}  {size}  R={record['Sampling']['AccelerationAchieved']:g}  {record['Seconds']:.1f} s"
    if "Metrics" in record:
        psnr, before = (record[key]["fastmri-volume"]["psnr"] for key in ("Metrics", "MetricsZeroFilled"))
        text += f"  PSNR {psnr:.2f} dB ({psnr - before:+.2f} over zero-filled)"
    if record["Trust"]["WithheldError"] is not None:
        text += f"  {withheld(record['Trust']['WithheldError'])}"
    return text


def withheld(error: float) -> str:
    """What withheld lines say, in words; error: their energy that was missed, 1 for no better than zero-filling."""
    if error >= 1:
        return "test on withheld lines: no better than leaving them zero"
    return f"test on withheld lines: {100 * (1 - error):.0f} % of their energy predicted"


COMMAND = command(
    "recon",
    recon,
    [
        click.Argument(["inputs"], nargs=-1, required=True, metavar="FILE..."),
        click.Option(["-o", "--output"], default=".", help="Folder, or a name ending in .nii.gz (default .)."),
        *options_of(Recon),
        OVERWRITE,
        JSON,
    ],
    "Undersampled k-space to NIfTI, std map, sidecar and preview. FILE: fastMRI-layout .h5 files, folders of them, or globs.",
)
