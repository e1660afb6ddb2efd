"""Where the work is done, and several slices at once, one thread each, with results that do not depend on how many."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Event
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

from mri_d3gm.errors import InputError

LARGEST = 64  # slices of a batch; attention on a GPU has no room for some thousands

Progress = Callable[[int, int], None]  # (done, all)
Map = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]
Item = TypeVar("Item")
Result = TypeVar("Result")


def resolve_device(name: str) -> str:
    """auto to cuda where there is one; a GPU that was asked for and is missing is refused."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {name}: no GPU that this PyTorch can use; leave --device out or say cpu")
    if name != "cpu" and not name.startswith("cuda"):
        raise InputError(f"--device {name}: unknown; one of auto, cpu, cuda")
    return name


@cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch with one thread in this block, in the thread that runs it alone; with several, sums are taken in another order.

    `torch.set_num_threads` is of the whole process, and leaves MKL unable to factorise batches once it has been called.
    """
    with _openmp().limit(limits=1):
        yield


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once(threads: int | None, device: str, bytes_each: float) -> int:
    """How many slices to work on at once: `threads`, or where None as many as cores, while they fit into half of the memory.

    bytes_each: memory that one takes. A GPU takes one batch after the other (`in_one_batch`).
    """
    if device != "cpu":
        return 1
    if threads is not None:
        return threads
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return cores()
    return max(1, min(cores(), int(memory / 2 / bytes_each)))


def in_one_batch(device: str, bytes_each: float) -> int:
    """How many slices go through the network as one batch: one on a CPU, where no bit of a slice then depends on others; on a
    GPU as many as fit into half of its free memory, LARGEST at most.

    bytes_each: memory that one takes.
    """
    if device == "cpu":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(LARGEST, int(free / 2 / bytes_each)))


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None, stop: Event | None = None
) -> Iterator[Result]:
    """function of each item, in order, `threads` (as many as cores if None) at a time; no more than that are held at once.

    An exception of one, or in the main thread, ends the rest; stop is set, for those that are running to look at.
    """
    count = cores() if threads is None else threads
    if count == 1:
        with one_thread():
            yield from map(function, items)
        return

    def alone(item: Item) -> Result:
        with one_thread():
            return function(item)

    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(alone, item))
                if len(waiting) == count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            if stop is not None:
                stop.set()
            for future in waiting:
                future.cancel()
            raise
