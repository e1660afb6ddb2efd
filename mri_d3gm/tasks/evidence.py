"""What speaks of the error of a reconstruction, for its bound."""

import numpy as np

from mri_d3gm.io.sampling import misses_centre
from mri_d3gm.methods.draws import Draws
from mri_d3gm.metrics.bound import Evidence
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.measurement import MEASURED, Measurement
from mri_d3gm.physics.trust import foretold
from mri_d3gm.pipeline import Prepared


def evidence(image: np.ndarray, std: np.ndarray, prepared: Prepared, draws: Draws) -> Evidence | None:
    """What speaks of the error of a batch of one, image and std (rows, cols) normalised; None without withheld samples, and
    without the centre of k-space, where no bound was measured.
    """
    found = None if draws.support is None else draws.support[0]
    rms = float(np.sqrt(np.mean(image.astype(np.float64) ** 2)))
    if found is None or rms == 0 or not isinstance(prepared.measurement, Cartesian) or centreless(prepared.measurement):
        return None
    missed = np.sqrt(foretold(found, prepared.measurement) / image.size) / rms
    spread = float(np.sqrt(np.mean(std.astype(np.float64) ** 2))) / rms
    return Evidence(float(missed), spread, prepared.noise[0].sigma / rms, 1 / float(prepared.measurement.sampled_fraction()[0]))


def centreless(measurement: Measurement) -> bool:
    """Whether the images of a measurement, a batch of one, were not measured at the centre of k-space."""
    return misses_centre(measurement.sampled()[0].cpu().numpy() == MEASURED)
