"""A measurement: images some of whose voxels are known and the others lost, as where metal left a void."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mri_d3gm.physics.fft import mirror
from mri_d3gm.physics.measurement import Measurement


@dataclass(frozen=True)
class Voids(Measurement):
    """image (batch, rows, cols) complex, zero where it is lost; kept (batch, rows, cols) bool, which voxels are known."""

    image: Tensor
    kept: Tensor

    @classmethod
    def simulate(cls, image: Tensor, generator: torch.Generator) -> "Voids":
        """Three quarters of the voxels, at random; what the law tests measure."""
        kept = torch.rand(image.shape, generator=generator) < 0.75
        return cls(image * kept, kept)

    def prior_mean(self) -> Tensor:
        return self.image

    def forward(self, image: Tensor) -> Tensor:
        return image * self.kept

    def adjoint(self, data: Tensor) -> Tensor:
        return data * self.kept

    def agree(self, estimate: Tensor, weight: Tensor | None = None) -> Tensor:
        return torch.where(self.kept, self.image, estimate)

    def residual(self, estimate: Tensor) -> Tensor:
        difference = torch.view_as_real(self.forward(estimate) - self.image)
        return (difference.square().sum((1, 2, 3)) / (2 * self.kept.sum((1, 2))).clamp_min(1)).sqrt()

    def mirrored(self, axes: tuple[int, ...]) -> "Voids":
        return self.with_tensors({name: mirror(tensor, axes) for name, tensor in self.tensors().items()})

    def turned(self) -> "Voids":
        return self.with_tensors({name: tensor.mT for name, tensor in self.tensors().items()})
