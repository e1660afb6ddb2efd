"""OU, the dynamics of IR-SDE: D3GM with tau = 1."""

from dataclasses import dataclass, field

from mri_d3gm.dynamics.d3gm import D3GM


@dataclass(frozen=True)
class OU(D3GM):
    """A = e^{-Theta}, B = 1 - A, s^2 = lambda^2 (1 - A^2) (Luo et al., ICML 2023)."""

    tau: float = field(default=1.0, init=False)
