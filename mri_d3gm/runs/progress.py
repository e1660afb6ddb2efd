"""Many parts at once, and their progress as that of one whole."""

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Lock

from mri_d3gm.compute import Item, Progress, Result, in_parallel


class Stopped(Exception):
    """The whole was given up, so that its parts need not go on."""


def each(one: Callable[..., Result], jobs: Sequence[Item], threads: int, progress: Progress | None) -> list[Result]:
    """`one(job, threads=..., progress=...)` of equal jobs in their order, on `threads` that they share.

    A job's own progress(done, all of the job) is told as that of the whole, which ends at its all; once another has failed it
    raises Stopped.
    """
    outer, stop, lock, done = min(threads, len(jobs)), Event(), Lock(), 0

    def tell(_: int, total: int) -> None:
        nonlocal done
        if stop.is_set():
            raise Stopped
        with lock:
            done += 1
            if progress is not None:
                progress(min(done, total * len(jobs)), total * len(jobs))

    return list(in_parallel(partial(one, threads=threads // outer, progress=tell), jobs, outer, stop))
