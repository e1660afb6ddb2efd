"""Guided filter: smooths a picture with the edges of another one (He, Sun, Tang, ECCV 2010)."""

import torch
from torch import Tensor
from torch.nn import functional


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Means over windows of 2 * radius + 1, cut off at the border; (..., rows, cols), float64 inside."""
    total = image.double()
    for axis in (-2, -1):
        size = total.shape[axis]
        before = functional.pad(total.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        place = torch.arange(size, device=image.device)
        low, high = (place - radius).clamp_min(0), (place + radius + 1).clamp_max(size)
        count = (high - low).reshape((-1, 1) if axis == -2 else (-1,))
        total = (before.index_select(axis, high) - before.index_select(axis, low)) / count
    return total.to(image.dtype)


def guided_filter(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """image (..., rows, cols) smoothed in windows of 2 * radius + 1 pixels but for the edges of guide.

    guide: grey, of a shape that broadcasts with image's; eps: variance of the guide, in its units squared, below which it
    counts as flat. The guide itself comes back for image = guide and a small eps.
    """
    guide, whole = guide.double(), image.double()
    mean, level = box_mean(guide, radius), box_mean(whole, radius)
    variance = (box_mean(guide * guide, radius) - mean * mean).clamp_min(0)
    slope = (box_mean(guide * whole, radius) - mean * level) / (variance + eps)
    offset = level - slope * mean
    return (box_mean(slope, radius) * guide + box_mean(offset, radius)).to(image.dtype)
