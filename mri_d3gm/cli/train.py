"""mri-d3gm train."""

from pathlib import Path
from typing import Any

import click

from mri_d3gm.cli.benchmark import MAX_MINUTES, data_option, output_option
from mri_d3gm.cli.many import with_progress
from mri_d3gm.cli.options import command, option_of
from mri_d3gm.cli.say import say
from mri_d3gm.settings import Recon


def train(config: str, data: Path, output: Path | None, device: str, max_minutes: float | None) -> None:
    """Train beneath a bar of the steps, and say where the weights are; of several processes the first does."""
    from mri_d3gm.tasks import train as task
    from mri_d3gm.training.processes import leads

    folder = output or task.default_folder(config)

    def work(progress: Any) -> Any:
        def told(step: int, steps: int, loss: float) -> None:
            progress(step, steps)

        return task.train(config, str(data), str(folder), device, max_minutes, progress=told)

    done = with_progress(Path(config).stem, not leads(), work)
    more = "; the same command goes on" if done.stopped_early else ""
    if leads():
        say(f"{done.weights}: {done.steps} of {done.of} steps{more}")


COMMAND = command(
    "train",
    train,
    [
        click.Argument(["config"], metavar="CONFIG"),
        data_option("Folder that the config's sources are relative to."),
        output_option(None, "Folder for checkpoint, logs and weights; runs/train-CONFIG if left out"),
        option_of(Recon, "device"),
        MAX_MINUTES,
    ],
    "Train the denoiser; a run that was stopped resumes where it was. CONFIG: overlay (JSON or YAML) over the bundle's "
    "train.json, a file or a name in configs/.",
)
