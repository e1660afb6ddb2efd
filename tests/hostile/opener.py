"""Opens files, each in a forked child with limits: `python -m hostile.opener`, then a JSON line [format, path, folder] a file.

One process imports the readers and opens a valid file of a format before the first other one, so that a child costs a fork. The
answer to a line is a JSON line: the outcome (a key of OUTCOMES), its text, seconds, and the bytes of memory that the child
asked for. folder: where it works and has its temporary files.
"""

import gc
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, NamedTuple

SECONDS = 20.0  # of one file, on the clock and of the processor
MOST_MEMORY = 8 << 30  # of address space: above what any check lets through, so that the amount is measured and not cut
MOST_FOR_A_LINE = 600  # characters
OUTCOMES = {
    "result": "what the file holds was read",
    "refused": "one line that names the file",
    "crash": "the process died of a signal",
    "hang": "neither within the time",
    "memory": "more than four times the file's size and the bound was asked for",
    "exception": "another exception than InputError",
    "message": "the line is none, does not name the file, or holds what cannot be printed",
    "noise": "something else was printed",
    "left over": "files appeared or changed",
}


class Answer(NamedTuple):
    """What became of a file."""

    outcome: str
    text: str
    seconds: float
    memory: int


@contextmanager
def opener() -> Iterator[Callable[[str, Path], Answer]]:
    """A function (format, path) that opens a file in a child of a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as elsewhere,
        Popen([sys.executable, "-m", "hostile.opener"], env=environment, stdin=PIPE, stdout=PIPE, text=True) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def ask(name: str, path: Path) -> Answer:
            requests.write(json.dumps([name, str(path), elsewhere]) + "\n")
            requests.flush()
            answer = Answer(*json.loads(answers.readline()))
            return answer._replace(outcome="left over") if os.listdir(elsewhere) else answer

        yield ask
        requests.close()


def main() -> None:
    """Answer until the end of the input."""
    from hostile.formats import FORMATS

    warm = set()
    for line in sys.stdin:
        name, path, elsewhere = json.loads(line)
        if name not in warm:  # imports what the reader imports late
            with tempfile.TemporaryDirectory() as folder:
                FORMATS[name].open(FORMATS[name].write(Path(folder)))
            warm.add(name)
            gc.collect()
            gc.freeze()
        print(json.dumps(_answer(FORMATS[name].open, Path(path), elsewhere)), flush=True)


def _answer(read: Callable[[Path], None], path: Path, elsewhere: str) -> Answer:
    started = time.monotonic()
    receive, send = os.pipe()
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.write(send, json.dumps(_limited(read, path, elsewhere)).encode())
            os._exit(0)
        os.close(send)
        text = _received(receive, started + SECONDS)
        if text is None:
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        said.seek(0)
        noise = said.read().decode(errors="replace")
    seconds = round(time.monotonic() - started, 3)
    if text is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Answer("hang", "", seconds, 0)
    if not text:
        return Answer("crash", f"{signal.strsignal(os.WTERMSIG(status))}; {noise[-300:]}", seconds, 0)
    outcome, words, memory = json.loads(text)
    if noise and outcome in ("result", "refused"):
        outcome, words = "noise", noise[:300]
    return Answer(outcome, words, seconds, memory)


def _received(pipe: int, until: float) -> bytes | None:
    """All that comes through a pipe, which is closed; None where its end does not come in time."""
    parts = []
    with os.fdopen(pipe, "rb", 0) as file:
        while select.select([file], [], [], max(0, until - time.monotonic()))[0]:
            if not (part := file.read(1 << 16)):
                return b"".join(parts)
            parts.append(part)
    return None


def _limited(read: Callable[[Path], None], path: Path, elsewhere: str) -> tuple[str, str, int]:
    """Outcome, text and bytes asked for; in the child."""
    from mri_d3gm.errors import InputError

    os.chdir(elsewhere)
    tempfile.tempdir = elsewhere
    before = _peak()
    for limit, value in (
        (resource.RLIMIT_CPU, int(SECONDS)),
        (resource.RLIMIT_AS, before + MOST_MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value if limit != resource.RLIMIT_CPU else value + 1))
    outcome, text = "result", ""
    try:
        read(path)
    except InputError as error:
        text = str(error)
        named = str(path) in text or str(path.parent) in text
        outcome = "refused" if named and text.isprintable() and len(text) < MOST_FOR_A_LINE else "message"
        if _of_memory(error):
            outcome = "memory"
    except MemoryError:
        outcome = "memory"
    except BaseException as error:
        outcome, text = "exception", f"{type(error).__name__}: {error}"[:MOST_FOR_A_LINE]
    return outcome, text, _peak() - before


def _of_memory(error: BaseException | None) -> bool:
    """Whether an exception came of memory that ran out."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _peak() -> int:
    """Most bytes of address space that this process has had."""
    found: Any = re.search(r"VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
