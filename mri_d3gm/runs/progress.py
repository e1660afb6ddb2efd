"""Many parts at once, and their progress as that of one whole."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Lock

from mri_d3gm.compute import Item, Progress, Result, in_parallel


class Stopped(Exception):
    """The whole was given up, so that its parts need not go on."""


def told(progress: Progress | None, parts: int, stop: Event) -> Progress:
    """A callback for each step of each of equal parts, (done, all of the part), from any thread, that tells of the whole.

    Stopped once `stop` is set: a part then ends after its step.
    """
    done, lock = 0, Lock()

    def tell(_: int, each: int) -> None:
        nonlocal done
        if stop.is_set():
            raise Stopped
        with lock:
            done += 1
            if progress is not None:
                progress(done, each * parts)

    return tell


def each(one: Callable[..., Result], jobs: Sequence[Item], threads: int, progress: Progress | None) -> list[Result]:
    """`one(job, threads=..., progress=...)` of equal jobs in their order, on `threads` that they share."""
    outer, stop = min(threads, len(jobs)), Event()
    work = partial(one, threads=threads // outer, progress=told(progress, len(jobs), stop))
    return list(in_parallel(work, jobs, outer, stop))
