"""One command over many inputs: a bad one is reported and does not stop the rest."""

import glob
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mri_d3gm.cli.say import say
from mri_d3gm.errors import InputError, memory_said, printable
from mri_d3gm.io.dicom.dicom_series import series_of
from mri_d3gm.io.sidecar import VOLUME, is_result, without_results
from mri_d3gm.metrics.table import Row
from mri_d3gm.runs.names import Outputs, folders, names_a_file

BESIDE = (".json", ".bval", ".bvec", ".hdr")  # what describes the file of the same name


def named(patterns: Sequence[str]) -> Sequence[str]:
    """The names themselves; InputError where one is empty."""
    if not all(patterns):
        raise InputError("an empty name was given; is a variable of the shell unset?")
    return patterns


def with_endings(files: Iterable[str | Path], endings: Sequence[str]) -> list[str]:
    """Those with these endings, sorted, but for hidden ones, as macOS leaves beside others."""
    visible = (Path(file) for file in files if not Path(file).name.startswith("."))
    return sorted(str(file) for file in visible if file.name.lower().endswith(tuple(endings)))


def input_files(
    patterns: Sequence[str],
    endings: Sequence[str],
    *,
    folders_too: bool = False,
    results_too: bool = False,
    option: str | None = None,
) -> list[str]:
    """Files, folders (their files with these endings) and globs to a list of files, each once; a missing file is kept, to be
    reported. Of a glob that finds no such endings all is taken, as a file's content says what it is.

    Of folders and globs what this software wrote is left out, unless results_too; option: as in `is_result`. folders_too: a
    folder without such files is an input itself, as one of a DICOM series is.
    """
    files: dict[str, str] = {}
    for pattern in named(patterns):
        path = Path(pattern)
        found: list[str] = []
        if path.is_dir():
            found = with_endings(path.iterdir(), endings)
            if not found and not folders_too:
                raise InputError(f"{pattern}: no {' or '.join(endings)} files in this folder")
            if found:
                _say_left_out(path, found)
        elif glob.has_magic(pattern) and not path.exists():
            every = sorted(glob.glob(pattern, recursive=True))
            if not every:
                raise InputError(f"{pattern}: no file matches")
            series = filter(os.path.isdir, every if folders_too else [])
            found = sorted({*with_endings(every, endings), *series}) or every
        others = found if results_too else without_results(pattern, found, option)
        for file in others or [pattern]:
            files.setdefault(os.path.abspath(file), file)
    return list(files.values())


def _say_left_out(folder: Path, found: Sequence[str]) -> None:
    """How many visible files and folders of a folder are no inputs, in one line.

    What this software wrote and what describes an input is not counted.
    """
    files, names = set(found), {Path(file).name for file in found}
    stems = names | {VOLUME.sub("", name) for name in names} | {Path(name).stem for name in names}
    rest = [path for path in folder.iterdir() if not path.name.startswith(".") and str(path) not in files]
    rest = [path for path in rest if not (path.suffix.lower() in BESIDE and path.stem in stems) and not is_result(path)]
    within, others = sum(path.is_dir() for path in rest), sum(path.is_file() for path in rest)
    counts = [f"{count} {name}{'s' * (count > 1)}" for count, name in ((within, "sub-folder"), (others, "other file")) if count]
    if counts:
        glob_all = "; give the names, or a glob such as '**/*', for those" if within else ""
        say(f"mri-d3gm: {folder}: {' and '.join(counts)} left out{glob_all}", file=sys.stderr)


def once_a_series(files: Sequence[str]) -> list[str]:
    """The first file of each DICOM series in a folder, which stands for all, and what is no DICOM file.

    How many are left out is said in one line.
    """
    firsts: dict[tuple[str, str], str] = {}
    for file in files:
        series = series_of(Path(file)) if len(files) > 1 else ""
        firsts.setdefault((os.path.dirname(os.path.abspath(file)), series) if series else (file, ""), file)
    more = len(files) - len(firsts)
    if more:
        said = f"{more} of {len(files)} files belong to a DICOM series that another one stands for"
        say(f"mri-d3gm: each series is taken once: {said}", file=sys.stderr)
    return list(firsts.values())


def each_of(files: Sequence[str], work: Callable[[int, str], None]) -> int:
    """work(number, file) for each input; how many could not be used, which is said of each in one line.

    Where there is one input its error is raised.
    """
    failed = 0
    for number, file in enumerate(files):
        try:
            with memory_said(file):
                work(number, file)
        except Exception as error:
            if len(files) == 1:
                raise
            failed += 1
            said = printable(" ".join(str(error).split()))
            if not isinstance(error, InputError | OSError):
                said = f"a fault of the software, {type(error).__name__}: {said}; given alone it shows where"
            say(f"mri-d3gm: {said if printable(file) in said else f'{file}: {said}'}", file=sys.stderr)
    return failed


def result_of_each(
    files: Sequence[str],
    output: str,
    work: Callable[..., tuple[Row, bool]],
    names_of: Callable[[str, str], Outputs],
    summary: Callable[[str, Row], str],
    as_json: bool,
) -> int:
    """`work` for each input with progress on stderr, and a line of what came out; the exit code, 1 if some could not be used.

    work(file, names=..., progress=...) gives the record, and whether it was there already. Where there is one input its error
    is raised.
    """
    if len(files) > 1 and names_a_file(output):
        raise InputError(f"{output}: one name for {len(files)} inputs; -o must be a folder")
    places = [place if place == output else os.path.join(place, "") for place in folders(files, output)]

    def one(number: int, file: str) -> None:
        names = names_of(file, places[number])
        name = str(names.result)
        record, before = with_progress(Path(file).name, as_json, partial(work, file, names=names))
        if before:
            say(f"{file}: already done, {name} is up to date", file=sys.stderr)
        elif record.get("PositionKnown") is False:
            said = "position and left/right are not in the file; orientation follows fastMRI's convention"
            say(f"{file}: {said}", file=sys.stderr)
        if "Operator" in record and not before:
            say(f"{file}: operator {record['Operator']['Asked']}: {record['Operator']['Said']}", file=sys.stderr)
        for warning in record.get("Warnings") or []:
            say(f"{file}: warning: {warning}", file=sys.stderr)
        if as_json:
            print(json.dumps({"output": name, **record}))
        elif not before:
            say(summary(name, record))

    failed = each_of(files, one)
    if failed:
        say(f"mri-d3gm: {failed} of {len(files)} inputs could not be used", file=sys.stderr)
    return 1 if failed else 0


def with_progress(name: str, hidden: bool, work: Callable[..., Any]) -> Any:
    """Run `work(progress=...)` beneath a bar on stderr, which is hidden for pipes and where asked."""
    if hidden or not sys.stderr.isatty():
        return work(progress=lambda done, total: None)
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(escape(printable(name)), total=None)
        return work(progress=lambda done, total: progress.update(bar, completed=done, total=total))
