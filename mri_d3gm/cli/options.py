"""Commands from settings: every option of a task's dataclass becomes one of the command line."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import zip_longest
from typing import Any

import click

from mri_d3gm.settings import Settings, entries, flag_of, type_of

HELP = {"help_option_names": ["-h", "--help"]}
WIDEST, NARROW = 100, 60
WHOLE = "\u2011"  # a hyphen that no line is broken at


class Formatter(click.HelpFormatter):
    """Help as wide as the terminal, in which no name is divided."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(width=min(shutil.get_terminal_size().columns - 1, WIDEST))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names and what they mean; in a narrow terminal long names have lines of their own."""
        whole = [(name, text.replace("-", WHOLE)) for name, text in rows]
        super().write_dl(whole, col_max if self.width >= NARROW else 10, col_spacing)

    def getvalue(self) -> str:
        """The text."""
        return super().getvalue().replace(WHOLE, "-")


class Context(click.Context):
    """Where help is formatted by `Formatter`."""

    formatter_class = Formatter


class Group(click.Group):
    """Commands of one kind, whose help fits any terminal."""

    context_class = Context


BARE: dict[str, tuple[str, tuple[str, ...]]] = {}  # options that may stand without a value: the one meant, and all others


class Command(click.Command):
    """A command whose help fits any terminal, and whose options of BARE take the next word for their value if it is one."""

    context_class = Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With the values that are meant written out."""
        pairs = zip_longest(args, args[1:], fillvalue="")
        meant = [f"{one}={BARE[one][0]}" if one in BARE and after not in BARE[one][1] else one for one, after in pairs]
        return super().parse_args(ctx, meant)


def option_of(settings: type[Settings], name: str) -> click.Option:
    """The click option of one field; what a value may be is left to the settings, so that messages are the same everywhere."""
    entry = next(entry for entry in fields(settings) if entry.name == name)
    choices, kind = entry.metadata["choices"], type_of(settings, name)
    text = " ".join([entry.metadata["help"], f"[{' | '.join(map(str, choices))}]" if choices else ""]).strip()
    if entry.default is not None and kind is not bool:
        text += f" (default {entry.default})"
    flag = flag_of(entry)
    if kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}", name], default=entry.default, help=text)
    made = click.Option([flag, name], type=kind, default=entry.default, help=text, metavar=kind.__name__.upper())
    if entry.metadata["bare"] is not None:
        BARE[flag] = entry.metadata["bare"], choices
    return made


def options_of(settings: type[Settings]) -> list[click.Parameter]:
    """All options of a task that the command line has."""
    return [option_of(settings, entry.name) for entry in entries(settings) if entry.metadata["shown"]]


VOLUME = click.Option(["-o", "--output"], default=".", help="Folder, or a name ending in .nii.gz (default .).")
OVERWRITE = click.Option(["--overwrite"], is_flag=True, help="Replace existing outputs.")
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one machine-readable line an input.")


def command(name: str, run: Callable[..., Any], params: list[click.Parameter], help: str) -> click.Command:
    """A command whose help is plain text."""
    return Command(name, callback=run, params=params, help=help, short_help=help, context_settings=HELP)


def over_files(
    run: Callable[..., int],
    inputs: str,
    options: Iterable[click.Parameter],
    help: str,
    output: click.Option = VOLUME,
) -> click.Command:
    """The command of a task, named as `run` is, that makes one output of each of several inputs."""
    files = click.Argument(["inputs"], nargs=-1, required=True, metavar=inputs)
    return command(run.__name__, run, [files, output, *options, OVERWRITE, JSON], help)
