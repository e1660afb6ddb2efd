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
    """Self-attention along the last axis of (batch, channels, rows, cols), each row by itself, residual.

    A learned relative position bias, shared by all distances from `reach` on; the output starts at zero.
    """

    def __init__(self, channels: int, heads: int = 4, reach: int = 96) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))
        self.bias = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, rows, cols = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, rows, cols)
        q, k, v = qkv.permute(1, 0, 4, 2, 5, 3).reshape(3, batch * rows, self.heads, cols, -1).unbind(0)
        place = torch.arange(cols, device=x.device)
        offset = (place[:, None] - place[None, :]).clamp(-self.reach, self.reach) + self.reach
        bias = self.bias[:, offset].to(q.dtype)
        h = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        h = h.reshape(batch, rows, self.heads, cols, -1).permute(0, 2, 4, 1, 3).reshape(x.shape)
        return x + self.out(h)
