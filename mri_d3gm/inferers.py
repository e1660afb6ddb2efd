"""MONAI inferers: path, solver, network and consistency put together; and the methods one compares with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor

from mri_d3gm.errors import InputError
from mri_d3gm.networks.consistent import PROXIMAL_WEIGHT
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.consistency import projection, proximal
from mri_d3gm.physics.phase import data_residual, pocs
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample

FINAL_ITERATIONS = 10
METHODS = ("d3gm", "regression", "zero-filled", "pocs", "sense", "l1-wavelet", "tv")


class Draws(NamedTuple):
    """What an inferer returns for one slice.

    images (draws, rows, cols) complex; evaluations of the network for each draw; residual: RMS of M F S x - y per
    real sample for the estimate before the last consistency step, None where there is no such step.
    """

    images: Tensor
    evaluations: int
    residual: float | None


def consistency(image: Tensor, kspace: Tensor, mask: Tensor, coil_maps: Tensor | None, weight: float) -> Tensor:
    """The final consistency: exact for one coil; for many proximal, with the weight of the estimate."""
    if coil_maps is None:
        return projection(image, kspace, mask)
    return proximal(image, kspace, mask, coil_maps, weight, FINAL_ITERATIONS)


def weights_of(sigma: float, sigma_r: float, map_weight: float) -> tuple[float, float]:
    """Weight of the estimate inside the network and in the final consistency.

    The final one is (noise / expected error of the estimate)^2, at least .03; map_weight is a floor for both, for coil
    maps that are too coarse for the data to be believed further.
    """
    return max(PROXIMAL_WEIGHT, map_weight), max((sigma / sigma_r) ** 2, 0.03, map_weight)


def draw_seed(seed: int, index: int, draw: int) -> int:
    """Seed of one draw of one slice, well mixed."""
    return int(np.random.SeedSequence([seed, index, draw]).generate_state(1, np.uint64)[0] >> 1)


class D3GMInferer(Inferer):
    """Draws from the path's reverse process, consistent with the k-space under `mask`.

    solver: a name of SOLVERS; steps: network evaluations a draw; samples: draws; seed: draw i of slice n depends on
    (seed, n, i) alone. progress is told (evaluations done, steps) after each. Any sub-mask of the measured mask may be given.
    """

    def __init__(self, solver: str = "posterior", steps: int = 2, samples: int = 4, seed: int = 0) -> None:
        if solver not in SOLVERS:
            raise InputError(f"--solver {solver}: unknown; one of {', '.join(SOLVERS)}")
        if steps < 1 or samples < 1:
            raise InputError(f"--steps {steps} --samples {samples}: both must be at least 1")
        self.solver, self.steps, self.samples, self.seed = solver, steps, samples, seed
        self.progress: Callable[[int, int], None] | None = None

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: Denoiser,
        kspace: Tensor,
        mask: Tensor,
        coil_maps: Tensor | None = None,
        index: int = 0,
        sigma: float = 0.0,
        map_weight: float = 0.0,
    ) -> Draws:
        """inputs: mu (1, rows, cols) complex; physics as in `physics.operators`, batch 1."""
        kspace = kspace * mask[:, None]
        residuals: list[float] = []
        inner, final = weights_of(sigma, network.sigma_r, map_weight)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            return network.estimates(x, t, inputs.expand_as(x), kspace, mask, coil_maps, False, inner)[-1]

        def on_x0(estimate: Tensor) -> Tensor:
            residuals.append(float(data_residual(estimate, kspace, mask, coil_maps).mean()))
            return consistency(estimate, kspace, mask, coil_maps, final)

        seeds = [draw_seed(self.seed, index, draw) for draw in range(self.samples)]
        images, evaluations = sample(
            network.path,
            denoise,
            inputs.expand(self.samples, -1, -1),
            SOLVERS[self.solver],
            self.steps,
            seeds,
            on_x0=on_x0,
            progress=self.progress,
        )
        return Draws(images, evaluations, residuals[-1])


class RegressionInferer(Inferer):
    """The same network, one evaluation at T from mu without noise, then consistency."""

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: Denoiser,
        kspace: Tensor,
        mask: Tensor,
        coil_maps: Tensor | None = None,
        index: int = 0,
        sigma: float = 0.0,
        map_weight: float = 0.0,
    ) -> Draws:
        kspace = kspace * mask[:, None]
        inner, final = weights_of(sigma, network.sigma_r, map_weight)
        t = torch.full((len(inputs),), float(network.path.T), dtype=torch.float64)
        estimate = network.estimates(inputs, t, inputs, kspace, mask, coil_maps, False, inner)[-1]
        residual = float(data_residual(estimate, kspace, mask, coil_maps).mean())
        return Draws(consistency(estimate, kspace, mask, coil_maps, final), 1, residual)


class BaselineInferer(Inferer):
    """Methods without a network: zero-filled (RSS), pocs, sense, l1-wavelet, tv."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: Any,
        kspace: Tensor,
        mask: Tensor,
        coil_maps: Tensor | None = None,
        index: int = 0,
        sigma: float = 0.0,
        map_weight: float = 0.0,
    ) -> Draws:
        from mri_d3gm.physics import baselines
        from mri_d3gm.physics.fft import ifft2c
        from mri_d3gm.physics.operators import rss

        kspace = kspace * mask[:, None]
        if self.method == "zero-filled":
            return Draws(rss(ifft2c(kspace)).to(torch.complex64), 0, None)
        if self.method == "pocs":
            return Draws(pocs(kspace, mask, coil_maps), 0, None)
        solve = {"sense": baselines.sense, "l1-wavelet": baselines.l1_wavelet, "tv": baselines.tv}[self.method]
        maps = torch.ones_like(kspace[0]) if coil_maps is None else coil_maps[0]
        image = solve(kspace[0].cpu().numpy(), mask[0].cpu().numpy(), maps.cpu().numpy())
        return Draws(torch.from_numpy(image)[None].to(kspace.device, torch.complex64), 0, None)


def make_inferer(method: str = "d3gm", solver: str = "posterior", steps: int = 2, samples: int = 4, seed: int = 0) -> Inferer:
    """The inferer of a method's name, one of METHODS."""
    if method == "d3gm":
        return D3GMInferer(solver, steps, samples, seed)
    if method == "regression":
        return RegressionInferer()
    if method in METHODS:
        return BaselineInferer(method)
    raise InputError(f"--method {method}: unknown; one of {', '.join(METHODS)}")
