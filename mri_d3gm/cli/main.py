"""The command mri-d3gm: arguments in, task called, every error one line and exit code 2."""

import importlib
import sys
import traceback
from typing import NoReturn

import click

from mri_d3gm import __version__
from mri_d3gm.cli.options import HELP, Context
from mri_d3gm.cli.say import say
from mri_d3gm.errors import InputError, memory_said

COMMANDS = {
    "recon": "Undersampled k-space to NIfTI, std map, sidecar and preview.",
    "sr": "Low-resolution volume to NIfTI of 2 or 4 times the in-plane matrix.",
    "restore": "Rain or haze out of photographs.",
    "batch": "Many inputs, on one machine or many, through every fault.",
    "workflow": "A Snakemake workflow that runs a batch on a cluster.",
    "send": "DICOM of this software to a PACS.",
    "serve": "A server beside the scanner: lines in, images out, slice by slice.",
    "stream": "The same through pipes.",
    "info": "What a file holds; nothing is reconstructed.",
    "demo": "Reconstruct the package's own k-space; nothing else is needed.",
    "train": "Train the denoiser; a stopped run resumes where it was.",
    "benchmark": "Tables of methods on data with a reference.",
    "stability": "Discrepancy, cocycle property and sensitivity of the dynamics.",
    "compare": "The same training for every dynamics, as one report.",
    "reproduce": "Train and measure as the paper did, figures side by side.",
}


class Commands(click.Group):
    """Commands that are imported when they are called."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a name, from the module of that name."""
        return importlib.import_module(f"mri_d3gm.cli.{name}").COMMAND if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and summaries, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = click.version_option(__version__, message="mri-d3gm %(version)s")(
    Commands(
        "mri-d3gm",
        no_args_is_help=True,
        help="Undersampled or low-resolution MRI to images, and how far to trust them.",
        context_settings=HELP,
    )
)


def fail(message: str) -> NoReturn:
    """One line on stderr, however narrow the terminal; exit code 2."""
    say(f"mri-d3gm: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Entry point."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name must not end the run
    try:
        with memory_said():
            sys.exit(app.main(prog_name="mri-d3gm", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "mri-d3gm"
        fail(f"{error.format_message()} See {where} --help")
    except InputError as error:
        fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        print("mri-d3gm: interrupted; no half-written file is left", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except Exception:  # a fault of the software
        traceback.print_exc()
        sys.exit(3)  # as 1 says that some inputs could not be used
