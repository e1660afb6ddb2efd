"""The paper's first choice: a time-conditional U-Net from start, mu and noisy residual to a residual."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.layers import AxisAttention, ResidualBlock, TimeEmbedding, zeroed


class UNet(nn.Module):
    """Levels of two residual blocks, halved in between, attention along both axes at the bottom; no physics."""

    def __init__(self, features: int = 32, levels: int = 3, embedding: int = 64) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(levels)]
        self.time = TimeEmbedding(embedding)
        self.first = nn.Conv2d(6, features, 3, padding=1)
        self.encode = nn.ModuleList(ResidualBlock(width, embedding) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.attention = AxisAttention(widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
        self.decode = nn.ModuleList(ResidualBlock(width, embedding) for width in widths)
        self.last = zeroed(nn.Conv2d(features, 2, 3, padding=1))

    def forward(self, noisy: Tensor, start: Tensor, mu: Tensor, gain: Tensor, log_snr: Tensor, **_: object) -> Estimates:
        """One estimate of x0, (batch, rows, cols) complex; arguments as in `ConsistentNet`, the measurement unused."""
        rows, cols = mu.shape[-2:]
        multiple = 2 ** len(self.down)
        h = torch.cat([to_channels(image) for image in (start, mu, noisy)], 1)
        h = self.first(functional.pad(h, (0, -cols % multiple, 0, -rows % multiple)))
        embedding = self.time(log_snr)
        skips = []
        for level, block in enumerate(self.encode):
            h = block(h, embedding)
            if level < len(self.down):
                skips.append(h)
                h = self.down[level](h)
        h = self.attention(self.attention(h), -2)
        for level in reversed(range(len(self.decode))):
            if level < len(self.up):
                h = skips[level] + self.up[level](h)
            h = self.decode[level](h, embedding)
        residual = from_channels(self.last(h)[..., :rows, :cols].float(), mu)
        return Estimates([start + gain * residual])
