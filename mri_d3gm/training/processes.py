"""One training in several processes that torchrun, or a launcher that sets the same variables, has started."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mri_d3gm.errors import InputError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
GROUPS = itertools.count()
Answer = TypeVar("Answer")


def _launched() -> bool:
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def in_group() -> bool:
    """Whether other processes take part."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process in the group, from 0; 0 outside of one."""
    return dist.get_rank() if in_group() else 0


def count() -> int:
    """How many processes are in the group; 1 outside of one."""
    return dist.get_world_size() if in_group() else 1


def share(number: int) -> range:
    """Those of 0 to number - 1 that are this process's."""
    return range(rank(), number, count())


def leads() -> bool:
    """Whether this process writes and prints: the first, of a group or of those that a launcher started."""
    return (rank() if in_group() or not _launched() else int(os.environ["RANK"])) == 0


@cache
def _met() -> tuple[Any, int, int]:
    """Where the processes leave word for each other, kept as long as this one lives; its number, and how many there are."""
    return next(dist.rendezvous("env://"))


@contextmanager
def process_group() -> Iterator[None]:
    """The processes that were started together are a group in this block; nothing is done alone, or in a group that exists.

    Tensors on GPUs go by NCCL, all else by gloo. A group that exists must have a backend for the CPU.
    """
    if in_group() or not _launched():
        yield
        return
    try:
        store, number, size = _met()
        own = dist.PrefixStore(f"training {next(GROUPS)}", store)  # what an earlier group left would mislead
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=own, rank=number, world_size=size)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the processes of this training do not find each other: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> str:
    """`device`; for cuda in a group the GPU of this process's LOCAL_RANK, which becomes the current one.

    InputError where there are fewer GPUs than processes, or all would share one.
    """
    if not in_group() or not device.startswith("cuda"):
        return device
    if device != "cuda":
        raise InputError(f"--device {device}: every process takes a GPU of its own; say cuda")
    index, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if index >= there:
        raise InputError(f"more processes than GPUs ({there}) on this machine; start as many, or say --device cpu")
    torch.cuda.set_device(index)
    return f"cuda:{index}"


@contextmanager
def _others() -> Iterator[None]:
    """What a backend raises, of whatever kind, when another process has ended becomes one line of the first process."""
    try:
        yield
    except RuntimeError as error:
        if not leads():
            raise SystemExit(2) from error
        raise InputError("another process of this training ended; the same command goes on from the last checkpoint") from error


def everyones(answer: Answer) -> list[Answer]:
    """The answers of all processes, in their order."""
    if not in_group():
        return [answer]
    answers: list[Any] = [None] * count()
    with _others():
        dist.all_gather_object(answers, answer)
    return answers


def from_first(answer: Answer) -> Answer:
    """The answer of the first process."""
    if not in_group():
        return answer
    held = [answer]
    with _others():
        dist.broadcast_object_list(held)
    return held[0]


def together(work: Callable[[], Answer]) -> Answer:
    """work() in each process, and its answer there; where it cannot be done in one, it ends all.

    The first process raises an InputError that says why, the others leave without a word, with the same exit code.
    """
    if not in_group():
        return work()
    problem: str | None = None
    try:
        answer = work()
    except (InputError, OSError) as error:
        problem = str(error)
    problems = [one for one in everyones(problem) if one is not None]
    if not problems:
        return answer
    if leads():
        raise InputError(problems[0])
    raise SystemExit(2)


def highest(number: int) -> int:
    """The highest of the numbers of all processes."""
    if not in_group():
        return number
    held = torch.tensor(number)
    with _others():
        dist.all_reduce(held, dist.ReduceOp.MAX)
    return int(held)


def mean_of_parts(losses: Iterable[Tensor], gradients: list[Tensor], parts: int) -> Tensor:
    """The mean of the losses of all `parts`, whichever processes they are in; `gradients`, which each loss leaves anew, become
    the mean of theirs. Sums are float64, so that after rounding the order of the parts, and who had them, hardly ever shows.
    """
    total: Tensor | None = None
    for loss in losses:
        one = torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients)]).double()
        total = one if total is None else total.add_(one)
    assert total is not None  # every process has a part
    if in_group():
        with _others():
            dist.all_reduce(total)
    loss, *means = total.div_(parts).float().split([1, *(gradient.numel() for gradient in gradients)])
    torch._foreach_copy_(gradients, [mean.view_as(gradient) for mean, gradient in zip(means, gradients, strict=True)])
    return loss[0].clone()
