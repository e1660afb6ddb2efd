"""Images to real channels and back: complex ones (batch, rows, cols), or real ones that have channels already."""

import torch
from torch import Tensor


def to_channels(image: Tensor) -> Tensor:
    """(batch, rows, cols) complex to (batch, 2, rows, cols) real; real images as they are."""
    return torch.view_as_real(image).movedim(-1, 1) if image.is_complex() else image


def from_channels(channels: Tensor, like: Tensor) -> Tensor:
    """(batch, 2, rows, cols) real to (batch, rows, cols) complex of like's precision if it is complex, else as they are."""
    if not like.is_complex():
        return channels
    real, imaginary = channels.to(like.real.dtype).unbind(1)
    return torch.complex(real.contiguous(), imaginary.contiguous())


def for_each(values: Tensor, like: Tensor) -> Tensor:
    """One number a sample, (batch,), to float32 on like's device that multiplies images of like's shape."""
    return values.to(like.device, torch.float32).reshape(-1, *[1] * (like.ndim - 1))
