"""Mutations of a format's file, opened one after the other: what became of each."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from hostile.formats import FORMATS, mutate
from hostile.opener import Answer

BOUND = 256 << 20  # bytes of memory above four times the size of the file
GOOD = "result", "refused"
Ask = Callable[[str, Path], Answer]


class Trial(NamedTuple):
    """A mutation, which format and seed repeat, and the answer to it."""

    format: str
    seed: int
    change: str
    answer: Answer


def attack(ask: Ask, name: str, seeds: range) -> Iterator[Trial]:
    """The trials of a format; ask: of `opener`."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "valid").mkdir()
        path = FORMATS[name].write(root / "valid").relative_to(root / "valid")
        for seed in seeds:
            folder = root / "mutated"
            shutil.copytree(root / "valid", folder)
            change = mutate(name, folder / path, seed)
            before = _content(folder)
            answer = ask(name, folder / path)
            allowed = 4 * sum(len(content) for content in before.values()) + BOUND
            if answer.outcome in GOOD and answer.memory > allowed:
                answer = answer._replace(outcome="memory")
            if answer.outcome in GOOD and _content(folder) != before:
                answer = answer._replace(outcome="left over")
            shutil.rmtree(folder)
            yield Trial(name, seed, change, answer)


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
