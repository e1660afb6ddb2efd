"""Low-resolution images as the centre of k-space: what super-resolution knows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mri_d3gm.physics.consistency import projection
from mri_d3gm.physics.fft import fft2c, ifft2c, mirror
from mri_d3gm.physics.measurement import MEASURED, Measurement
from mri_d3gm.physics.operators import adjoint, forward
from mri_d3gm.physics.phase import data_residual, low_resolution_phase
from mri_d3gm.physics.resolution import centre_mask, embed
from mri_d3gm.physics.unknown import Unknown


def doubting(doubt: float, draws: int) -> int:
    """How many draws take nothing for known where that is in doubt: their share in whole draws, and some of both of several."""
    few = round(draws * doubt)
    return min(max(few, 1), draws - 1) if 0 < doubt < 1 < draws else few


@dataclass(frozen=True)
class Truncation(Measurement):
    """kspace (batch, 1, rows, cols) complex: of the low-resolution image on the high-resolution grid (`resolution.embed`); mask
    (batch, rows, cols): the lines that its voxels determine alone. The images are real. doubt: part of the mean that draws
    make which take nothing for known; `doubting` says how many.
    """

    kspace: Tensor
    mask: Tensor
    doubt: float = 0.0

    @classmethod
    def of(cls, image: Tensor, factor: int) -> "Truncation":
        """The measurement that real images (batch, rows, cols) are, for `factor` times as many rows and columns."""
        mask = centre_mask((image.shape[-2], image.shape[-1]), factor)
        return cls(embed(image, factor)[:, None], mask.to(image.device).expand(len(image), -1, -1))

    @classmethod
    def simulate(cls, image: Tensor, generator: torch.Generator) -> "Truncation":
        """Of the image's real part cut to even sizes, as if it were of low resolution itself."""
        return cls.of(image[..., : image.shape[-2] // 2, : image.shape[-1] // 2].real, 2)

    def prior_mean(self) -> Tensor:
        """With the Nyquist lines, which the mask leaves out."""
        return ifft2c(self.kspace[:, 0])

    def forward(self, image: Tensor) -> Tensor:
        return forward(image, self.mask)

    def adjoint(self, data: Tensor) -> Tensor:
        return adjoint(data, self.mask)

    def agree(self, estimate: Tensor, weight: Tensor | None = None) -> Tensor:
        return projection(estimate, self.kspace, self.mask)

    def window(self, mean: Tensor, rows: slice, cols: slice) -> "Truncation":
        """The same frequencies of a part: what its border adds is in the mean and an estimate alike."""
        part = mean[..., rows, cols]
        mask = self.mask
        for axis in (-2, -1):
            size, whole = part.shape[axis], mask.shape[axis]
            places = torch.div((torch.arange(size, device=mask.device) - size // 2) * whole, size, rounding_mode="trunc")
            mask = mask.index_select(axis, places + whole // 2)
        return Truncation(fft2c(part)[:, None] * mask[:, None], mask)

    def residual(self, estimate: Tensor) -> Tensor:
        return data_residual(estimate, self.kspace, self.mask)

    def assumed(self, draw: int, draws: int) -> Measurement:
        known = draw < draws - doubting(self.doubt, draws)
        return self if known else Unknown(self.prior_mean(), without_phase=True)

    @property
    def real(self) -> bool:
        return True

    @property
    def masked_axes(self) -> tuple[int, ...]:
        return (-2, -1)

    def sampled(self) -> Tensor:
        return self.mask.to(torch.uint8) * MEASURED

    def phase(self) -> Tensor:
        return low_resolution_phase(self.kspace, self.mask)

    def mirrored(self, axes: tuple[int, ...]) -> "Truncation":
        return self.with_tensors({name: mirror(tensor, axes) for name, tensor in self.tensors().items()})

    def turned(self) -> "Truncation":
        return self.with_tensors({name: tensor.transpose(-2, -1) for name, tensor in self.tensors().items()})
