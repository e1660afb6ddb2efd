"""mri-d3gm serve."""

import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from mri_d3gm.cli.options import command, option_of
from mri_d3gm.cli.say import say as line
from mri_d3gm.settings import Recon

if TYPE_CHECKING:
    from mri_d3gm.tasks.listen import Limits
    from mri_d3gm.tasks.serve import Model

OWN = ("quality", "method", "steps", "samples", "trust", "solver", "seed", "crop", "weights", "device", "threads")
SHARED: list[click.Parameter] = [
    *(option_of(Recon, name) for name in OWN),
    click.Option(["--std/--no-std"], default=True, help="Send the std map as a second series."),
    click.Option(["--zero-filled/--no-zero-filled"], default=False, help="Send the zero-filled image as a third."),
    click.Option(["--message"], type=click.IntRange(1), default=64, metavar="MB", help="Largest message (default 64)."),
    click.Option(["--held"], type=click.IntRange(1), default=4096, metavar="MB", help="Lines held at once (default 4096)."),
]


def say(text: str) -> None:
    """A line of the log."""
    line(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)


def check_package() -> None:
    """InputError where ismrmrd is missing."""
    import mri_d3gm.io.raw.mrd_stream  # noqa: F401


def model_of(std: bool, zero_filled: bool, **options: Any) -> "Model":
    """The model of a command's options."""
    check_package()
    from mri_d3gm.tasks.serve import started

    flags = {"image": True, "std": std, "zero_filled": zero_filled}
    return started(options, tuple(name for name, on in flags.items() if on))


def limits_of(message: int, held: int, connections: int = 1, idle: float = 0.0) -> "Limits":
    """Limits of a command's options; message, held in MB."""
    from mri_d3gm.tasks.listen import Limits

    return Limits(connections, message * 10**6, held * 10**6, idle)


def serve(host: str, port: int, connections: int, idle: float, message: int, held: int, **options: Any) -> int:
    """Answer clients until interrupted; the exit code."""
    check_package()
    from mri_d3gm.tasks.listen import Server, listening

    with listening(host, port) as listener:
        server = Server(listener, model_of(**options), limits_of(message, held, connections, idle), say)
        for number in (signal.SIGINT, signal.SIGTERM):  # a terminal's, and that of who manages services
            signal.signal(number, lambda *_: listener.close())  # nothing raised: it may come while a thread starts
        say(f"listening at {host}:{listener.getsockname()[1]}; research only, not for diagnosis")
        server.run()
        say("interrupted")
    return 0


COMMAND = command(
    "serve",
    serve,
    [
        click.Option(["--port"], type=click.IntRange(0, 65535), default=9002, help="Where to listen (default 9002)."),
        click.Option(["--host"], default="127.0.0.1", help="Address to listen at (default 127.0.0.1, this machine alone)."),
        click.Option(["--connections"], type=click.IntRange(1), default=4, help="At once (default 4)."),
        click.Option(
            ["--idle"], type=click.FloatRange(0.1), default=300, metavar="S", help="Seconds of silence (default 300)."
        ),
        *SHARED,
    ],
    "A server beside the scanner that speaks MRD's streaming protocol: lines in, images out, slice by slice.",
)
