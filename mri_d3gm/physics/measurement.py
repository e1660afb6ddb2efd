"""What is known of a batch of images: how they were measured, and what was measured."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

MISSING, MEASURED, OUTSIDE = 0, 1, 2


@dataclass(frozen=True)
class Measurement(ABC):
    """A member is a frozen dataclass whose tensors have the batch first; estimates are (batch, rows, cols) complex, or
    (batch, channels, rows, cols) real where nothing is known of how they were measured.
    """

    @abstractmethod
    def prior_mean(self) -> Tensor:
        """mu, what the measurement shows by itself, of an estimate's shape."""

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """What would have been measured of `image`, without noise; zero where nothing was measured."""

    @abstractmethod
    def adjoint(self, data: Tensor) -> Tensor:
        """The adjoint of `forward`."""

    @abstractmethod
    def agree(self, estimate: Tensor, weight: Tensor | None = None) -> Tensor:
        """The estimate brought into agreement with what was measured.

        weight: variance of the noise over that of the estimate, (batch,), the member's own if None; a member whose agreement is
        exact ignores it.
        """

    def conclude(self, estimate: Tensor, sigma_r: float) -> Tensor:
        """As `agree`, for the estimate that a network of residuals of deviation sigma_r ends with: as far as the data go."""
        return self.agree(estimate)

    def shown(self, estimate: Tensor, support: Tensor | float = 1.0) -> Tensor:
        """The image to give of an estimate that agrees with the measurement; support: how much of what was not measured the
        data support, where samples can be withheld.
        """
        return estimate

    def residual(self, estimate: Tensor) -> Tensor | None:
        """RMS of forward(estimate) - data per measured real or imaginary sample, (batch,); None where nothing is known."""
        return None

    def window(self, mean: Tensor, rows: slice, cols: slice) -> Self | None:
        """What is known of a part of the image, whose prior mean is cut out of `mean`; None where parts are not known alone."""
        return None

    def withhold(self, fold: int, folds: int | None = None) -> tuple[Self, Self] | None:
        """The measurement without one fold of its samples, and that fold alone; None where none can be spared."""
        return None

    @property
    def exact(self) -> bool:
        """Whether `agree` leaves no residual, so that what agrees already stays as it is."""
        return True

    @property
    def real(self) -> bool:
        """Whether the images are known to have no imaginary part."""
        return False

    @property
    def masked_axes(self) -> tuple[int, ...]:
        """Axes of the image, of -2 and -1, along which k-space is undersampled."""
        return ()

    def sampled(self) -> Tensor:
        """MISSING, MEASURED or OUTSIDE of what was encoded, uint8 that broadcasts to (batch, rows, cols) of k-space."""
        return torch.full((len(self), 1, 1), MEASURED, dtype=torch.uint8, device=self.prior_mean().device)

    def sampled_fraction(self) -> Tensor:
        """Measured over encoded samples, (batch,) float32."""
        state = self.sampled()
        measured, encoded = ((condition).float().sum((-2, -1)) for condition in (state == MEASURED, state != OUTSIDE))
        return measured / encoded.clamp_min(1)

    def phase(self) -> Tensor | None:
        """Unit-modulus phase factor of the image at low resolution, (batch, rows, cols) complex; None where unknown."""
        return None

    def smooth_phase(self) -> Tensor:
        """Whether what was measured shows that the phase of the image is smooth, (batch,) bool; False where unknown."""
        return torch.zeros(len(self), dtype=torch.bool)

    def weight(self) -> Tensor | None:
        """That of an estimate in `agree` if none is given, (batch,); None where agreement is exact."""
        return None

    def conditions(self) -> Tensor:
        """What a network is told of the measurement as a whole, (batch, 3) float32 of order one.

        Logarithms of the sampled fraction, of the noise, and of the share of the centre that the coil maps leave unexplained.
        """
        numbers = self.sampled_fraction().log(), *(part.clamp_min(1e-4).log() + 5 for part in self.faults())
        return torch.stack(numbers, 1)

    def faults(self) -> tuple[Tensor, Tensor]:
        """Deviation of the noise and unexplained share of the centre's energy, both (batch,); zeros where unknown."""
        nothing = torch.zeros_like(self.sampled_fraction())
        return nothing, nothing

    @property
    def map_sets(self) -> int:
        """How many sets of coil maps there are, of a batch of one."""
        return 0

    def explained(self) -> list[float]:
        """Share of the centre's energy that each set of coil maps explains, of a batch of one; empty without maps, and without
        a centre of a few lines.
        """
        return []

    def assumed(self, draw: int, draws: int) -> "Measurement":
        """What the draw of this number, of so many, takes for known; all the same unless it is in doubt how it was measured."""
        return self

    def mirrored(self, axes: tuple[int, ...]) -> Self:
        """The measurement of the image mirrored about its centre (`fft.mirror`) along `axes`, of -2 and -1."""
        return self

    @property
    def poorly_calibrated(self) -> bool:
        """Whether an estimate shows more of the coils than the measurement by itself, for one of the batch at least."""
        return False

    def recalibrated(self, estimate: Tensor) -> Self:
        """The same with coil maps from what an estimate shows of the coils, where the measurement itself shows little."""
        return self

    def coarser(self) -> Self | None:
        """The same with coil maps of low resolution, which fewer lines suffice for; None where there are none but its own."""
        return None

    def each_coil(self) -> tuple[tuple["Measurement", ...], tuple[float, ...]] | None:
        """Each coil of a batch of one as a batch of its own, normalised, and the factors that undo that, 0 where it has no
        signal; None of one coil.
        """
        return None

    def turned(self) -> Self:
        """The measurement of the transposed image."""
        return self

    def to(self, device: torch.device | str) -> Self:
        """The same on `device`."""
        return self.with_tensors({name: tensor.to(device) for name, tensor in self.tensors().items()})

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    def __getitem__(self, index: int | slice) -> Self:
        """Some of the batch; a number leaves a batch of one."""
        chosen = slice(index, index + 1 or None) if isinstance(index, int) else index
        return self.with_tensors({name: tensor[chosen] for name, tensor in self.tensors().items()})

    def repeated(self, count: int) -> Self:
        """A batch of one as `count` equal ones."""
        return self.with_tensors({name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in self.tensors().items()})

    def joined(self, others: Sequence[Self]) -> Self:
        """One batch of this and others after it, which have the same tensors of the same shapes."""
        every = [one.tensors() for one in (self, *others)]
        return self.with_tensors({name: torch.cat([one[name] for one in every]) for name in every[0]}) if others else self

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by the names of their fields."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if isinstance(value, Tensor)}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        """The same with other tensors in some fields."""
        return replace(self, **tensors)
