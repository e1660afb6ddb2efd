"""Thick slices of a finer image: what is known where voxels are to become isotropic."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mri_d3gm.physics.fft import mirror
from mri_d3gm.physics.measurement import Measurement

PROFILES = ("box", "gaussian")
WEIGHT = 1e-3  # variance of the noise over that of an estimate's error
GRADIENT, NOISE = 0.25, 1e-2  # what the smoothest image is allowed, in squares of its second differences
WIDTH = 2.3548  # that a Gaussian has at half its maximum, in deviations


def fine_count(slices: int, spacing: float, thickness: float) -> int:
    """Voxels that a stack covers from the first slice's edge to the last one's; spacing and thickness in such voxels."""
    return max(1, int((slices - 1) * spacing + thickness + 1e-3))


def slice_profiles(slices: int, spacing: float, thickness: float, kind: str = "box") -> Tensor:
    """Share that each voxel has in each slice, (slices, `fine_count`) float32; rows sum to 1, the grid's centre is the stack's.

    spacing: between centres, in voxels, like the thickness. kind: box, constant over the thickness, or gaussian, as wide at
    half its maximum as the slice is thick (Zhao et al., IEEE Trans Med Imaging 2021). Ends of the grid cut profiles.
    """
    count = fine_count(slices, spacing, thickness)
    places = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
    centres = spacing * (torch.arange(slices, dtype=torch.float64) - (slices - 1) / 2)
    away = (places - centres[:, None]).abs()
    if kind == "gaussian":
        shares = torch.exp(-(away * WIDTH / thickness).square() / 2)
    else:
        shares = ((thickness + 1) / 2 - away).clamp(0, min(1.0, thickness))
    return (shares / shares.sum(1, keepdim=True)).float()


@dataclass(frozen=True)
class SliceStack(Measurement):
    """data (batch, rows, slices) complex, without imaginary part; profile (batch, slices, cols): the share of each column in
    each slice. across: the images' axis through the slices, -1 or -2, where data have it too. The images are real.
    """

    data: Tensor
    profile: Tensor
    across: int = -1

    @classmethod
    def simulate(cls, image: Tensor, generator: torch.Generator) -> "SliceStack":
        """Of the image's real part, in slices of three voxels and a half with gaps of a half, cut to what they cover."""
        profile = slice_profiles(max(1, image.shape[-1] // 4), 4.0, 3.5, "gaussian")
        known = cls(image[..., :1], profile.expand(len(image), -1, -1))
        return replace(known, data=known.forward(image[..., : profile.shape[1]].real.to(torch.complex64)))

    def _last(self, images: Tensor) -> Tensor:
        """Images or data with the axis through the slices last, or back."""
        return images if self.across == -1 else images.transpose(-2, -1)

    def _solve(self, slices: Tensor, reach: Tensor, weight: Tensor) -> Tensor:
        """(profile reach + weight)^-1 on (batch, rows, slices)."""
        gram = self.profile @ reach + weight[:, None, None] * torch.eye(slices.shape[-1], device=slices.device)
        return slices @ torch.linalg.inv_ex(gram)[0].mT.to(slices.dtype)

    def prior_mean(self) -> Tensor:
        """The smoothest image that agrees: it has the least squares of second, and GRADIENT times those of first, differences.

        Measured on heads: as good as the agreement of a cubic interpolation, which takes two steps.
        """
        cols, profile = self.profile.shape[-1], self.profile.double()
        one = torch.eye(cols, dtype=torch.float64, device=profile.device)
        first, second = one.diff(dim=0), one.diff(n=2, dim=0)
        reach = torch.linalg.inv(second.T @ second + GRADIENT * first.T @ first + 1e-8 * one) @ profile.mT
        answer = torch.linalg.solve(profile @ reach + NOISE * one[: profile.shape[-2], : profile.shape[-2]], reach.mT)
        return self._last(self._last(self.data) @ answer.to(self.data.dtype))

    def forward(self, image: Tensor) -> Tensor:
        return self._last(self._last(image) @ self.profile.mT.to(image.dtype))

    def adjoint(self, data: Tensor) -> Tensor:
        return self._last(self._last(data) @ self.profile.to(data.dtype))

    def agree(self, estimate: Tensor, weight: Tensor | None = None) -> Tensor:
        """argmin_x |A x - y|^2 + weight |x - estimate|^2, in closed form."""
        known = self.weight() if weight is None else weight
        missed = self._last(self.data) - self._last(self.forward(estimate))
        return estimate + self._last(self._solve(missed, self.profile.mT, known) @ self.profile.to(missed.dtype))

    def residual(self, estimate: Tensor) -> Tensor:
        return (self.forward(estimate) - self.data).abs().square().mean((-2, -1)).sqrt()

    def weight(self) -> Tensor:
        return torch.full((len(self),), WEIGHT, device=self.data.device)

    @property
    def exact(self) -> bool:
        return False

    @property
    def real(self) -> bool:
        return True

    @property
    def masked_axes(self) -> tuple[int, ...]:
        return (self.across,)

    def sampled_fraction(self) -> Tensor:
        """Slices over columns."""
        return torch.full((len(self),), self.profile.shape[-2] / self.profile.shape[-1], device=self.data.device)

    def mirrored(self, axes: tuple[int, ...]) -> "SliceStack":
        data = mirror(self.data, tuple(axis for axis in axes if axis != self.across))
        return replace(self, data=data, profile=mirror(self.profile, (-1,)) if self.across in axes else self.profile)

    def turned(self) -> "SliceStack":
        return SliceStack(self.data.transpose(-2, -1), self.profile, -3 - self.across)
