"""The consistent denoiser: a few small networks with data consistency between them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.layers import AxisAttention, ResidualBlock, TimeEmbedding, zeroed
from mri_d3gm.physics.measurement import Measurement


class Deep(nn.Module):
    """x + its change at half the resolution, which starts at zero."""

    def __init__(self, features: int, embedding: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(features, 2 * features, 2, stride=2)
        self.before, self.after = ResidualBlock(2 * features, embedding), ResidualBlock(2 * features, embedding)
        self.attention = AxisAttention(2 * features)
        self.up = zeroed(nn.ConvTranspose2d(2 * features, features, 2, stride=2))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return x + self.up(self.after(self.attention(self.before(self.down(x), embedding)), embedding))


class Block(nn.Module):
    """Half-resolution network with attention at a quarter of the resolution: channels and features to a residual.

    deep: between the attentions another level, at an eighth of the resolution with twice the features.
    """

    def __init__(self, in_channels: int, features: int, embedding: int, deep: bool = False) -> None:
        super().__init__()
        self.multiple = 8 if deep else 4
        self.first = nn.Conv2d(4 * in_channels + features, features, 3, padding=1)
        self.fine1, self.fine2 = ResidualBlock(features, embedding), ResidualBlock(features, embedding)
        self.down = nn.Conv2d(features, 2 * features, 2, stride=2)
        self.coarse = nn.ModuleList(ResidualBlock(2 * features, embedding) for _ in range(2))
        self.attention = nn.ModuleList(AxisAttention(2 * features) for _ in range(2))
        self.deep = Deep(2 * features, embedding) if deep else None
        self.up = nn.ConvTranspose2d(2 * features, features, 2, stride=2)
        self.last = zeroed(nn.Conv2d(features, 8, 3, padding=1))

    def forward(self, x: Tensor, hidden: Tensor | None, embedding: Tensor, both_axes: bool) -> tuple[Tensor, Tensor]:
        rows, cols = x.shape[-2:]
        missing = (0, -cols % self.multiple, 0, -rows % self.multiple)
        x = functional.pad(x, missing) if any(missing) else x
        x = functional.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        if hidden is None:
            hidden = x.new_zeros(x.shape[0], self.fine1.conv1.in_channels, *x.shape[-2:])
        x = torch.cat([x, hidden.to(x.dtype)], 1).contiguous(memory_format=torch.channels_last)
        fine = self.fine1(self.first(x), embedding)
        h = self.down(fine)
        for index, (block, attention) in enumerate(zip(self.coarse, self.attention, strict=True)):
            h = block(h, embedding)
            h = attention(h, -2 if both_axes and index % 2 == 1 else -1)
            if self.deep is not None and index == 0:
                h = self.deep(h, embedding)
        hidden = self.fine2(fine + self.up(h), embedding)
        return functional.pixel_shuffle(self.last(hidden), 2)[..., :rows, :cols].float(), hidden


class ErrorHead(nn.Module):
    """Features of the last block and the magnitude before its consistency to the error to expect; it teaches neither."""

    def __init__(self, features: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features + 4, features, 3, padding=1)
        self.block = ResidualBlock(features, embedding)
        self.last = zeroed(nn.Conv2d(features, 4, 3, padding=1))
        nn.init.constant_(self.last.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, hidden: Tensor, magnitude: Tensor, embedding: Tensor) -> Tensor:
        rows, cols = magnitude.shape[-2:]
        missing = (0, 2 * hidden.shape[-1] - cols, 0, 2 * hidden.shape[-2] - rows)
        fine = functional.pixel_unshuffle(functional.pad(magnitude[:, None], missing), 2)
        h = self.block(self.first(torch.cat([hidden, fine.to(hidden.dtype)], 1).detach()), embedding.detach())
        return functional.softplus(functional.pixel_shuffle(self.last(h), 2)[:, 0, :rows, :cols].float()) + 1e-4


class ConsistentNet(nn.Module):
    """Unrolled blocks; each sees the current image, mu and the noisy residual without their low-resolution phase.

    After every block the estimate is brought to agree with the measurement, where that is not exact before the first block
    too: unfolding what the coils can unfold is not the network's task. Where nothing is known of the measurement the blocks
    act alone (phase 1, every sample measured). both_axes: attention along rows and columns in turn whatever the mask, as it is
    for 2-D masks. deep: see `Block`. foretell: also predict how large the error will be.
    conditioned: told the measurement's `conditions`, from which it learns how much an estimate weighs in each agreement.
    """

    def __init__(
        self,
        blocks: int = 3,
        features: int = 32,
        embedding: int = 64,
        *,
        both_axes: bool = False,
        deep: bool = False,
        foretell: bool = False,
        conditioned: bool = False,
    ) -> None:
        super().__init__()
        self.both_axes = both_axes
        self.time = TimeEmbedding(embedding)
        self.blocks = nn.ModuleList(Block(7, features, embedding, deep) for _ in range(blocks))
        self.error = ErrorHead(features, embedding) if foretell else None
        self.conditions = zeroed(nn.Linear(3, embedding)) if conditioned else None
        self.weights = zeroed(nn.Linear(3, blocks)) if conditioned else None

    def forward(
        self,
        noisy: Tensor,
        start: Tensor,
        mu: Tensor,
        gain: Tensor,
        log_snr: Tensor,
        measurement: Measurement,
        *,
        close: bool = True,
    ) -> Estimates:
        """Estimates of x0 after each block, (batch, rows, cols) complex.

        close=False leaves out the agreement after the last block, for callers that apply their own. noisy is
        c_in (x_t - (A + B) mu), start the skip path's estimate, gain (batch, 1, 1) scales the residual, masked axis last.
        """
        image, hidden, images = start, None, []
        phase = measurement.phase()
        log_fraction = measurement.sampled_fraction().log()[:, None, None, None].expand(-1, 1, *mu.shape[-2:])
        both_axes = self.both_axes or -2 in measurement.masked_axes
        embedding, weights = self.time(log_snr), [measurement.weight()] * len(self.blocks)
        if self.conditions is not None and self.weights is not None:
            conditions = measurement.conditions()
            embedding = embedding + self.conditions(conditions)
            factors = self.weights(conditions).float().exp().unbind(1)
            weights = [None if weight is None else weight * factor for weight, factor in zip(weights, factors, strict=True)]
        if not measurement.exact:
            image = measurement.agree(image, weights[0])
        for index, block in enumerate(self.blocks):
            seen = [to_channels(i if phase is None else i * phase.conj()) for i in (image, mu, noisy)]
            residual, hidden = block(torch.cat([*seen, log_fraction], 1), hidden, embedding, both_axes)
            change = from_channels(residual, mu) * gain
            image = image + (change if phase is None else change * phase)
            magnitude = image.abs()
            if close or index < len(self.blocks) - 1:
                image = measurement.agree(image, weights[min(index + 1, len(weights) - 1)])
            images.append(image)
        return Estimates(images, None if self.error is None else self.error(hidden, magnitude, embedding))
