"""What a network answers."""

from typing import NamedTuple

from torch import Tensor


class Estimates(NamedTuple):
    """Estimates of x0, one a block, the last one the answer, of mu's shape; and how large the error of the answer's
    magnitude is expected to be, (batch, rows, cols) > 0, from networks that predict it.
    """

    images: list[Tensor]
    error: Tensor | None = None
