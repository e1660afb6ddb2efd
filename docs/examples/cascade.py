"""A network: a few convolutions, and agreement with the measurement after each."""

import torch
from torch import nn

from mri_d3gm.networks.channels import from_channels, to_channels
from mri_d3gm.networks.estimates import Estimates
from mri_d3gm.networks.layers import ResidualBlock, TimeEmbedding, zeroed


class Cascade(nn.Module):
    """Stages that see the current image, mu and the noisy residual, and answer a change of the image."""

    def __init__(self, stages: int = 3, features: int = 32, embedding: int = 64) -> None:
        super().__init__()
        self.time = TimeEmbedding(embedding)
        self.first = nn.ModuleList(nn.Conv2d(6, features, 3, padding=1) for _ in range(stages))
        self.blocks = nn.ModuleList(ResidualBlock(features, embedding) for _ in range(stages))
        self.last = nn.ModuleList(zeroed(nn.Conv2d(features, 2, 3, padding=1)) for _ in range(stages))

    def forward(self, noisy, start, mu, gain, log_snr, measurement, *, close=True) -> Estimates:
        """Estimates of x0 after each stage, (batch, rows, cols) complex; arguments as in `ConsistentNet`."""
        image, images, embedding = start, [], self.time(log_snr)
        for number, (first, block, last) in enumerate(zip(self.first, self.blocks, self.last, strict=True)):
            seen = torch.cat([to_channels(one) for one in (image, mu, noisy)], 1)
            image = image + gain * from_channels(last(block(first(seen), embedding)), mu)
            if close or number < len(self.last) - 1:
                image = measurement.agree(image)
            images.append(image)
        return Estimates(images)
