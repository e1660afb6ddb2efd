"""What every method returns, and what a method that uses the network needs."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from mri_d3gm.compute import Map
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.tiles import SLICE_MARGIN, even_tile, stride_of, tiled_estimate
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.trust import Support

LARGEST = 576  # pixels a side that one evaluation sees


class SecondLook(NamedTuple):
    """What was done where withheld samples were missed: evaluations, 0 for nothing, and what replaced the coil maps:
    low-resolution; espirit for those of the scan by itself, not calibrated again; or none where coils were reconstructed alone.
    """

    evaluations: int
    instead: str = ""


class Draws(NamedTuple):
    """Results of a batch.

    images (batch, draws, rows, cols) complex, or (batch, draws, channels, rows, cols) real. evaluations: of the network for
    each of the batch, all draws and withheld lines together, but for those of its second look. residual: RMS of the last
    estimate's data residual before the last agreement, (batch,), None where there is no such step. support: what withheld
    samples say of the prediction, one for each of the batch, None where none were withheld. error: size of the magnitude's
    error that the network expects before it has drawn anything, (batch, rows, cols), None from networks that predict none.
    second: the second look at each of the batch, None from methods that have none. measurement: what the network's images agree
    with, of which coil maps may be better than of the one that was given (`recalibrated`), but for a second look.
    """

    images: Tensor
    evaluations: int
    residual: Tensor | None = None
    support: list[Support | None] | None = None
    error: Tensor | None = None
    second: list[SecondLook] | None = None
    measurement: Measurement | None = None

    def one(self, index: int) -> "Draws":
        """Those of one of the batch, as a batch of one."""
        part = slice(index, index + 1)
        fields = self._asdict().items()
        return Draws(**{n: value if value is None or n == "evaluations" else value[part] for n, value in fields})


def draw_seed(seed: int, index: int, draw: int) -> int:
    """Seed of one draw of one slice, well mixed."""
    return int(np.random.SeedSequence([seed, index, draw]).generate_state(1, np.uint64)[0] >> 1)


def prior_mean(measurement: Measurement, *_: Any, **__: Any) -> Draws:
    """What the measurement shows by itself: the degraded picture, or the zero-filled image, of one component."""
    return Draws(measurement.prior_mean()[:, None], 0)


class Agreement:
    """The network's estimates of a batch and their agreement with its measurement.

    residual: of the latest estimate before it was restored, (batch,); error: what the network expected of its first estimate,
    see `Estimates`; both None where there is none. run maps over tiles of large images whose parts are known alone.
    """

    def __init__(self, network: Denoiser, measurement: Measurement, run: Map = map) -> None:
        self.network, self.measurement, self.run = network, measurement, run
        self.residual: Tensor | None = None
        self.error: Tensor | None = None

    def estimate(self, x: Tensor, t: Tensor, mu: Tensor) -> Tensor:
        """The network's x0 without the agreement that `restore` applies."""
        x0 = self._tiled(x, t, mu)
        if x0 is None:
            answer = self.network.estimates(x, t, mu, self.measurement, close=False)
            self.error = answer.error if self.error is None else self.error
            x0 = answer.images[-1]
        return x0.real.to(x0.dtype) if self.measurement.real else x0

    def _tiled(self, x: Tensor, t: Tensor, mu: Tensor) -> Tensor | None:
        """The estimate of tiles; None where one evaluation sees the whole."""
        shape = mu.shape[-2], mu.shape[-1]
        if max(shape) <= LARGEST or self.measurement.window(mu, slice(0, 1), slice(0, 1)) is None:
            return None
        rows, cols = (even_tile(size, LARGEST, SLICE_MARGIN, stride_of(self.network)) for size in shape)
        return tiled_estimate(self.network, x, t, mu, self.measurement, tile=(rows, cols), margin=SLICE_MARGIN, run=self.run)

    def first(self, mu: Tensor) -> Tensor:
        """The estimate of one evaluation at T without noise, not restored."""
        return self.estimate(self.network.path.noise_free(mu), self.network.path.last(len(mu)), mu)

    def restore(self, estimate: Tensor) -> Tensor:
        """The estimate as far in agreement with the measurement as the data go."""
        self.residual = self.measurement.residual(estimate)
        return self.measurement.conclude(estimate, self.network.sigma_r)
