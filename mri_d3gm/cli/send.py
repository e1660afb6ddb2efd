"""mri-d3gm send."""

import sys
from functools import partial
from pathlib import Path

import click

from mri_d3gm.cli.many import with_progress
from mri_d3gm.cli.options import command
from mri_d3gm.cli.say import say


def send(folder: Path, to: str, title: str, listen: int | None) -> int:
    """Send a folder's objects and say what became of them; the exit code, 1 if some were refused."""
    from mri_d3gm.tasks import send as task

    peer = task.peer_of(to)
    done = with_progress(folder.name, False, partial(task.send, folder, peer, title=title, listen=listen))
    for name, reason in done.refused.items():
        say(f"mri-d3gm: {name}: refused: {reason}", file=sys.stderr)
    said = f"; {done.word}" if done.word else ""
    say(f"{folder}  {done.stored} of {done.stored + len(done.refused)} objects stored by {peer}{said}")
    return 1 if done.refused or done.committed is False else 0


COMMAND = command(
    "send",
    send,
    [
        click.Argument(["folder"], type=click.Path(path_type=Path, exists=True), metavar="DIR"),
        click.Option(["--to"], required=True, metavar="AE@HOST:PORT", help="The PACS."),
        click.Option(["--from", "title"], default="MRI-D3GM", metavar="AE", help="AE title that asks (default MRI-D3GM)."),
        click.Option(["--listen"], type=click.IntRange(1, 65535), help="Port at which the PACS may report what it keeps."),
    ],
    "DICOM of this software to a PACS: C-ECHO, C-STORE, and storage commitment where it is offered. DIR: a folder that --dicom "
    "wrote, or one of its series.",
)
