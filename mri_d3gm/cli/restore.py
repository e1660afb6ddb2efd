"""mri-d3gm restore."""

from functools import partial
from typing import Any

import click

from mri_d3gm.cli.many import input_files, result_of_each
from mri_d3gm.cli.options import options_of, over_files
from mri_d3gm.settings import Restore


def restore(inputs: tuple[str, ...], output: str, overwrite: bool, as_json: bool, **options: Any) -> int:
    """Restore the inputs and say what came out; the exit code."""
    from mri_d3gm.io.images.pictures import FORMATS

    settings = Restore.of(options)
    files = input_files(inputs, tuple(FORMATS))
    from mri_d3gm.tasks.restore import names_of, restore_file

    work = partial(restore_file, settings=settings, overwrite=overwrite)
    return result_of_each(files, output, work, names_of, summary, as_json)


def summary(name: str, record: dict[str, Any]) -> str:
    """One line: file, task, and where it is so that nothing was taken for rain or haze."""
    weather = {"derain": "rain", "dehaze": "haze"}[record["Task"]]
    said = f"  left as it is: nothing that {record['Method']} takes for {weather}" if record["Unchanged"] else ""
    return f"{name}  {record['Task']}  {record['Seconds']:.1f} s{said}"


def _required(option: click.Parameter) -> click.Parameter:
    if isinstance(option, click.Option) and option.name == "task":
        option.required, option.default, option.help = True, None, str(option.help).partition(" (default")[0]
    return option


COMMAND = over_files(
    restore,
    "IMAGE...",
    map(_required, options_of(Restore)),
    "Rain or haze out of photographs; size, depth, alpha, profile and EXIF stay. IMAGE: PNG, JPEG, TIFF or WebP files, "
    "folders of them, or globs.",
    click.Option(["-o", "--output"], required=True, help="Folder, or the name of one picture."),
)
