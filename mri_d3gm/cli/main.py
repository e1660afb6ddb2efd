"""The command mri-d3gm: arguments in, task called, every error one line and exit code 2."""

import sys
from typing import NoReturn

import typer

from mri_d3gm.cli import benchmark, compare, demo, recon, reproduce, restore, sr, stability, train
from mri_d3gm.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Undersampled or low-resolution MRI to images you can trust.",
)
app.command("recon")(recon.recon)
app.command("sr")(sr.sr)
app.command("restore")(restore.restore)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("stability")(stability.stability)
app.command("reproduce")(reproduce.reproduce)
app.add_typer(benchmark.app, name="benchmark")


def fail(message: str) -> NoReturn:
    """One line on stderr, however narrow the terminal; exit code 2."""
    print(f"mri-d3gm: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Entry point."""
    try:
        app()
    except InputError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("mri-d3gm: interrupted; no half-written file is left", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}")
