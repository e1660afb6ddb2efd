"""What training minimises: errors of the x0 estimate, weighted in time as the objective says."""

import torch
from torch import Tensor

from mri_d3gm.dynamics.path import Dynamics
from mri_d3gm.networks.precondition import precondition

OBJECTIVES = ("x0", "eps", "maximum-likelihood")


def time_weight(path: Dynamics, t: Tensor, sigma_r: float, objective: str = "x0") -> Tensor:
    """Weight of |x0 estimate - x0| at t, (batch,) float64.

    x0: sigma_r / c_out, at most 8. eps: sigma_r A / s, at most 8, which makes it sigma_r |eps estimate - eps|, the error in the
    paper's Eq. 8. maximum-likelihood: the posterior mean's dependence on x0 over a step of T / 100 (IR-SDE's optimal reverse
    step).
    """
    if objective == "x0":
        return (sigma_r / precondition(path, t, sigma_r)[2]).clamp_max(8)
    if objective == "eps":
        return (sigma_r * (path.log_snr(t) / 2).exp()).clamp_max(8)
    if objective == "maximum-likelihood":
        return path.posterior((t - path.T / 100).clamp_min(0), t).x0
    raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, not {objective}")


def reconstruction_loss(estimates: list[Tensor], target: Tensor, weight: Tensor, squared: bool = False) -> Tensor:
    """Mean over the batch of the root of weight x (error of real and imaginary part + half that of the magnitude).

    The root keeps cases with little error, of many coils or low acceleration, from counting next to nothing. estimates: one
    a block, (batch, rows, cols) complex; those before the last count 0.2. squared: L2 instead of L1, and the square of weight.
    So a case of L2 counts by its weight, one of L1 by the weight's root. Real images (batch, channels, rows, cols) have the
    plain error alone, without the root: there L1 counts by the weight, L2 by its square.
    """
    weight = weight.square() if squared else weight

    def error(difference: Tensor) -> Tensor:
        return (difference.square() if squared else difference.abs()).flatten(1).mean(1)

    def distance(estimate: Tensor) -> Tensor:
        if not target.is_complex():
            return error(estimate - target)
        magnitude = (estimate.abs().square() + 1e-8).sqrt() - target.abs()
        return error(torch.view_as_real(estimate - target)) + error(magnitude) / 2

    losses = [distance(estimate) * (1.0 if index == len(estimates) - 1 else 0.2) for index, estimate in enumerate(estimates)]
    weighted = torch.stack(losses).sum(0) * weight.to(target.device, torch.float32)
    return (weighted + 1e-8).sqrt().mean() if target.is_complex() else weighted.mean()


def error_loss(estimate: Tensor, expected: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood, up to a constant, of the magnitude's error under a Laplace law of mean size `expected`."""
    error = (estimate.detach().abs() - target.abs()).abs()
    return (expected.log() + error / expected).mean()
