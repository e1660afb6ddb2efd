"""The Snakemake workflow that comes with the package, written to a folder."""

import shutil
from pathlib import Path

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import atomic_folder
from mri_d3gm.shipped import shipped


def init(folder: Path) -> list[Path]:
    """Write Snakefile, configuration, its schema and the profiles to a new folder; their names.

    InputError where the folder is there already or cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder}: is there already; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as temporary:
        shutil.copytree(shipped("workflow"), temporary, dirs_exist_ok=True)
    return sorted(path for path in folder.rglob("*") if path.is_file())
