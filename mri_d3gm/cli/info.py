"""mri-d3gm info."""

import json
import sys
from typing import Any

import click

from mri_d3gm.cli.many import named
from mri_d3gm.cli.options import command
from mri_d3gm.errors import InputError
from mri_d3gm.io.scan import Reading


def info(inputs: tuple[str, ...], as_json: bool, key: str | None, axes: str | None, measurement: int | None) -> int:
    """Print what each input holds; the exit code, 1 if some could not be read."""
    from mri_d3gm.tasks.info import facts_of_file

    failed, how = 0, Reading(key=key, axes=axes, measurement=measurement)
    for path in named(inputs):
        try:
            facts = facts_of_file(path, how)
        except InputError as error:
            if len(inputs) == 1:
                raise
            failed += 1
            print(f"mri-d3gm: {error}", file=sys.stderr)
            continue
        print(json.dumps({"file": path, **facts}) if as_json else "\n".join([path, *lines(facts)]))
    return 1 if failed else 0


def lines(facts: dict[str, Any]) -> list[str]:
    """One line a fact, or one for each of several warnings; what is empty is left out."""
    shown = []
    for name, value in facts.items():
        if name == "affine":
            shown += [f"  {'affine' if not row else '':<24}{'  '.join(f'{x:10.4f}' for x in value[row])}" for row in range(3)]
        elif name == "warnings":
            shown += [f"  {'warning':<24}{text}" for text in value]
        elif value not in (None, False, [], ""):
            text = " x ".join(map(str, value)) if isinstance(value, list) else "yes" if value is True else value
            shown.append(f"  {name:<24}{text}")
    return shown


COMMAND = command(
    "info",
    info,
    [
        click.Argument(["inputs"], nargs=-1, required=True, metavar="FILE..."),
        click.Option(["--key"], help="Name of the k-space in a file of several arrays."),
        click.Option(["--axes"], help="Its axes in their order, such as coils,rows,cols."),
        click.Option(["--measurement"], type=click.IntRange(1), help="Which of several in one file, from 1."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one machine-readable line a file."),
    ],
    "What k-space or an image holds, on one screen; nothing is reconstructed.",
)
