"""The paper's second choice: NAFNet (Chen et al., ECCV 2022), time-conditional, with squeeze-and-excitation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.layers import TimeEmbedding


def simple_gate(x: Tensor) -> Tensor:
    """Product of the two halves of the channels."""
    first, second = x.chunk(2, 1)
    return first * second


class NAFBlock(nn.Module):
    """Depthwise convolution, gate, squeeze-and-excitation; then a gated pointwise layer; both residual."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(1, channels), nn.GroupNorm(1, channels)
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.squeeze = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.feed = nn.Conv2d(channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        for layer in (self.modulation, self.project, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = simple_gate(self.depthwise(self.expand(self.norm1(x) * (1 + scale) + shift)))
        x = x + self.project(h * self.squeeze(h.mean((-2, -1), keepdim=True)))
        return x + self.out(simple_gate(self.feed(self.norm2(x))))


class NAFNet(nn.Module):
    """Encoder and decoder of NAF blocks over `levels` resolutions; no physics."""

    def __init__(self, features: int = 32, levels: int = 3, blocks: int = 2, embedding: int = 64) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(levels)]
        self.time = TimeEmbedding(embedding)
        self.first = nn.Conv2d(6, features, 3, padding=1)
        self.encode = nn.ModuleList(nn.ModuleList(NAFBlock(w, embedding) for _ in range(blocks)) for w in widths)
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.up = nn.ModuleList(nn.Conv2d(2 * w, 4 * w, 1) for w in widths[:-1])
        self.decode = nn.ModuleList(NAFBlock(width, embedding) for width in widths[:-1])
        self.last = nn.Conv2d(features, 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(
        self, noisy: Tensor, start: Tensor, mu: Tensor, gain: Tensor, log_snr: Tensor, **physics: object
    ) -> list[Tensor]:
        """One estimate of x0, (batch, rows, cols) complex; arguments as in `ConsistentNet`, physics unused."""
        rows, cols = mu.shape[-2:]
        multiple = 2 ** len(self.down)
        h = torch.cat([to_channels(image) for image in (start, mu, noisy)], 1)
        h = self.first(functional.pad(h, (0, -cols % multiple, 0, -rows % multiple)))
        embedding = self.time(log_snr)
        skips = []
        for level, stage in enumerate(self.encode):
            for block in stage:  # type: ignore[attr-defined]
                h = block(h, embedding)
            if level < len(self.down):
                skips.append(h)
                h = self.down[level](h)
        for level in reversed(range(len(self.up))):
            h = self.decode[level](skips[level] + functional.pixel_shuffle(self.up[level](h), 2), embedding)
        residual = from_channels(self.last(h)[..., :rows, :cols].float())
        return [start + gain[:, None, None] * residual]
