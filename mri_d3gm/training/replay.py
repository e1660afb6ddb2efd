"""Replaying a step on a GPU, where launching its kernels one by one takes longer than they do."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from mri_d3gm.physics.measurement import Measurement

Inputs = tuple[Tensor | Measurement, ...]


class Replayed:
    """`step` as CUDA graphs: recorded at the first inputs of each `kind`, replayed from then on.

    step takes CUDA tensors and measurements, waits for nothing, returns one tensor and may write to tensors that it keeps.
    """

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self.step = step
        self.pool = torch.cuda.graph_pool_handle()
        self.recorded: dict[tuple[object, ...], tuple[torch.cuda.CUDAGraph, Inputs, Tensor]] = {}

    def __call__(self, *inputs: Tensor | Measurement) -> Tensor:
        key = kind(inputs)
        if key not in self.recorded:
            self.recorded[key] = self._record(inputs)
        graph, held, answer = self.recorded[key]
        for mine, given in zip(_tensors(held), _tensors(inputs), strict=True):
            mine.copy_(given)
        graph.replay()
        return answer.clone()

    def _record(self, inputs: Inputs) -> tuple[torch.cuda.CUDAGraph, Inputs, Tensor]:
        held = tuple(_cloned(given) for given in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.step(*held)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            answer = self.step(*held)
        return graph, held, answer


def kind(inputs: Inputs) -> tuple[Hashable, ...]:
    """All but the numbers in tensors: types, names, shapes, dtypes, and values of other fields that can be compared."""
    return tuple(part for given in inputs for part in (type(given), *_named(given)))


def _named(given: Tensor | Measurement) -> Iterator[tuple[Hashable, ...]]:
    values = ((field.name, getattr(given, field.name)) for field in fields(given)) if is_dataclass(given) else [("", given)]
    for name, value in values:
        if isinstance(value, Tensor):
            yield name, value.shape, value.dtype
        elif isinstance(value, Hashable):
            yield name, value


def _tensors(inputs: Inputs) -> Iterator[Tensor]:
    for given in inputs:
        yield from given.tensors().values() if isinstance(given, Measurement) else (given,)


def _cloned(given: Tensor | Measurement) -> Tensor | Measurement:
    """The same in memory of its own, expanded axes too."""
    if isinstance(given, Tensor):
        return given.clone()
    return given.with_tensors({name: tensor.clone() for name, tensor in given.tensors().items()})
