"""Muon: momentum whose matrices are orthogonalised (Jordan et al., 2024), for convolution weights."""

import torch
from torch import Tensor


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices of (..., rows, cols), roughly, by Newton-Schulz iterations of order five."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised over (out, in k k), scaled by sqrt(max(1, out / (in k k))).

    Matrices of one shape go through the iterations together.
    """

    def __init__(self, parameters: list[Tensor], lr: float = 0.01, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients present."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault((len(parameter), parameter[0].numel()), []).append(parameter)
            for (out, fan), parameters in alike.items():
                gradient = torch.stack([parameter.grad.flatten(1) for parameter in parameters])  # type: ignore[union-attr]
                momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
                moved = group["momentum"] * torch.stack([momentum.flatten(1) for momentum in momenta]) + gradient
                updates = orthogonalise(gradient + group["momentum"] * moved)
                for parameter, momentum, new, update in zip(parameters, momenta, moved, updates, strict=True):
                    momentum.copy_(new.reshape(momentum.shape))
                    parameter.add_(update.reshape(parameter.shape), alpha=-group["lr"] * max(1.0, out / fan) ** 0.5)
