"""Physics of the measurement: Fourier transforms, masks, coils, noise, consistency; and measurements by name.

A new measurement is one file and one line here.
"""

from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.slice_stack import SliceStack
from mri_d3gm.physics.truncation import Truncation
from mri_d3gm.physics.unknown import Unknown

MEASUREMENTS: dict[str, type[Measurement]] = {
    "cartesian": Cartesian,
    "truncation": Truncation,
    "slice-stack": SliceStack,
    "unknown": Unknown,
}
