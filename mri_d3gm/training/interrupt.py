"""Ctrl-C during a training: never in the middle of a step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def caught(*numbers: signal.Signals) -> Iterator[list[int]]:
    """Signals with these numbers do nothing in this block but come into the list. Outside of the main thread, which alone gets
    them, nothing is done.
    """
    came: list[int] = []
    if current_thread() is not main_thread():
        yield came
        return
    usual = {number: signal.signal(number, lambda number, _: came.append(number)) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def leave_to_parent(_: int) -> None:
    """Make a process that draws batches ignore Ctrl-C, which a terminal sends to it too, and the end that a launcher sends to
    all below it; its parent ends it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
