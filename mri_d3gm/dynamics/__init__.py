"""Dynamics: Gaussian paths by name. A new one is one file and one line here."""

from typing import Any

import torch

from mri_d3gm.dynamics.d3gm import D3GM
from mri_d3gm.dynamics.decoupled import Decoupled
from mri_d3gm.dynamics.i2sb import I2SB
from mri_d3gm.dynamics.ou import OU
from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.dynamics.sgm_ve import SGMVE
from mri_d3gm.dynamics.sgm_vp import SGMVP
from mri_d3gm.errors import InputError

DYNAMICS: dict[str, type[Dynamics]] = {
    "d3gm": D3GM,
    "ou": OU,
    "decoupled": Decoupled,
    "i2sb": I2SB,
    "sgm-vp": SGMVP,
    "sgm-ve": SGMVE,
}


def make_path(name: str, **parameters: Any) -> Dynamics:
    """The path of a name of DYNAMICS with its parameters; InputError where either is unknown, or A ends at 0 and s does not."""
    if name not in DYNAMICS:
        raise InputError(f"dynamics {name}: unknown; one of {', '.join(DYNAMICS)}")
    try:
        path = DYNAMICS[name](**parameters)
    except TypeError as error:
        raise InputError(f"dynamics {name}: {error}") from error
    with torch.device("cpu"):  # whatever the device that networks are made on
        lost = bool(path.variance(path.end) > 0 and not path.A(path.end) > 0)
    if lost:
        raise InputError(f"dynamics {name}: A is not positive at T and s is; end at an A such as 0.005, or at s = 0 too")
    return path
