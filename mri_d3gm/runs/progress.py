"""Progress of many parts as that of one whole."""

from threading import Lock

from mri_d3gm.compute import Progress


def told(progress: Progress | None, parts: int) -> Progress | None:
    """A callback for each step of each of equal parts, (done, all of the part), from any thread, that tells of the whole."""
    if progress is None:
        return None
    done, lock = 0, Lock()

    def tell(_: int, each: int) -> None:
        nonlocal done
        with lock:
            done += 1
            progress(done, each * parts)

    return tell
