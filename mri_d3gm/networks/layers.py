"""Layers that several networks share: time embedding, modulated residual block, attention along one axis."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Layer = TypeVar("Layer", bound=nn.Module)


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and biases of zero: at first it changes nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class TimeEmbedding(nn.Module):
    """Log-SNR (batch,) to features (batch, width): Fourier features of log-SNR / 4, then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, log_snr: Tensor) -> Tensor:
        angle = log_snr.float()[:, None] / 4 * torch.linspace(-1.5, 2.5, 16, device=log_snr.device).exp()
        return self.layers(torch.cat([angle.sin(), angle.cos()], 1))


class ResidualBlock(nn.Module):
    """x + conv(silu(scale * norm(conv(silu(norm(x)))) + shift)); scale and shift from the time, last weights zero."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, channels), nn.GroupNorm(1, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.modulation = zeroed(nn.Linear(embedding, 2 * channels))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(h) * (1 + scale) + shift))


class AxisAttention(nn.Module):
    """Self-attention along one axis of (batch, channels, rows, cols), each row or column by itself, residual.

    A learned relative position bias, shared by all distances from `reach` on; the output starts at zero.
    """

    def __init__(self, channels: int, heads: int = 4, reach: int = 96) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))
        self.bias = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, x: Tensor, axis: int = -1) -> Tensor:
        along = x.shape[axis]
        last = functional.linear(self.norm(x).permute(0, 2, 3, 1), self.qkv.weight.flatten(1), self.qkv.bias)
        qkv = last.unflatten(3, (3, self.heads, -1))  # batch, rows, cols, 3, heads, features of each
        ordered = qkv.permute(3, 0, 1, 4, 2, 5) if axis == -1 else qkv.permute(3, 0, 2, 4, 1, 5)
        q, k, v = ordered.flatten(1, 2).contiguous().unbind(0)
        place = torch.arange(along, device=x.device)
        offset = (place[:, None] - place[None, :]).clamp(-self.reach, self.reach) + self.reach
        bias = self.bias[:, offset].to(q.dtype)
        h = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None]).unflatten(0, (len(x), -1))
        h = h.permute(0, 1, 3, 2, 4) if axis == -1 else h.permute(0, 3, 1, 2, 4)  # batch, rows, cols, heads, features
        changed = functional.linear(h.flatten(3), self.out.weight.flatten(1), self.out.bias)
        return x + changed.permute(0, 3, 1, 2)
