"""What became of each job of a batch: a small JSON file next to its result, and the state of all of them."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any, NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.sidecar import read_sidecar, write_sidecar
from mri_d3gm.runs.claims import DEAD, gone, holder, last_lock, silent_seconds
from mri_d3gm.runs.manifest import Job

DONE, FAILED, RUNNING, MISSING = "done", "failed", "running", "missing"


class State(NamedTuple):
    """What is known of a job: done, failed, running or missing, why or by whom in words, and the row that it left."""

    job: Job
    state: str
    why: str
    row: dict[str, Any]


def row_name(job: Job) -> str:
    """The row of a job."""
    stem = job.result if job.run == "restore" else job.result.removesuffix(".gz").rpartition(".")[0]
    return f"{stem}_job.json"


def row_time(job: Job) -> int:
    """When the row of a job was written, by the clock of the file system in ns; 0 where there is none."""
    try:
        return os.stat(row_name(job)).st_mtime_ns
    except OSError:
        return 0


def left_row(job: Job) -> dict[str, Any]:
    """The row that a job left; empty where there is none that can be read."""
    name = row_name(job)
    try:
        return read_sidecar(name) if os.path.exists(name) else {}
    except InputError:
        return {}


def read_row(job: Job) -> dict[str, Any]:
    """The row of a job that still holds; empty where its result was removed since."""
    row, folder = left_row(job), os.path.dirname(job.result)
    written = row.get("Written")
    there = isinstance(written, list) and all(os.path.exists(os.path.join(folder, one)) for one in written)
    return {} if row.get("State") == DONE and not there else row


def write_row(job: Job, record: dict[str, Any], stamp: str) -> None:
    """Write the row of a job; stamp: `input_stamp` of its input before it was read."""
    write_sidecar(row_name(job), {"Input": os.path.basename(job.input), "Run": job.run, "InputStamp": stamp, **record})


def written_by(job: Job, record: dict[str, Any]) -> list[str]:
    """The names that a run's record says are complete: results, and the sidecar of each."""
    every = [job.names.of_part(part) for part in record.get("Parts") or [""]]
    return [name.name for names in every for name in (names.result, names.sidecar)]


def input_stamp(path: str) -> str:
    """A digest of names, sizes and times of an input, a file or a folder: another once it is replaced."""
    digest = sha256()
    folders = [(path, [], [""])] if os.path.isfile(path) else sorted(os.walk(path))
    for place, _, files in folders:
        for name in sorted(files):
            try:
                found = os.stat(os.path.join(place, name) if name else place)
                digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode(errors="surrogateescape"))
            except OSError:
                digest.update(f"{name}\0gone\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def states(jobs: Iterable[Job], output: str) -> list[State]:
    """The state of every job at this moment."""
    now = _file_system_time(output)
    return [state_of(job, now) for job in jobs]


def state_of(job: Job, now: float) -> State:
    """The state of a job; now: the time of the file system."""
    row = read_row(job)
    lock, number = last_lock(job.result)
    ended = row.get("State") in (DONE, FAILED)
    if ended and (lock is None or gone(lock) or not _later(lock, job)):
        return State(job, row["State"], str(row.get("Why") or ""), row)
    if lock is None:
        return State(job, MISSING, "", row)
    said, silent = holder(lock), silent_seconds(lock, now)
    who = f"process {said.get('Process')} of {said.get('Host')}"
    if gone(lock):
        return State(job, MISSING, f"{who} died at it; {number} so far", row)
    if silent > DEAD:
        return State(job, MISSING, f"{who} gives no sign since {silent:.0f} s", row)
    return State(job, RUNNING, f"{who}, last sign {silent:.0f} s ago", row)


def _later(lock: Path, job: Job) -> bool:
    """Whether a lock beat after the row was written: what it said is being done again."""
    try:
        return lock.stat().st_mtime_ns > row_time(job)
    except OSError:
        return False


def merged(every: Iterable[State]) -> dict[str, Any]:
    """Counts of states and of the lights of slices, and seconds of those that are done."""
    found = list(every)
    lights: Counter[str] = Counter()
    for one in found:
        lights.update(one.row.get("Lights") or {})
    counts = Counter(one.state for one in found)
    return {
        "Jobs": len(found),
        **{state: counts[state] for state in (DONE, FAILED, RUNNING, MISSING)},
        "Seconds": round(sum(one.row.get("Seconds") or 0.0 for one in found), 2),
        "Lights": {colour: lights[colour] for colour in ("green", "amber", "red") if lights},
    }


def _file_system_time(folder: str) -> float:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time()
