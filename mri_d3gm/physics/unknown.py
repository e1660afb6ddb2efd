"""Nothing is known but a degraded image: photographs, volumes of unknown blur."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mri_d3gm.physics.fft import mirror
from mri_d3gm.physics.measurement import Measurement


@dataclass(frozen=True)
class Unknown(Measurement):
    """mean: the degraded images, (batch, rows, cols) complex or (batch, channels, rows, cols) real; without_phase: complex
    images that are known to be real.
    """

    mean: Tensor
    without_phase: bool = False

    @classmethod
    def simulate(cls, image: Tensor, generator: torch.Generator) -> "Unknown":
        """Images with noise."""
        noise = torch.randn(image.shape, dtype=image.dtype, generator=generator)
        return cls(image + 0.1 * noise)

    def prior_mean(self) -> Tensor:
        return self.mean

    def forward(self, image: Tensor) -> Tensor:
        return image.new_zeros(len(image), 0)

    def adjoint(self, data: Tensor) -> Tensor:
        return torch.zeros_like(self.mean)

    def agree(self, estimate: Tensor, weight: Tensor | None = None) -> Tensor:
        return estimate

    def window(self, mean: Tensor, rows: slice, cols: slice) -> "Unknown":
        return Unknown(mean[..., rows, cols], self.without_phase)

    @property
    def real(self) -> bool:
        return self.without_phase

    def mirrored(self, axes: tuple[int, ...]) -> "Unknown":
        return Unknown(mirror(self.mean, axes), self.without_phase)

    def turned(self) -> "Unknown":
        return Unknown(self.mean.transpose(-2, -1), self.without_phase)
