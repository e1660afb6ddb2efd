"""mri-d3gm restore."""

from typing import Any

import click

from mri_d3gm.cli.many import run_all
from mri_d3gm.cli.options import JSON, OVERWRITE, command, options_of
from mri_d3gm.settings import Restore


def restore(inputs: tuple[str, ...], output: str, overwrite: bool, as_json: bool, **options: Any) -> int:
    """Restore the inputs and say what came out; the exit code."""
    from mri_d3gm.io.pictures import picture_files

    settings = Restore.of(options)
    files = picture_files(list(inputs))
    from mri_d3gm.tasks import restore as work_on

    def work(file: str, place: str, progress: Any) -> tuple[str, dict[str, Any], bool]:
        names = work_on.names_of(file, place)
        record, before = work_on.restore_file(file, settings, names, overwrite=overwrite, progress=progress)
        return str(names.result), record, before

    return run_all(files, output, work, lambda name, record: f"{name}  {record['Task']}  {record['Seconds']:.1f} s", as_json)


def _required(option: click.Parameter) -> click.Parameter:
    if isinstance(option, click.Option) and option.name == "task":
        option.required, option.default, option.help = True, None, str(option.help).partition(" (default")[0]
    return option


COMMAND = command(
    "restore",
    restore,
    [
        click.Argument(["inputs"], nargs=-1, required=True, metavar="IMAGE..."),
        click.Option(["-o", "--output"], required=True, help="Folder, or the name of one picture."),
        *map(_required, options_of(Restore)),
        OVERWRITE,
        JSON,
    ],
    "Rain or haze out of photographs; size, depth, alpha and colour profile stay. IMAGE: PNG, JPEG, TIFF or WebP files, folders "
    "of them, or globs.",
)
