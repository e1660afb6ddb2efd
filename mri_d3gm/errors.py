"""The one exception that a user sees."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Something the user gave cannot be used: one line that names it, says what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Text with what cannot be printed escaped: files may hold anything, and messages repeat some of it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


@contextmanager
def memory_said(name: str = "") -> Iterator[None]:
    """Memory that runs out becomes an InputError; name: what was worked on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        texts = ("not enough memory", "out of memory", "can't allocate memory")
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in texts):
            raise
        advice = "memory ran out; use fewer --threads, fewer --slices at a time, or a machine with more"
        raise InputError(f"{name}: {advice}" if name else advice) from error
