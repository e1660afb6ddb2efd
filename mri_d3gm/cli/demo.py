"""mri-d3gm demo."""

from pathlib import Path

import click

from mri_d3gm.cli.benchmark import output_option
from mri_d3gm.cli.many import with_progress
from mri_d3gm.cli.options import command
from mri_d3gm.cli.say import say
from mri_d3gm.settings import Recon


def demo(output: Path, accel: float) -> None:
    """Reconstruct the demo and say where everything is."""
    settings = Recon(accel=accel, report=True)
    from mri_d3gm.tasks.demo import run_demo

    source, names, record = with_progress("demo", False, lambda progress: run_demo(output, settings, progress))
    psnr, before = (record[key]["fastmri-volume"]["psnr"] for key in ("Metrics", "MetricsZeroFilled"))
    say(f"k-space  {source}")
    say(f"NIfTI    {names.result}")
    say(f"std      {names.std}")
    say(f"picture  {names.preview}")
    say(f"report   {names.report}")
    achieved = record["Sampling"]["AccelerationAchieved"]
    say(f"R = {achieved:g}: PSNR {psnr:.2f} dB, {psnr - before:+z.2f} dB over zero-filled")


COMMAND = command(
    "demo",
    demo,
    [
        output_option("mri-d3gm-demo", "Folder for k-space, NIfTI, picture and report"),
        click.Option(["--accel"], type=float, default=8.0, help="Acceleration (default 8)."),
    ],
    "Reconstruct real anatomy from the package's own k-space; nothing else is needed.",
)
