"""Complex images to real channels and back."""

import torch
from torch import Tensor


def to_channels(image: Tensor) -> Tensor:
    """(batch, rows, cols) complex to (batch, 2, rows, cols) real."""
    return torch.view_as_real(image).movedim(-1, 1)


def from_channels(channels: Tensor) -> Tensor:
    """(batch, 2, rows, cols) real to (batch, rows, cols) complex."""
    return torch.complex(channels[:, 0].contiguous(), channels[:, 1].contiguous())
