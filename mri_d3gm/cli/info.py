"""mri-d3gm info."""

import json
from typing import Any

import click

from mri_d3gm.cli.many import each_of, input_files, once_a_series
from mri_d3gm.cli.options import command
from mri_d3gm.cli.say import say
from mri_d3gm.io.scan import Reading


def info(inputs: tuple[str, ...], as_json: bool, key: str | None, axes: str | None, measurement: int | None) -> int:
    """Print what each input holds; the exit code, 1 if some could not be read."""
    from mri_d3gm.io.images.pictures import FORMATS
    from mri_d3gm.io.open_image import volume_endings
    from mri_d3gm.io.open_scan import scan_endings
    from mri_d3gm.tasks.info import facts_of_file

    how = Reading(key=key, axes=axes, measurement=measurement)

    def show(_: int, path: str) -> None:
        facts = facts_of_file(path, how)
        say(*([json.dumps({"file": path, **facts})] if as_json else [path, *lines(facts)]))

    endings = (*scan_endings(), *volume_endings(), *FORMATS)
    files = once_a_series(input_files(inputs, endings, folders_too=True, results_too=True))
    return 1 if each_of(files, show) else 0


def lines(facts: dict[str, Any]) -> list[str]:
    """One line a fact, or one for each of several warnings; what is empty is left out."""
    shown, wide = [], max(22, *map(len, facts)) + 2
    for name, value in facts.items():
        if name == "affine":
            shown += [
                f"  {'affine' if not row else '':<{wide}}{'  '.join(f'{x:10.4f}' for x in value[row])}" for row in range(3)
            ]
        elif name == "warnings":
            shown += [f"  {'warning':<{wide}}{text}" for text in value]
        elif value is False and name == "position known":
            shown.append(f"  {name:<{wide}}no")
        elif value not in (None, False, [], ""):
            between = {"values": " to ", "parts": ", "}.get(name, " x ")
            text = between.join(map(str, value)) if isinstance(value, list) else "yes" if value is True else value
            shown.append(f"  {name:<{wide}}{text}")
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
    "What k-space, an image or a picture holds, on one screen; nothing is reconstructed. FILE: files, folders of them, a DICOM "
    "folder, or globs.",
)
