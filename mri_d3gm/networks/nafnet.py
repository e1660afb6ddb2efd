"""The paper's second choice: NAFNet (Chen et al., ECCV 2022), time-conditional, with squeeze-and-excitation."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.layers import TimeEmbedding, zeroed

CELL = 8  # pixels a side of the squares that local means are of


def simple_gate(x: Tensor) -> Tensor:
    """Product of the two halves of the channels, which are last."""
    first, second = x.chunk(2, -1)
    return first * second


class PixelNorm(nn.Module):
    """Normalises the channels of every pixel by themselves, then scales and shifts them; channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels, 1, 1)), nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.weight.flatten(), self.bias.flatten(), 1e-6)


def pointwise(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of one pixel as the matrix product that it is, channels last."""
    return functional.linear(x, layer.weight.flatten(1), layer.bias)


def local_mean(x: Tensor, reach: int, cell: int = CELL) -> Tensor:
    """Mean of each cell of pixels with its neighbours up to `reach` pixels away, one value a cell; borders count less."""
    coarse = functional.avg_pool2d(x, cell, ceil_mode=True, count_include_pad=False)
    radius = max(1, reach // cell)
    return functional.avg_pool2d(coarse, 2 * radius + 1, 1, radius, count_include_pad=False)


def spread(cells: Tensor, rows: int, cols: int, cell: int = CELL) -> Tensor:
    """Values of cells to their pixels, (batch, channels, rows, cols)."""
    return cells.repeat_interleave(cell, -2)[..., :rows, :].repeat_interleave(cell, -1)[..., :cols]


class NAFBlock(nn.Module):
    """Depthwise convolution, gate, squeeze-and-excitation; then a gated pointwise layer; both residual.

    Squeezing and norms are local, so that a tile is restored as the whole picture is: means over about `reach` pixels.
    """

    def __init__(self, channels: int, embedding: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.norm1, self.norm2 = PixelNorm(channels), PixelNorm(channels)
        self.modulation = zeroed(nn.Linear(embedding, 2 * channels))
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.squeeze = nn.Conv2d(channels, channels, 1)
        self.project = zeroed(nn.Conv2d(channels, channels, 1))
        self.feed = nn.Conv2d(channels, 2 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, None, None].chunk(2, -1)
        x = x.permute(0, 2, 3, 1)
        h = pointwise(self.expand, torch.addcmul(shift, self.norm1(x), 1 + scale))
        h = simple_gate(self.depthwise(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        squeezed = self.squeeze(local_mean(h.permute(0, 3, 1, 2), self.reach))
        h = h * spread(squeezed, *h.shape[1:3]).permute(0, 2, 3, 1)
        x = x + pointwise(self.project, h)
        return (x + pointwise(self.out, simple_gate(pointwise(self.feed, self.norm2(x))))).permute(0, 3, 1, 2)


class NAFTrunk(nn.Module):
    """Encoder and decoder of NAF blocks over `levels` resolutions, from `inputs` channels to `outputs`, which start at zero.

    reach: pixels on each side that squeeze-and-excitation looks at; unshuffle: resolution of the first level is lower by it.
    `stride`: moved by so many pixels, an image gives the same answer, moved.
    """

    def __init__(
        self, inputs: int, outputs: int, features: int, *, levels: int, blocks: int, embedding: int, reach: int, unshuffle: int
    ) -> None:
        super().__init__()
        self.unshuffle, self.stride = unshuffle, unshuffle * 2 ** (levels - 1) * CELL
        widths = [features * 2**level for level in range(levels)]
        self.time = TimeEmbedding(embedding)
        self.first = nn.Conv2d(inputs * unshuffle**2, features, 3, padding=1)
        reaches = [reach // unshuffle // 2**level for level in range(levels)]
        stages = list(zip(widths, reaches, strict=True))
        self.encode = nn.ModuleList(nn.ModuleList(NAFBlock(w, embedding, r) for _ in range(blocks)) for w, r in stages)
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.up = nn.ModuleList(nn.Conv2d(2 * w, 4 * w, 1) for w in widths[:-1])
        self.decode = nn.ModuleList(NAFBlock(w, embedding, r) for w, r in stages[:-1])
        self.last = zeroed(nn.Conv2d(features, outputs * unshuffle**2, 3, padding=1))

    def through(self, h: Tensor, log_snr: Tensor) -> Tensor:
        """(batch, inputs, rows, cols) to (batch, outputs, rows, cols); log_snr (batch,)."""
        rows, cols = h.shape[-2:]
        multiple = self.unshuffle * 2 ** len(self.down)
        h = functional.pad(h, (0, -cols % multiple, 0, -rows % multiple))
        h = self.first(functional.pixel_unshuffle(h, self.unshuffle)).contiguous(memory_format=torch.channels_last)
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
        return functional.pixel_shuffle(self.last(h), self.unshuffle)[..., :rows, :cols].float()


class NAFNet(NAFTrunk):
    """The residual straight from the trunk; no physics.

    channels: 2 for complex images, 3 for colour; the rest as in `NAFTrunk`.
    """

    def __init__(
        self,
        features: int = 32,
        *,
        levels: int = 3,
        blocks: int = 2,
        embedding: int = 64,
        channels: int = 2,
        reach: int = 64,
        unshuffle: int = 1,
    ) -> None:
        sizes = {"levels": levels, "blocks": blocks, "embedding": embedding, "reach": reach, "unshuffle": unshuffle}
        super().__init__(3 * channels, channels, features, **sizes)

    def forward(self, noisy: Tensor, start: Tensor, mu: Tensor, gain: Tensor, log_snr: Tensor, **_: object) -> Estimates:
        """One estimate of x0, of mu's shape; arguments as in `ConsistentNet`, the measurement unused.

        The noisy state counts as far as it says anything: at T, where it is all noise, hardly.
        """
        told = log_snr.sigmoid()[:, None, None, None] * to_channels(noisy)
        residual = self.through(torch.cat([to_channels(start), to_channels(mu), told], 1), log_snr)
        return Estimates([start + gain * from_channels(residual, mu)])
