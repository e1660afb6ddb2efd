"""Progress of many parts as that of one whole."""

from threading import Event, Lock

from mri_d3gm.compute import Progress


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
