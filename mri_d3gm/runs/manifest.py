"""What a batch is to do: jobs from a table, a folder or a BIDS data set, checked before anything runs."""

import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mri_d3gm import __version__
from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import write_text
from mri_d3gm.io.images.pictures import FORMATS
from mri_d3gm.io.open_image import volume_endings
from mri_d3gm.io.open_scan import scan_endings
from mri_d3gm.io.sidecar import is_result
from mri_d3gm.runs.names import DESC, Outputs, folders, make_folder, picture_names, volume_names, volume_stem, without_ending
from mri_d3gm.settings import TASKS, Settings, flag_of, type_of

TABLE, DESCRIPTION = "batch.tsv", "dataset_description.json"
COLUMNS = ("run", "input", "output")
EMPTY = ("", "n/a")  # cells of a table that leave a setting as it is
UNFIT = re.compile("[\t\r\n\ud800-\udfff]")  # for a cell: surrogates stand for bytes that are no text
MOST = 1_000_000
IMAGES = (".nii", ".nii.gz")
SPEED = ("device", "threads")  # options that results do not depend on
PATHS = ("coil_maps", "target", "template", "weights")  # options that name files, relative to the table that they stand in


class Job(NamedTuple):
    """The task to run on one input, the name of its result, and its options in text by name."""

    run: str
    input: str
    result: str
    options: tuple[tuple[str, str], ...]

    @property
    def names(self) -> Outputs:
        """Names of all that it writes."""
        if self.run == "restore":
            return picture_names(self.input, self.result, tuple(FORMATS))
        return volume_names(self.input, self.result, self.run)


def read_jobs(manifest: str, output: str, run: str, options: Mapping[str, str]) -> list[Job]:
    """The jobs of a table (TSV), a folder with its folders, or a BIDS data set.

    run: the task where a table has no column `run`. options: for all, in text by name; the columns of a table are for its rows.
    A table's inputs are relative to its folder, its outputs to `output`. InputError, in one line, for what cannot be done.
    """
    path = Path(manifest)
    if path.is_dir():
        if path.resolve() == Path(output).resolve():
            raise InputError(f"{output}: is the folder of the inputs; give -o another one")
        found = _bids(path, run) if (path / DESCRIPTION).is_file() else _folder(path, Path(output), run)
        rows: Iterable[dict[str, str]] = ({"run": run, "input": one, "output": to} for one, to in found)
    else:
        rows = _table(path, run)
    jobs = [_job(row, output, options) for row in rows]
    if not jobs:
        raise InputError(f"{manifest}: no inputs for {run} in it")
    _check(manifest, jobs, named=not path.is_dir())
    return jobs


def settings_of(job: Job) -> Settings:
    """The settings of a job; InputError for an unknown option or value."""
    kind = TASKS[job.run]
    return kind.of({name: _value(kind, name, text) for name, text in job.options})


def frozen(jobs: Sequence[Job], output: str, bids: bool) -> None:
    """Keep the jobs as a table in the folder of the results, for who asks for their state; it may grow.

    InputError where it holds a batch that this one is neither part of nor a growth of.
    """
    table = Path(output, TABLE)
    make_folder(table)
    if table.exists():
        now, before = {job.result: job for job in jobs}, {job.result: job for job in read_frozen(output)}
        changed = {result: said for result in now.keys() & before if (said := _otherwise(before[result], now[result]))}
        if changed or not (now.keys() <= before.keys() or now.keys() >= before.keys()):
            first = min(changed or before.keys() - now)
            said = f"a batch with {changed[first]}" if changed else "another batch"
            raise InputError(
                f"{output}: holds the results of {said} ({before[first].input}); give another -o, or remove {table}"
            )
        if len(now) <= len(before):
            return
    names = sorted({name for job in jobs for name, _ in job.options})
    text = io.StringIO()
    lines = csv.writer(text, "excel-tab", lineterminator="\n")
    lines.writerow([*COLUMNS, *names])
    for job in jobs:
        given = dict(job.options)
        place = os.path.relpath(job.result, output)
        lines.writerow([job.run, job.input, place, *(given.get(name, EMPTY[1]) for name in names)])
    write_text(table, text.getvalue())
    if bids:
        _describe(Path(output))


def _otherwise(before: Job, now: Job) -> str:
    """What a job has that decides its result and that it had not before, in words; "" if nothing."""
    old, new = (dict(job.options) for job in (before, now))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name) and name not in SPEED)
    return (
        "other inputs" if before[:3] != now[:3] else f"other options, --{', --'.join(names).replace('_', '-')}" if names else ""
    )


def read_frozen(output: str) -> list[Job]:
    """The jobs that a folder of results is of; InputError where there are none."""
    if not Path(output, TABLE).is_file():
        raise InputError(f"{output}: holds no {TABLE}, so it is no folder that a batch wrote to")
    return [_job(row, output, {}) for row in _table(Path(output, TABLE), "recon")]


