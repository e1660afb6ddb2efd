"""Numbers from a generator on the CPU."""

import math

import torch


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number from the generator, between low and high."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def log_uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One number between low and high whose logarithm is uniform."""
    return math.exp(uniform(math.log(low), math.log(high), generator))


def chance(share: float, generator: torch.Generator) -> bool:
    """True in a share of the draws."""
    return uniform(0, 1, generator) < share


def one_of(values: tuple[int, ...], generator: torch.Generator) -> int:
    """One of the values."""
    return values[int(torch.randint(len(values), (), generator=generator))]
