"""mri-d3gm reproduce."""

from pathlib import Path
from typing import Annotated

import typer

from mri_d3gm.cli.benchmark import report
from mri_d3gm.errors import InputError

NAMES = "fastmri-8x, fastmri-16x, ixi-sr, rain100h, rain100l, rain200h, o-haze, dense-haze, schedules, tau, lipschitz or basin."


def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAMES)],
    data: Annotated[Path | None, typer.Option(help="Folder of the data set; --dry-run says what it must hold.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; runs/reproduce/NAME if left out.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is needed and do nothing.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_minutes: Annotated[float | None, typer.Option(help="Stop training after this long; the same command goes on.")] = None,
) -> None:
    """Train and measure as the paper did, and set its figures beside ours; what is done is not repeated."""
    from mri_d3gm.lab import reproduce as lab

    lab.overlay_of(name)
    if dry_run:
        print(lab.plan(name, data))
        return
    if data is None or not data.is_dir():
        raise InputError(f"--data {data or ''}: a folder is needed; mri-d3gm reproduce {name} --dry-run says what it must hold")
    print(lab.reproduce(name, data, output or Path("runs/reproduce") / name, report, device=device, max_minutes=max_minutes))
