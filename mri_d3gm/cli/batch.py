"""One command over many inputs: a bad one is reported and does not stop the rest."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from mri_d3gm.errors import InputError


def run_all(files: list[str], output: str, one: Callable[[str], None]) -> None:
    """Call `one` for each input; exit code 1 at the end if some of several could not be used."""
    if len(files) > 1 and output.endswith(".nii.gz"):
        raise InputError(f"{output}: one name for {len(files)} inputs; -o must be a folder")
    failed = 0
    for file in files:
        try:
            one(file)
        except InputError as error:
            if len(files) == 1:
                raise
            failed += 1
            print(f"mri-d3gm: {' '.join(str(error).split())}", file=sys.stderr)
    if failed:
        print(f"mri-d3gm: {failed} of {len(files)} inputs could not be used", file=sys.stderr)
        raise typer.Exit(1)


def with_progress(name: str, hidden: bool, work: Callable[[Callable[[int, int], None]], Any]) -> Any:
    """Run `work(progress)` beneath a bar on stderr, which is hidden for pipes and where asked."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        bar = progress.add_task(name, total=None)
        return work(lambda done, total: progress.update(bar, completed=done, total=total))
