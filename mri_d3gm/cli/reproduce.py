"""mri-d3gm reproduce."""

from pathlib import Path

import click

from mri_d3gm.cli.benchmark import MAX_MINUTES, data_option, output_option, report
from mri_d3gm.cli.options import command, option_of
from mri_d3gm.errors import InputError
from mri_d3gm.settings import Recon

NAMES = "fastmri-8x, fastmri-16x, ixi-sr, rain100h, rain100l, rain200h, o-haze, dense-haze, schedules, tau, lipschitz or basin."


def reproduce(name: str, data: Path | None, output: Path | None, dry_run: bool, device: str, max_minutes: float | None) -> None:
    """Print the plan, or reproduce and print the report."""
    from mri_d3gm.lab import reproduce as lab

    lab.overlay_of(name)
    if dry_run:
        print(lab.plan(name, data))
        return
    if data is None or not data.is_dir():
        raise InputError(f"--data {data or ''}: a folder is needed; mri-d3gm reproduce {name} --dry-run says what it must hold")
    print(lab.reproduce(name, data, output or Path("runs/reproduce") / name, report, device=device, max_minutes=max_minutes))


COMMAND = command(
    "reproduce",
    reproduce,
    [
        click.Argument(["name"], metavar="NAME"),
        data_option("Folder of the data set; --dry-run says what it must hold.", required=False),
        output_option(None, "Folder; runs/reproduce/NAME if left out"),
        click.Option(["--dry-run"], is_flag=True, help="Say what is needed and do nothing."),
        option_of(Recon, "device"),
        MAX_MINUTES,
    ],
    f"Train and measure as the paper did, and set its figures next to ours; what is done is not repeated. NAME: {NAMES}",
)
