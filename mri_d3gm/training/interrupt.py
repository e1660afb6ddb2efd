"""Ctrl-C during a training: never in the middle of a step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C in this block is raised at its end. Outside of the main thread, which alone gets it, nothing is done."""
    if current_thread() is not main_thread():
        yield
        return
    pressed: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        raise KeyboardInterrupt


def leave_to_parent(_: int) -> None:
    """Make a process that draws batches ignore Ctrl-C, which a terminal sends to it too; its parent ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
