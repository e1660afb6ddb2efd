"""mri-d3gm train."""

from inspect import signature
from pathlib import Path
from typing import Any

import click

from mri_d3gm.cli.benchmark import MAX_MINUTES, data_option, output_option
from mri_d3gm.cli.many import with_progress
from mri_d3gm.cli.options import command, option_of
from mri_d3gm.settings import Recon


def train(config: str, data: Path, output: Path | None, device: str, max_minutes: float | None) -> None:
    """Train beneath a bar of the steps."""
    from mri_d3gm.tasks import train as task

    folder = output or (task.default_folder(config) if hasattr(task, "default_folder") else "runs/train")
    tells = "progress" in signature(task.train).parameters

    def work(progress: Any) -> None:
        told = {"progress": lambda step, steps, loss: progress(step, steps)} if tells else {}
        task.train(config, str(data), str(folder), device, max_minutes, **told)

    with_progress(Path(config).stem, not tells, work)


COMMAND = command(
    "train",
    train,
    [
        click.Argument(["config"], metavar="CONFIG"),
        data_option("Folder that the config's sources are relative to."),
        output_option(None, "Folder for checkpoint, logs and weights; one named by CONFIG if left out"),
        option_of(Recon, "device"),
        MAX_MINUTES,
    ],
    "Train the denoiser; a run that was stopped resumes where it was. CONFIG: overlay (JSON or YAML) over the bundle's "
    "train.json, a file or a name in configs/.",
)
