"""The one exception that a user sees."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb

LONGEST = 200  # letters of another program's message


class InputError(Exception):
    """Something the user gave cannot be used: one line that names it, says what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Text with what cannot be printed escaped: files may hold anything, and messages repeat some of it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def beneath(error: BaseException) -> InputError | None:
    """The InputError that an exception of another program is wrapped around."""
    current: BaseException | None = error
    while current is not None and not isinstance(current, InputError):
        current = current.__cause__ or current.__context__
    return current


def in_a_line(error: BaseException) -> str:
    """Kind and first words of the exception beneath all wrapping; of one that repeats a traceback its last line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if any(line.startswith("Traceback") for line in lines):
        return lines[-1][:LONGEST]
    return f"{type(error).__name__}: {lines[0][:LONGEST]}"


def place(error: BaseException) -> str:
    """File and line that raised the exception beneath all wrapping, or called the PyTorch that did."""
    while error.__cause__ is not None and error.__cause__.__traceback__ is not None:
        error = error.__cause__
    frames = [(frame.filename, str(frame.lineno)) for frame in extract_tb(error.__traceback__)]
    frames += re.findall(r'File "([^"\n]+)", line (\d+)', str(error))  # of another process
    own = [frame for frame in frames if "torch" not in Path(frame[0]).parts]
    return ", line ".join((own or frames)[-1])


def unknown(name: str, known: Iterable[str], prefix: str = "", elsewhere: Iterable[str] = ()) -> InputError:
    """An InputError for a name that is none of those known below `prefix`, with the nearest of them, or of the whole names
    elsewhere by their ends, or else with all that are known.
    """
    names = list(known)
    ids = {one.rpartition("#")[2]: one for one in elsewhere} | {one: prefix + one for one in names}
    near = get_close_matches(name, ids, 1)
    said = f"did you mean {ids[near[0]]}?" if near else f"one of {', '.join(names)}"
    return InputError(f"{prefix}{name}: unknown; {said}")


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
