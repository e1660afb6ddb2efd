"""mri-d3gm train."""

from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="Overlay (JSON or YAML) over the bundle's train.json.")],
    data: Annotated[str, typer.Option(help="Folder that the config's sources are relative to.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder for checkpoint, logs and weights.")] = "runs/train",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this long; the same command goes on later.")] = None,
) -> None:
    """Train the denoiser; a run that was stopped resumes where it was."""
    from mri_d3gm.tasks import train as task

    task.train(config, data, output, device, max_minutes)
