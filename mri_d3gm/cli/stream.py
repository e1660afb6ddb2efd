"""mri-d3gm stream."""

import sys
from typing import Any

from mri_d3gm.cli.options import command
from mri_d3gm.cli.serve import SHARED, limits_of, model_of, say
from mri_d3gm.errors import InputError


def stream(message: int, held: int, **options: Any) -> int:
    """Reconstruct what comes from stdin; the exit code."""
    if sys.stdin.isatty() or sys.stdout.isatty():
        raise InputError("stream: reads MRD's streaming protocol from a pipe and writes it to one: mri-d3gm stream < in > out")
    model = model_of(**options)
    from mri_d3gm.tasks.listen import piped

    piped(sys.stdin.buffer, sys.stdout.buffer, model, limits_of(message, held), say)
    return 0


COMMAND = command(
    "stream",
    stream,
    SHARED,
    "What serve does, for one client, through pipes: mri-d3gm stream < in > out.",
)
