"""mri-d3gm workflow."""

from pathlib import Path

import click

from mri_d3gm.cli.options import HELP, Group, command
from mri_d3gm.cli.say import say
from mri_d3gm.tasks.workflow import init


def write(folder: Path) -> None:
    """Write the workflow and say what to do next."""
    for path in init(folder):
        say(str(path))
    say(f"edit {folder / 'config.yaml'}, then in {folder}: snakemake --profile profiles/local, or profiles/slurm")


COMMAND = Group(
    "workflow",
    commands=[
        command(
            "init",
            write,
            [click.Argument(["folder"], type=click.Path(path_type=Path), metavar="DIR")],
            "Write Snakefile, config.yaml and profiles for Slurm and for one machine to a new folder.",
        )
    ],
    help="A Snakemake workflow that runs a batch on a cluster; pip install 'mri-d3gm[cluster]' has what it needs.",
    context_settings=HELP,
)
