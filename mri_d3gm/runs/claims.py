"""One process at a time at a job: lock files that beat, and that others take over once they have stopped.

The lock of a job is X.lock-1. Who finds it dead makes X.lock-2, and so on: the last one holds the job, and only one process can
make it. What a holder writes it writes while no later one is there.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, time
from typing import Any, NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.atomic import place, runs

BEAT, DEAD = 5.0, 60.0  # seconds between two beats, and without one after which a holder counts as dead

Seen = dict[Path, tuple[int, float]]  # of locks of others: their last beat, and when it was first seen


class Claim(NamedTuple):
    """A job that is held: how many processes died at it before, and whether it was lost since."""

    deaths: int
    lost: Event


def lock_name(job: str, number: int = 1) -> Path:
    """A lock of the job whose result is `job`."""
    return Path(_lock_name(job, number))


def _lock_name(job: str, number: int) -> str:
    folder, name = os.path.split(job)
    return os.path.join(folder, f".{name}.lock-{number}")


def last_lock(job: str) -> tuple[Path | None, int]:
    """The lock that holds a job, None where nothing does, and its number; a holder that was killed at its end leaves a gap."""
    number = 0
    while further := [ahead for ahead in (1, 2, 3) if os.path.exists(_lock_name(job, number + ahead))]:
        number += further[-1]
    return (lock_name(job, number) if number else None), number


def holds(job: str, held: Claim) -> bool:
    """Whether a job is still held: a process that was stopped for a while may find it another's."""
    number = held.deaths + 1
    return os.path.exists(_lock_name(job, number)) and not os.path.exists(_lock_name(job, number + 1))


@contextmanager
def claim(job: str, seen: Seen) -> Iterator[Claim | None]:
    """The job for this block alone; None where another process is at work at it.

    Time is this process's own: a lock counts as dead once `seen` has it without a beat for DEAD seconds, or at once where its
    process was of this host and is gone. An abandoned block, whose thread may still write, leaves the lock to die by setting
    `lost`. InputError where the folder cannot be written.
    """
    held, number = last_lock(job)
    if held is not None and not _dead(held, seen):
        yield None
        return
    mine = lock_name(job, number + 1)
    if not _make(mine):
        yield None
        return
    ended, lost = Event(), Event()
    beating = Thread(target=_beat, args=(job, number + 1, ended, lost), daemon=True)
    beating.start()
    try:
        yield Claim(number, lost)
    finally:
        ended.set()
        beating.join(1)
        if not lost.is_set():
            for one in range(1, number + 2):
                with suppress(OSError):
                    lock_name(job, one).unlink()


def holder(lock: Path) -> dict[str, Any]:
    """What a lock says of who holds it: Host, Process, Since; empty where it cannot be read."""
    try:
        said = json.loads(lock.read_text())
        return said if isinstance(said, dict) else {}
    except (OSError, ValueError):
        return {}


def gone(lock: Path) -> bool:
    """Whether the holder of a lock was a process of this host that is no more."""
    said = holder(lock)
    return said.get("Host") == place() and isinstance(said.get("Process"), int) and not runs(said["Process"])


def silent_seconds(lock: Path, now: float) -> float:
    """Seconds since the last beat by the clock of the file system, whose time is `now`; none where its clock was set back."""
    try:
        return max(0.0, now - lock.stat().st_mtime)
    except OSError:
        return 0.0


def _dead(lock: Path, seen: Seen) -> bool:
    try:
        beat = lock.stat().st_mtime_ns
    except OSError:
        return False
    before, since = seen.setdefault(lock, (beat, monotonic()))
    if before != beat:
        seen[lock] = beat, monotonic()
        return False
    return gone(lock) or monotonic() - since > DEAD


def _make(lock: Path) -> bool:
    """Make a lock that is not there; False where another process was faster."""
    said = {"Host": place(), "Process": os.getpid(), "Since": round(time())}
    try:
        file = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            os.write(file, json.dumps(said).encode())
        except OSError:
            lock.unlink()
            raise
        finally:
            os.close(file)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{lock.parent}: cannot be written: {error.strerror}; make room, or choose another place") from error
    return True


def _beat(job: str, number: int, ended: Event, lost: Event) -> None:
    """Touch a lock until the block has ended, or the lock is gone or another's."""
    while not ended.wait(BEAT):
        try:
            if lock_name(job, number + 1).exists():
                lost.set()
                return
            os.utime(lock_name(job, number))
        except FileNotFoundError:
            lost.set()
            return
        except OSError:  # a full or read-only disk beats no more, and others may take over
            continue
