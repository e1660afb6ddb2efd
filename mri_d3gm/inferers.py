"""MONAI inferers: `pipeline.solve` with the settings of a task."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from monai.inferers import Inferer
from torch import Tensor

from mri_d3gm.compute import one_thread
from mri_d3gm.methods.draws import Draws
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.pipeline import solve
from mri_d3gm.settings import Settings, SlicedSettings


class SettingsInferer(Inferer):
    """Draws by the method of `settings` (of `mri_d3gm.settings`: Recon, SuperResolve or Restore)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: Denoiser | None,
        measurement: Measurement,
        indices: Sequence[int] | None = None,
        **_: Any,
    ) -> Draws:
        """inputs: the prior mean, which the measurement knows by itself; indices: as in `pipeline.solve`."""
        with one_thread() if isinstance(self.settings, SlicedSettings) else nullcontext():
            return solve(measurement, network, self.settings, indices)
