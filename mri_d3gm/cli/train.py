"""mri-d3gm train."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="Overlay (JSON or YAML) over the bundle's train.json.")],
    data: Annotated[str, typer.Option(help="Folder that the config's sources are relative to.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Folder to write to [default: runs/train-CONFIG].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this long; the same command goes on later.")] = None,
) -> None:
    """Train the denoiser; a run that was stopped resumes where it was."""
    from mri_d3gm.tasks import train as task

    with drawn_steps() as progress:
        done = task.train(config, data, output, device, max_minutes, progress=progress)
    print(f"{done.weights}: {done.steps} of {done.of} steps" + "; the same command goes on" * done.stopped_early)


@contextmanager
def drawn_steps() -> Iterator[Callable[[int, int, float], None]]:
    """A callback (steps done, of, loss) that draws a bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=None)
        yield lambda step, steps, loss: progress.update(bar, completed=step, total=steps, description=f"loss {loss:.4f}")
