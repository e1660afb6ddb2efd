"""A batch: the jobs of a shard one after the other, through faults, none of them twice."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from json import dumps
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from time import sleep
from typing import Any, NamedTuple

from mri_d3gm.compute import Progress
from mri_d3gm.errors import InputError, memory_said
from mri_d3gm.runs.claims import Claim, Seen, claim, holds, last_lock
from mri_d3gm.runs.manifest import Job, settings_of
from mri_d3gm.runs.names import make_folder
from mri_d3gm.runs.progress import Stopped
from mri_d3gm.runs.record import Taken, Unfinished, provenance
from mri_d3gm.runs.rows import DONE, FAILED, input_stamp, left_row, read_row, row_time, write_row, written_by
from mri_d3gm.settings import Settings
from mri_d3gm.tasks.recon import reconstruct_file
from mri_d3gm.tasks.restore import restore_file
from mri_d3gm.tasks.sr import superresolve_file

WORK: dict[str, Callable[..., tuple[dict[str, Any], bool]]] = {
    "recon": reconstruct_file,
    "sr": superresolve_file,
    "restore": restore_file,
}
Show = Callable[[str, Callable[..., Any]], Any]
WAIT = 1.0  # seconds before jobs of other processes are looked at again
DEADLY = 2  # processes that died at a job, after which it comes last
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # faults of the place of all results, none of one job
MOMENT = 10.0  # seconds that a job may take to end where it is given up


class Outcome(NamedTuple):
    """What became of a job: done or failed, why, its record, and whether that was so before."""

    job: Job
    state: str
    why: str
    record: dict[str, Any]
    before: bool


def run_batch(
    jobs: Sequence[Job],
    told: Callable[[Outcome], None],
    *,
    retry: bool = False,
    timeout: float = 1800.0,
    with_progress: Show | None = None,
) -> None:
    """Run the jobs that are not done, and tell what became of each.

    A job that another process is at work at is left to it, and taken over where that process dies. Jobs that processes died
    at come last. retry: run those again that failed before. timeout: seconds without progress after which a job has failed.
    with_progress(name, work) runs work(progress=...). InputError where results cannot be written: no more is tried.
    """
    seen: Seen = {}
    show = with_progress or (lambda _, work: work(progress=lambda done, total: None))
    left, first = list(jobs), True
    again = {job.result: row_time(job) for job in jobs} if retry else {}
    while left:
        waiting = []
        for job in left:
            if first and last_lock(job.result)[1] >= DEADLY:
                waiting.append(job)
                continue
            outcome = _known(job, again) or _claimed(job, seen, again, timeout, show)
            if outcome is None:
                waiting.append(job)
            else:
                told(outcome)
        if waiting and not first:
            sleep(WAIT)
        left, first = waiting, False


def _known(job: Job, again: Mapping[str, int]) -> Outcome | None:
    """What became of a job before, if that still holds: the same input, options, weights and software.

    again: times of rows by result; a failure of that time is tried again, and one since, of another process, is not.
    """
    row = read_row(job)
    state = row.get("State")
    if state not in (DONE, FAILED) or (state == FAILED and again.get(job.result) == row_time(job)):
        return None
    if row.get("InputStamp") != input_stamp(job.input) or row.get("Asked") != _asked(job.run, job.options):
        return None
    return Outcome(job, state, str(row.get("Why") or ""), row, True)


def _claimed(job: Job, seen: Seen, again: Mapping[str, int], timeout: float, show: Show) -> Outcome | None:
    """Run a job unless another process holds it, or has done it meanwhile; None where it is another's."""
    make_folder(Path(job.result))
    with claim(job.result, seen) as held:
        if held is None:
            return None
        return _known(job, again) or _run(job, held, timeout, show)


def _run(job: Job, held: Claim, timeout: float, show: Show) -> Outcome | None:
    """Run a job that is held and leave its row; None where it was lost to another process."""
    stamp, asked = input_stamp(job.input), _asked(job.run, job.options)
    written, row = left_row(job).get("Written"), {"Asked": asked, "Deaths": held.deaths}
    try:
        with memory_said(job.input):
            record, before = show(job.input, lambda progress: _in_time(job, held, timeout, progress))
    except Stopped:
        return None
    except Exception as error:  # a fault of the software in one input is that job's too
        if {getattr(error, "errno", None), getattr(error.__cause__, "errno", None)} & NO_ROOM:
            raise
        why = _why(job, error)
        ended = Outcome(job, FAILED, why, {}, False)
        row |= {"State": FAILED, "Why": why} | ({"Written": written} if written else {})
    else:
        ended = Outcome(job, DONE, "", record, before)
        row |= {"State": DONE, "Seconds": record.get("Seconds"), "Written": written_by(job, record)}
        row |= {"Lights": (record.get("Bound") or {}).get("Lights"), "Warnings": len(record.get("Warnings") or [])}
    if not holds(job.result, held):
        return None
    write_row(job, row, stamp)
    return ended


def _why(job: Job, error: Exception) -> str:
    """Why a job has failed, with its name."""
    said = str(error) if isinstance(error, (InputError, OSError)) else f"{type(error).__name__}: {error}"
    return said if job.input in said or os.path.dirname(job.result) in said else f"{job.input}: {said}"


def _in_time(job: Job, held: Claim, timeout: float, progress: Progress) -> tuple[dict[str, Any], bool]:
    """A job in a thread of its own, so that it can be given up where a file system hangs; InputError after `timeout`."""
    ended: Queue[tuple[Any, BaseException | None]] = Queue()
    stop, silent = Event(), 0.0

    def tell(done: int, total: int) -> None:
        nonlocal silent
        if stop.is_set() or held.lost.is_set():
            raise Stopped
        silent = 0.0
        progress(done, total)

    def run() -> None:
        try:
            ended.put((_through(job, held, tell), None))
        except BaseException as error:
            ended.put((None, error))

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            with suppress(Empty):
                result, error = ended.get(timeout=WAIT)
                if error is not None:
                    raise error
                return result
            silent += WAIT  # no clock: a process that was itself stopped for a while has not waited
            if silent > timeout:
                held.lost.set()
                raise InputError(f"no progress for {timeout:g} s: the file system hangs, or --timeout is too short")
    except BaseException:
        stop.set()
        before = held.lost.is_set()
        held.lost.set()  # for whoever interrupts this too
        thread.join(0 if before else MOMENT)
        if not before and not thread.is_alive():
            held.lost.clear()
        raise


def _through(job: Job, held: Claim, progress: Progress) -> tuple[dict[str, Any], bool]:
    """Run a job; its results of another input or software, and what a process that died at it left half done, are replaced."""
    work = partial(WORK[job.run], job.input, settings_of(job), job.names, progress=progress)
    try:
        return work()
    except Taken as error:
        half = isinstance(error, Unfinished) and held.deaths
        if not (half or left_row(job).get("Written")):
            raise
        return work(overwrite=True)


@lru_cache(maxsize=64)
def _asked(run: str, options: tuple[tuple[str, str], ...]) -> str:
    """A digest of what decides the results of jobs with these options, besides their inputs."""
    settings: Settings = settings_of(Job(run, "", "", options))
    try:
        decides = provenance(settings, [])
    except InputError as error:  # of a file that an option names, which the job says itself
        decides = {"Error": str(error)}
    return sha256(dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:16]