def is_bids(manifest: str) -> bool:
    """Whether it is a BIDS data set."""
    return Path(manifest, DESCRIPTION).is_file()


def jobs_of_shard(jobs: Sequence[Job], index: int, count: int) -> Sequence[Job]:
    """Those of a shard, `index` of `count` from 1: every count-th job."""
    return jobs[index - 1 :: count]


def _job(row: Mapping[str, str], output: str, options: Mapping[str, str]) -> Job:
    run, source = row["run"], os.path.abspath(row["input"])
    given = dict(options) | {name: text for name, text in row.items() if name not in COLUMNS}
    given |= {name: os.path.abspath(given[name]) for name in PATHS if name in given}
    folder, name = os.path.split(row["output"])
    place = os.path.join(folder, name or _result(source, "", run))  # a folder, whatever its name ends in
    return Job(run, source, _result(source, os.path.normpath(os.path.join(output, place)), run), tuple(sorted(given.items())))


def _result(source: str, place: str, run: str) -> str:
    """The name of an input's result in a folder, or under a name of its own."""
    if run == "restore":
        return str(picture_names(source, place, tuple(FORMATS)).result)
    return "".join(volume_stem(source, place, run))


def _table(path: Path, run: str) -> Iterator[dict[str, str]]:
    """Rows of a table, with `run`, an `input` relative to its folder, and an `output`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text in UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}; a table (TSV), a folder or a BIDS data set is needed") from error
    first, *rows = (line.rstrip("\r") for line in text.split("\n"))
    header = [cell.strip() for cell in _cells(first)]
    while header and not header[-1]:  # which spreadsheets leave
        header.pop()
    if "input" not in header:
        raise InputError(f"{path}: has no column input; the first line of a table names its columns, with tabs between them")
    if len(set(header)) < len(header):
        raise InputError(f"{path}: two columns are called {Counter(header).most_common(1)[0][0]}")
    if len(rows) > MOST:
        raise InputError(f"{path}: {len(rows)} rows; at most {MOST}, in several tables")
    read = []
    for number, line in enumerate(rows, 2):
        cells = _cells(line)
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        if line.strip() and len(cells) != len(header):
            raise InputError(f"{path}: line {number} has {len(cells)} cells, the first has {len(header)}")
        if line.strip():
            row = dict(zip(header, cells, strict=True))
            if row["input"] in EMPTY:
                raise InputError(f"{path}: line {number} names no input")
            given = {name: cell for name, cell in row.items() if cell not in EMPTY}
            named = {name: os.path.join(path.parent, given[name]) for name in ("input", *PATHS) if name in given}
            read.append({"run": run} | given | named)
    _check_columns(path, header, read)
    places = folders([row["input"] for row in read], "")
    for row, place in zip(read, places, strict=True):
        yield {"output": os.path.join(place, "")} | row


def _cells(line: str) -> list[str]:
    """The cells of a line, some of them in quotes, as spreadsheets write what holds a comma."""
    try:
        return next(csv.reader([line], "excel-tab"), [])
    except csv.Error:  # of a cell that is too long
        return [line]


def _check_columns(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """InputError for columns that are no settings of the tasks whose rows have a value there, or of none of them."""
    used: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        used[row["run"]].update(row)
    for task, names in sorted(used.items()):
        if task not in TASKS:
            raise InputError(f"{path}: column run: {task} is no task; one of {', '.join(TASKS)}")
        known = (*COLUMNS, *TASKS[task].__dataclass_fields__)
        ours = {name for name in header if name in names or not any(name in one for one in used.values())}
        if unknown := [name for name in header if name in ours and name not in known]:
            raise InputError(f"{path}: unknown column {unknown[0]}; {', '.join(known)} are known to {task}")


def missing(jobs: Sequence[Job]) -> list[str]:
    """Inputs that are not there, as links in a folder may lead nowhere."""
    return [job.input for job in jobs if not os.path.exists(job.input)]


def _check(manifest: str, jobs: Sequence[Job], *, named: bool) -> None:
    """InputError for results of one name, options that cannot be and, where a table has named them, inputs that are missing."""
    if named and (gone := missing(jobs)):
        raise InputError(f"{manifest}: {len(gone)} of {len(jobs)} inputs are not there; the first is {gone[0]}")
    for option, name in sorted({one for job in jobs for one in job.options if one[0] in PATHS}):
        if not os.path.exists(name):
            raise InputError(f"{manifest}: {option}: {name} is not there")
    odd = next((text for job in jobs for text in (job.input, *dict(job.options).values()) if UNFIT.search(text)), None)
    if odd is not None:
        raise InputError(f"{manifest}: {odd}: a tab, a line end or bytes that are no text in a name; no table can hold it")
    results = Counter(job.result for job in jobs)
    (name, count) = results.most_common(1)[0]
    if count > 1:
        twice = next(job.input for job in jobs if job.result == name)
        raise InputError(
            f"{manifest}: {count} inputs write {name}, one is {twice}; a table with a column output keeps them apart"
        )
    inputs = {job.input for job in jobs}
    if overwritten := sorted(inputs & {os.path.abspath(result) for result in results}):
        raise InputError(f"{overwritten[0]}: would be written over by its own result; give -o another folder")
    for job in {(job.run, job.options): job for job in jobs}.values():
        try:
            settings_of(job)
        except InputError as error:
            raise InputError(f"{manifest}: {job.input}: {error}") from error


def _folder(folder: Path, output: Path, run: str) -> Iterator[tuple[str, str]]:
    """Files of a folder and its folders for a task, and where the results go: to folders of the same names.

    Hidden folders, links to folders and results are left out, but for images of recon, which sr goes on from.
    """
    inside: dict[str, list[str]] = defaultdict(list)
    own = output.resolve()
    for place, below, files in os.walk(folder, onerror=_refuse):
        inside_it = (name for name in below if not name.startswith(".") and Path(place, name).resolve() != own)
        below[:] = sorted(name for name in inside_it if not Path(place, name, TABLE).exists())
        taken = (os.path.join(place, name) for name in sorted(files) if _taken(name, run))
        inside[place] += [file for file in taken if not is_result(file, "scale" if run == "sr" else None)]
    for place, found in inside.items():
        yield from zip(found, [f"{to}{os.sep}" for to in folders(found, os.path.relpath(place, folder))], strict=True)


def _refuse(error: OSError) -> None:
    """InputError for a folder that cannot be read, whose files would be missing without a word."""
    raise InputError(f"{error.filename}: cannot be read: {error.strerror}; a table names inputs one by one") from error


def _bids(folder: Path, run: str) -> Iterator[tuple[str, str]]:
    """Images of `anat` for sr, raw data of subjects and of sourcedata for recon, and names of BIDS derivatives."""
    for place, below, files in os.walk(folder, onerror=_refuse):
        below[:] = sorted(name for name in below if name != "derivatives" and not name.startswith("."))
        parts = [part for part in Path(place).relative_to(folder).parts if part != "sourcedata"]
        if not parts or not parts[0].startswith("sub-") or (run == "sr" and parts[-1] != "anat"):
            continue
        for name in sorted(files):
            if _taken(name, run) and not (run == "sr" and not name.endswith(IMAGES)):
                levels = [part for part in parts if part.startswith(("sub-", "ses-"))]
                yield os.path.join(place, name), os.path.join(*levels, "anat", _derived(name, levels, run))


def _derived(name: str, levels: Sequence[str], run: str) -> str:
    """The name of a derivative: the entities and the suffix of a BIDS name, else those of its folders and `MR`."""
    stem = without_ending(name)
    if re.fullmatch(r"sub-[0-9A-Za-z]+(_[0-9A-Za-z]+-[0-9A-Za-z+]+)*_[0-9A-Za-z]+", stem):
        entities, _, suffix = stem.rpartition("_")
    else:
        entities, suffix = "_".join([*levels, f"acq-{re.sub('[^0-9A-Za-z]', '', stem)}"]), "MR"
    return f"{entities}{DESC}{run}_{suffix}.nii.gz"


def _taken(name: str, run: str) -> bool:
    endings: dict[str, Callable[[], Sequence[str]]] = {
        "recon": scan_endings,
        "sr": volume_endings,
        "restore": lambda: tuple(FORMATS),
    }
    return not name.startswith(".") and name.lower().endswith(tuple(endings[run]()))


def _value(kind: type[Settings], name: str, text: str) -> Any:
    """An option from its text; what is none of its type is left to the settings to refuse."""
    if name not in kind.__dataclass_fields__:
        return text
    try:
        if type_of(kind, name) is bool:
            return {"true": True, "false": False}[text.lower()]
        return type_of(kind, name)(text)
    except (ValueError, KeyError):
        flag = flag_of(kind.__dataclass_fields__[name])
        raise InputError(f"{flag} {text}: must be {'true or false' if type_of(kind, name) is bool else 'a number'}") from None


def _describe(output: Path) -> None:
    """What makes a folder a BIDS derivative."""
    made = {"Name": "mri-d3gm", "Version": __version__, "Description": "research only, not for diagnosis"}
    about = {"Name": "mri-d3gm", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "GeneratedBy": [made]}
    texts = {DESCRIPTION: json.dumps(about, indent=2), ".bidsignore": f"*_job.json\n*.html\n*.png\n{TABLE}"}
    for name, text in texts.items():
        write_text(output / name, text + "\n")
