"""Cartesian k-space of one coil or many, undersampled along one axis or both."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mri_d3gm.io.sampling import center_lines
from mri_d3gm.physics.coil_maps import (
    MINIMUM_LINES,
    estimate_coil_maps,
    explained,
    low_resolution_maps,
    smooth_coil_maps,
)
from mri_d3gm.physics.consistency import projection, proximal
from mri_d3gm.physics.fft import fft2c, ifft2c, mirror
from mri_d3gm.physics.measurement import MEASURED, OUTSIDE, Measurement
from mri_d3gm.physics.normalise import normalised_kspace
from mri_d3gm.physics.operators import adjoint, combine, expand, forward, rss
from mri_d3gm.physics.phase import data_residual, has_smooth_phase, low_resolution_phase
from mri_d3gm.physics.withheld import evenly_spaced, withheld_samples

WEIGHT = 0.01  # of an estimate against the data, where coil maps are good
COARSE_WEIGHT = 0.1  # where they are of low resolution
NOISE_SHARE = 0.6
FOLDS, FOLDS_OF_MANY = 4, 16
INNER_ITERATIONS, FINAL_ITERATIONS, UNFOLDING_ITERATIONS = 5, 10, 60
JOINT_SHARE, JOINT_LEAST = 0.5, 0.0005  # of the noise: weight of an estimate where two images are sought at once


def weight_of(map_source: str) -> float:
    """Of an estimate against the data, by where the coil maps are from (`pipeline.Prepared`)."""
    return COARSE_WEIGHT if map_source == "low-resolution" else WEIGHT


def measured(mask: Tensor, outside: Tensor | None) -> Tensor:
    """A mask (..., rows | 1, cols | 1) without what was not encoded, where that leaves it along its own axes."""
    if outside is None or torch.broadcast_shapes(mask.shape, outside.shape)[-2:] != mask.shape[-2:]:
        return mask
    return mask & ~outside


@dataclass(frozen=True)
class Cartesian(Measurement):
    """y = M F S x + n, shapes as in `operators`.

    kspace (batch, coils, rows, cols) complex, made zero where not measured; mask: bool, what was measured, broadcastable to
    (batch, rows, cols); coil_maps (batch, coils, rows, cols) with S^H S = 1 on the support, None for one coil of uniform
    sensitivity. outside: bool like mask, where nothing was encoded: the image has nothing there, and it is neither measured nor
    missing; None for nowhere. sigma: deviation of the noise in each real and imaginary part; map_weight: how little an
    estimate may weigh against the data, more for maps that are too coarse for the data to be believed further; both (batch,)
    or a number.

    second_maps: of a second image, shaped as coil_maps, where two places of the object lie in one pixel (Uecker et al., Magn
    Reson Med 2014); second: that image, found by unfolding both if None. Estimates are of the first image, and agree with what
    the second leaves of k-space. rest: energy of the image of coils that are no part of kspace, (batch, rows, cols) real
    (`compression`). smooth: whether the phase is, (batch,) bool, as the centre lines show if None; parts keep it. short_centre:
    whether coil_maps are from few centre lines and would be better from complete k-space (`recalibrated`), (batch,) bool.
    """

    kspace: Tensor
    mask: Tensor
    coil_maps: Tensor | None = None
    outside: Tensor | None = None
    sigma: Tensor | float = 0.0
    map_weight: Tensor | float = WEIGHT
    second_maps: Tensor | None = None
    second: Tensor | None = None
    rest: Tensor | None = None
    smooth: Tensor | None = None
    short_centre: Tensor | bool = False

    def __post_init__(self) -> None:
        batch, device, mask = len(self.kspace), self.kspace.device, measured(self.mask, self.outside)
        held: dict[str, Tensor | None] = {"mask": mask.expand(batch, *mask.shape[-2:])}
        for name in ("outside", "coil_maps", "second_maps", "second", "rest"):
            value = getattr(self, name)
            held[name] = None if value is None else value.expand(batch, *value.shape[1:])
        for name in ("sigma", "map_weight"):
            number = torch.as_tensor(getattr(self, name), dtype=torch.float32, device=device)
            held[name] = number.expand(batch)
        held["short_centre"] = torch.as_tensor(self.short_centre, device=device).expand(batch)
        held["kspace"] = self.kspace * mask.unsqueeze(-3)
        if self.smooth is None:
            known = held["kspace"], held["mask"], held["coil_maps"], held["sigma"]
            held["smooth"] = has_smooth_phase(*known)  # type: ignore[arg-type]
        for name, value in held.items():
            object.__setattr__(self, name, value)
        if self.second_maps is not None and self.second is None:
            nothing = torch.zeros_like(self.second_maps[:, 0])
            object.__setattr__(self, "second", self._unfolded(nothing)[:, 1])

    @classmethod
    def simulate(cls, image: Tensor, generator: torch.Generator) -> "Cartesian":
        """One or three coils, a mask along columns, rows or both, and sometimes columns that were not encoded."""
        batch, rows, cols = image.shape
        coils, kind = (int(torch.randint(count, (), generator=generator)) for count in (2, 3))
        maps = None
        if coils:
            places = torch.rand(batch, 3, 6, generator=generator)
            maps = smooth_coil_maps(places, rows, cols)
        shape = ((1, cols), (rows, 1), (rows, cols))[kind]
        mask = torch.rand(batch, *shape, generator=generator) < 0.5
        mask[:, shape[0] // 2 - 1 : shape[0] // 2 + 2, shape[1] // 2 - 1 : shape[1] // 2 + 2] = True
        outside = None
        if torch.rand((), generator=generator) < 0.5:
            outside = torch.zeros(1, 1, cols, dtype=torch.bool)
            outside[..., :3] = True
        return cls(forward(image, torch.ones_like(mask), maps), mask, maps, outside)

    @property
    def known(self) -> Tensor:
        """Where k-space is known: measured, or outside of what was encoded, where it is zero."""
        return self.mask if self.outside is None else self.mask | self.outside

    def _unfolded(self, estimate: Tensor) -> Tensor:
        """Both images, (batch, 2, rows, cols), the first of them near `estimate`, the second near nothing."""
        assert self.coil_maps is not None and self.second_maps is not None
        maps = torch.stack([self.coil_maps, self.second_maps], 1)
        prior = torch.stack([estimate, torch.zeros_like(estimate)], 1)
        return proximal(prior, self.kspace, self.known, maps, self._joint_weight()[..., None], UNFOLDING_ITERATIONS)

    def _joint_weight(self) -> Tensor:
        return (JOINT_SHARE * torch.as_tensor(self.sigma)).clamp_min(JOINT_LEAST)[:, None, None]

    @cached_property
    def first_kspace(self) -> Tensor:
        """What the second image, if there is one, leaves of k-space."""
        return self.kspace if self.second is None else self.kspace - forward(self.second, self.known, self.second_maps)

    def prior_mean(self) -> Tensor:
        return self.adjoint(self.first_kspace)

    def forward(self, image: Tensor) -> Tensor:
        return forward(image, self.mask, self.coil_maps)

    def adjoint(self, data: Tensor) -> Tensor:
        return adjoint(data, self.mask, self.coil_maps)

    def agree(self, estimate: Tensor, weight: Tensor | None = None) -> Tensor:
        """Exact for one coil; for many argmin |M F S x - y|^2 + weight |x - estimate|^2, a few conjugate-gradient steps."""
        return self._agree(estimate, self.map_weight if weight is None else weight, INNER_ITERATIONS)

    def conclude(self, estimate: Tensor, sigma_r: float) -> Tensor:
        """With a weight that grows with the noise, 0.6 sigma / sigma_r, from the maps' own, or twice that of coarse maps; the
        numbers did best on held-out training slices.
        """
        sigma, least = torch.as_tensor(self.sigma), torch.as_tensor(self.map_weight)
        least = torch.where(least > WEIGHT, 2 * least, least)
        return self._agree(estimate, torch.maximum(NOISE_SHARE * sigma / sigma_r, least), FINAL_ITERATIONS)

    def _agree(self, estimate: Tensor, weight: Tensor | float, iterations: int) -> Tensor:
        if self.coil_maps is None:
            return projection(estimate, self.kspace, self.known)
        each = torch.as_tensor(weight)[..., None, None]
        return proximal(estimate, self.first_kspace, self.known, self.coil_maps, each, iterations)

    def whole_kspace(self, estimate: Tensor) -> Tensor:
        """K-space (batch, coils, rows, cols) of the object that an estimate is a part of, at every sample."""
        if self.second_maps is None:
            return fft2c(expand(estimate, self.coil_maps))
        assert self.coil_maps is not None
        left = self.kspace - forward(estimate, self.known, self.coil_maps)
        nothing = torch.zeros_like(estimate)
        second = proximal(nothing, left, self.known, self.second_maps, self._joint_weight(), UNFOLDING_ITERATIONS)
        return fft2c(expand(estimate, self.coil_maps) + expand(second, self.second_maps))

    def shown(self, estimate: Tensor, support: Tensor | float = 1.0) -> Tensor:
        """The image of what was measured, kept as it is in every coil, and for the rest what an estimate says of it.

        (batch, rows, cols), its magnitude the root of the sum of squares over coils. support: how much of the estimate's
        k-space the data support, of the mask's shape; 0 gives the zero-filled image.
        """
        return self.combined(ifft2c(self._completed(estimate, support)))

    def _completed(self, estimate: Tensor, support: Tensor | float = 1.0) -> Tensor:
        return torch.where(self.known.unsqueeze(-3), self.kspace, self.whole_kspace(estimate) * support)

    @property
    def poorly_calibrated(self) -> bool:
        return bool(torch.as_tensor(self.short_centre).any())

    def recalibrated(self, estimate: Tensor) -> "Cartesian":
        assert self.coil_maps is not None
        everywhere = torch.ones(self.kspace.shape[-2:], dtype=torch.bool)
        nothing, completed = torch.zeros_like(self.coil_maps), self._completed(estimate)
        first, second = self.coil_maps.clone(), (nothing if self.second_maps is None else self.second_maps).clone()
        for index in torch.as_tensor(self.short_centre).nonzero().flatten().tolist():
            found = estimate_coil_maps(completed[index], everywhere)
            for maps, one in ((first, found.maps), (second, found.second)):
                maps[index] = nothing[index] if one is None else one
        return replace(self, coil_maps=first, second_maps=second if second.any() else None, second=None)

    def combined(self, coil_images: Tensor) -> Tensor:
        """The image (batch, rows, cols) of coil images (batch, coils, rows, cols): of several coils the root of the sum of
        squares, and the phase that the maps leave.
        """
        if self.coil_maps is None:
            return combine(coil_images, None)
        return torch.polar(self._magnitude(coil_images), combine(coil_images, self.coil_maps).angle())

    def each_coil(self) -> tuple[tuple["Cartesian", ...], tuple[float, ...]] | None:
        if self.kspace.shape[1] == 1:
            return None
        alone, scales = [], []
        for coil in self.kspace[0].unsqueeze(-3):
            normalised, scale = normalised_kspace(coil.cpu())
            sigma = torch.as_tensor(self.sigma) / scale
            alone.append(Cartesian(normalised[None].to(coil.device), self.mask, None, self.outside, sigma))
            scales.append(scale if coil.any() else 0.0)
        return tuple(alone), tuple(scales)

    def zero_filled(self) -> Tensor:
        """Root of the sum of squares of the zero-filled coils, (batch, rows, cols) real."""
        return self._magnitude(ifft2c(self.kspace))

    def _magnitude(self, coil_images: Tensor) -> Tensor:
        size = rss(coil_images)
        return size if self.rest is None else (size.square() + self.rest).sqrt()

    def residual(self, estimate: Tensor) -> Tensor:
        return data_residual(estimate, self.first_kspace, self.sampled() == MEASURED, self.coil_maps)

    def withhold(self, fold: int, folds: int | None = None) -> tuple["Cartesian", "Cartesian"] | None:
        """Lines of every `folds`-th distance from the centre, or single samples of a 2-D mask (`withheld.withheld_samples`).

        Without folds a quarter of one coil's, a sixteenth of those of many, which cannot unfold gaps twice as wide. None of
        those of many whose samples are evenly spaced, since they would speak for an image that is not unfolded.
        """
        if not self.exact and self.evenly_spaced:
            return None
        folds = folds or (FOLDS if self.exact else FOLDS_OF_MANY)
        lines = withheld_samples(self.mask, fold, folds)
        lines = lines & (self.mask & ~lines).flatten(1).any(1)[:, None, None]
        if not lines.any():
            return None
        unknown = None if self.second is None else torch.zeros_like(self.second)
        kept = replace(self, mask=self.mask & ~lines, second=None, rest=None)
        return kept, replace(self, mask=lines, second=unknown, rest=None)

    @cached_property
    def evenly_spaced(self) -> bool:
        """Whether the samples of any of the batch are (`withheld.evenly_spaced`)."""
        return any(evenly_spaced(one) for one in self.mask.cpu().numpy())

    def with_tensors(self, tensors: dict[str, Tensor]) -> "Cartesian":
        stale: dict[str, None] = {"second": None} if "kspace" in tensors and "second" not in tensors else {}
        return replace(self, **tensors, **stale)  # type: ignore[arg-type]

    @property
    def exact(self) -> bool:
        return self.coil_maps is None

    @property
    def masked_axes(self) -> tuple[int, ...]:
        return tuple(axis for axis in (-2, -1) if self.mask.shape[axis] > 1)

    def sampled(self) -> Tensor:
        state = self.mask.to(torch.uint8) * MEASURED
        return state if self.outside is None else torch.where(self.outside, OUTSIDE, state)

    def phase(self) -> Tensor:
        """From the Hann-windowed centre of k-space, coils combined."""
        return low_resolution_phase(self.first_kspace, self.known, self.coil_maps)

    def smooth_phase(self) -> Tensor:
        assert self.smooth is not None
        return self.smooth

    def weight(self) -> Tensor | None:
        return None if self.exact else torch.as_tensor(self.map_weight)

    def faults(self) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(self.sigma), 1 - explained(self.first_kspace, self.known, self.coil_maps)

    @property
    def map_sets(self) -> int:
        """How many sets of coil maps the first of a batch has; one that is empty does not count."""
        return sum(bool(maps[0].any()) for maps in (self.coil_maps, self.second_maps) if maps is not None)

    def explained(self) -> list[float]:
        if min(center_lines(self.known[0].expand(self.kspace.shape[-2:]).cpu().numpy())) < MINIMUM_LINES:
            return []
        sets = [maps for maps in (self.coil_maps, self.second_maps) if maps is not None]
        return [float(explained(self.kspace, self.known, maps)) for maps in sets]

    def mirrored(self, axes: tuple[int, ...]) -> "Cartesian":
        return self.with_tensors({name: mirror(tensor, axes) for name, tensor in self._images().items()})

    def coarser(self) -> "Cartesian | None":
        weight = torch.as_tensor(self.map_weight)
        if self.exact or bool((weight > WEIGHT).any()) or (self.second_maps is not None and bool(self.second_maps.any())):
            return None
        maps = low_resolution_maps(self.kspace, self.mask)
        return replace(self, coil_maps=maps, map_weight=COARSE_WEIGHT, second_maps=None, second=None)

    def turned(self) -> "Cartesian":
        return self.with_tensors({name: tensor.transpose(-2, -1) for name, tensor in self._images().items()})

    def _images(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.tensors().items() if tensor.ndim > 1}
