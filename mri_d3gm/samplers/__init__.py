"""Solvers of the reverse process by name. A new one is one file, one line here, and its name in `settings`."""

from mri_d3gm.samplers.deterministic import deterministic
from mri_d3gm.samplers.euler_maruyama import euler_maruyama
from mri_d3gm.samplers.multistep import multistep, multistep_sde
from mri_d3gm.samplers.posterior import posterior
from mri_d3gm.samplers.solver import Solver

SOLVERS: dict[str, Solver] = {
    "posterior": posterior,
    "deterministic": deterministic,
    "multistep": multistep,
    "multistep-sde": multistep_sde,
    "euler-maruyama": euler_maruyama,
}
