"""MONAI inferers: path, solver, network and consistency put together; and the methods one compares with."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor

from mri_d3gm.errors import InputError
from mri_d3gm.networks.consistent import PROXIMAL_WEIGHT
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.tiles import tiled_estimate
from mri_d3gm.physics.consistency import projection, proximal
from mri_d3gm.physics.fft import mirror
from mri_d3gm.physics.interpolation import INTERPOLATIONS, interpolate
from mri_d3gm.physics.operators import adjoint
from mri_d3gm.physics.phase import data_residual, pocs
from mri_d3gm.physics.trust import Support, band_weights, shrink, support, withhold
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample

FINAL_ITERATIONS = 10
MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
METHODS = ("d3gm", "regression", "zero-filled", "pocs", "sense", "l1-wavelet", "tv")
SR_METHODS = ("d3gm", "regression", "sinc", *INTERPOLATIONS)
TRUST_FOLDS = {"off": 0, "fast": 1, "full": 4}
RESTORATION_METHODS = ("d3gm", "regression", "identity", "dark-channel", "median")


class Draws(NamedTuple):
    """What an inferer returns for one slice.

    images (draws, rows, cols) complex; evaluations of the network for each draw; residual: RMS of M F S x - y per
    real sample for the estimate before the last consistency step, None where there is no such step. support: what withheld
    samples say of the prediction, None where none were withheld. error: size of the magnitude's error that the network expects
    before it has drawn anything, (rows, cols), None from networks that foretell none.
    """

    images: Tensor
    evaluations: int
    residual: float | None
    support: Support | None = None
    error: Tensor | None = None


def weights_of(sigma: float, sigma_r: float, map_weight: float) -> tuple[float, float]:
    """Weight of the estimate inside the network and in the final consistency.

    The final one grows with the noise, .4 sigma / sigma_r; map_weight is a floor for both, twice for the final one, for coil
    maps that are too coarse for the data to be believed further. The numbers did best on held-out training slices.
    """
    return max(PROXIMAL_WEIGHT, map_weight), max(0.4 * sigma / sigma_r, PROXIMAL_WEIGHT, 2 * map_weight)


def draw_seed(seed: int, index: int, draw: int) -> int:
    """Seed of one draw of one slice, well mixed."""
    return int(np.random.SeedSequence([seed, index, draw]).generate_state(1, np.uint64)[0] >> 1)


class Agreement:
    """The network's estimate of one slice and its agreement with what was measured under the mask.

    real: the image is known to have no imaginary part. residual: RMS of M F S x - y per real sample of the latest estimate
    before it was restored; None without k-space. error: what the network expected of its first estimate, see `Estimates`.
    """

    def __init__(
        self,
        network: Denoiser,
        kspace: Tensor | None,
        mask: Tensor | None,
        coil_maps: Tensor | None,
        sigma: float = 0.0,
        map_weight: float = 0.0,
        real: bool = False,
    ) -> None:
        self.network, self.mask, self.coil_maps, self.real = network, mask, coil_maps, real
        self.kspace = None if kspace is None or mask is None else kspace * mask[:, None]
        self.inner, self.final = weights_of(sigma, network.sigma_r, map_weight)
        self.residual: float | None = None
        self.error: Tensor | None = None

    def estimate(self, x: Tensor, t: Tensor, mu: Tensor) -> Tensor:
        """The network's x0 without the consistency that `restore` applies."""
        answer = self.network.estimates(x, t, mu, self.kspace, self.mask, self.coil_maps, False, self.inner)
        x0 = answer.images[-1]
        self.error = answer.error if self.error is None else self.error
        return x0.real.to(x0.dtype) if self.real else x0

    def restore(self, estimate: Tensor) -> Tensor:
        """The final consistency: exact for one coil; for many proximal, with the weight of the estimate."""
        if self.kspace is None or self.mask is None:
            return estimate
        self.residual = float(data_residual(estimate, self.kspace, self.mask, self.coil_maps).mean())
        if self.coil_maps is None:
            return projection(estimate, self.kspace, self.mask)
        return proximal(estimate, self.kspace, self.mask, self.coil_maps, self.final, FINAL_ITERATIONS)


def withheld_support(
    network: Denoiser,
    kspace: Tensor,
    mask: Tensor,
    coil_maps: Tensor | None,
    folds: Sequence[int],
    sigma: float = 0.0,
    map_weight: float = 0.0,
) -> Support | None:
    """Support of the network's estimate by the samples of `folds` (see `withhold`), one evaluation each; None without any."""
    found = []
    for fold in folds:
        lines = withhold(mask, fold)
        if lines.any():
            kept = mask & ~lines
            mu = adjoint(kspace, kept, coil_maps)
            t = torch.full((1,), float(network.path.T), dtype=torch.float64)
            agree = Agreement(network, kspace, kept, coil_maps, sigma, map_weight)
            estimate = agree.estimate(network.path.noise_free(mu), t, mu)
            found.append(support(estimate, kspace, mask, lines, coil_maps))
    return Support(*map(sum, zip(*found, strict=True))) if found else None  # type: ignore[arg-type]


class D3GMInferer(Inferer):
    """Draws from the path's reverse process, consistent with the k-space under `mask`.

    solver: a name of SOLVERS; steps: network evaluations a draw; samples: draws; seed: draw i of slice n depends on
    (seed, n, i) alone. The draws take turns in seeing the slice as it is and mirrored (MIRRORS): the network is not
    exactly symmetric, so their mean is better and their spread wider. progress is told (evaluations done, all evaluations)
    after each. Any sub-mask of the measured mask may be given. real: the images have no imaginary part. trust: off, or fast
    (one fold of measured lines is withheld) or full (four): unmeasured k-space is shrunk by
    the weights that the withheld lines support (`physics.trust`).
    """

    def __init__(
        self,
        solver: str = "posterior",
        steps: int = 1,
        samples: int = 4,
        seed: int = 0,
        real: bool = False,
        trust: str = "off",
    ) -> None:
        if solver not in SOLVERS:
            raise InputError(f"--solver {solver}: unknown; one of {', '.join(SOLVERS)}")
        if steps < 1 or samples < 1:
            raise InputError(f"--steps {steps} --samples {samples}: both must be at least 1")
        if trust not in TRUST_FOLDS:
            raise InputError(f"--trust {trust}: unknown; one of {', '.join(TRUST_FOLDS)}")
        self.solver, self.steps, self.samples, self.seed, self.real = solver, steps, samples, seed, real
        self.folds = TRUST_FOLDS[trust]
        self.progress: Callable[[int, int], None] | None = None

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: Denoiser,
        kspace: Tensor | None = None,
        mask: Tensor | None = None,
        coil_maps: Tensor | None = None,
        index: int = 0,
        sigma: float = 0.0,
        map_weight: float = 0.0,
        **_: Any,
    ) -> Draws:
        """inputs: mu (1, rows, cols) complex; physics as in `physics.operators`, batch 1, None where it is unknown."""
        images: list[Tensor] = [inputs[0]] * self.samples
        residuals, errors, evaluations, groups = [], [], 0, min(len(MIRRORS), self.samples)
        for group, axes in enumerate(MIRRORS[:groups]):
            k, m, maps = (None if given is None else mirror(given, axes) for given in (kspace, mask, coil_maps))
            agree = Agreement(network, k, m, maps, sigma, map_weight, self.real)
            draws = range(group, self.samples, len(MIRRORS))
            mu = mirror(inputs, axes).expand(len(draws), *inputs.shape[1:])

            def denoise(x: Tensor, t: Tensor, agree: Agreement = agree, mu: Tensor = mu) -> Tensor:
                return agree.estimate(x, t, mu)

            def tell(done: int, steps: int, group: int = group) -> None:
                if self.progress is not None:
                    self.progress(group * steps + done, groups * steps)

            seeds = [draw_seed(self.seed, index, draw) for draw in draws]
            solver = SOLVERS[self.solver]
            drawn, evaluations = sample(
                network.path, denoise, mu, solver, self.steps, seeds, on_x0=agree.restore, progress=tell
            )
            for draw, image in zip(draws, mirror(drawn, axes), strict=True):
                images[draw] = image
            residuals.append(agree.residual)
            errors += [] if agree.error is None else [mirror(agree.error.mean(0), axes)]
        residual = None if residuals[0] is None else float(np.mean(residuals))  # type: ignore[arg-type]
        drawn, found = torch.stack(images), None
        if self.folds and kspace is not None and mask is not None:
            known = kspace * mask[:, None]
            found = withheld_support(network, known, mask, coil_maps, range(self.folds), sigma, map_weight)
        if found is not None and mask is not None:
            drawn = shrink(drawn, mask, band_weights(found, mask), coil_maps)
        return Draws(drawn, evaluations, residual, found, torch.stack(errors).mean(0) if errors else None)


class RegressionInferer(Inferer):
    """The same network, one evaluation at T without noise, then consistency; real as `D3GMInferer`'s."""

    def __init__(self, real: bool = False) -> None:
        self.real = real

    def __call__(  # type: ignore[override]
        self,
        inputs: Tensor,
        network: Denoiser,
        kspace: Tensor | None = None,
        mask: Tensor | None = None,
        coil_maps: Tensor | None = None,
        sigma: float = 0.0,
        map_weight: float = 0.0,
        **_: Any,
    ) -> Draws:
        agree = Agreement(network, kspace, mask, coil_maps, sigma, map_weight, self.real)
        t = torch.full((len(inputs),), float(network.path.T), dtype=torch.float64)
        image = agree.restore(agree.estimate(network.path.noise_free(inputs), t, inputs))
        return Draws(image, 1, agree.residual, error=None if agree.error is None else agree.error[0])


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
        **_: Any,
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


def make_inferer(
    method: str = "d3gm", solver: str = "posterior", steps: int = 1, samples: int = 4, seed: int = 0, trust: str = "fast"
) -> Inferer:
    """The inferer of a method's name, one of METHODS; trust is for d3gm."""
    if method == "d3gm":
        return D3GMInferer(solver, steps, samples, seed, trust=trust)
    if method == "regression":
        return RegressionInferer()
    if method in METHODS:
        return BaselineInferer(method)
    raise InputError(f"--method {method}: unknown; one of {', '.join(METHODS)}")


class InterpolationInferer(Inferer):
    """Methods of super-resolution without a network: sinc (zero-filled k-space) and those of INTERPOLATIONS."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, inputs: Tensor, network: Any, low_resolution: Tensor, **_: Any) -> Draws:  # type: ignore[override]
        """inputs: mu (1, rows, cols) complex; low_resolution (1, rows / factor, cols / factor) real."""
        if self.kind == "sinc":
            return Draws(inputs, 0, None)
        factor = inputs.shape[-1] // low_resolution.shape[-1]
        image = torch.from_numpy(interpolate(low_resolution[0].cpu().numpy(), factor, self.kind).copy())
        return Draws(image[None].to(inputs.device, torch.complex64), 0, None)


def make_sr_inferer(
    method: str = "d3gm", solver: str = "posterior", steps: int = 1, samples: int = 4, seed: int = 0
) -> Inferer:
    """The inferer of a super-resolution method's name, one of SR_METHODS."""
    if method not in SR_METHODS:
        raise InputError(f"--method {method}: unknown; one of {', '.join(SR_METHODS)}")
    if method == "d3gm":
        return D3GMInferer(solver, steps, samples, seed, real=True)
    return RegressionInferer(real=True) if method == "regression" else InterpolationInferer(method)


class RestorationInferer(Inferer):
    """Colour pictures (1, 3, rows, cols) of any size, without physics: draws whose estimates are blended from tiles.

    method: d3gm, or regression, one evaluation at T without noise. Other arguments as `D3GMInferer`'s; progress is told
    (tiles done, tiles of all evaluations) after each tile.
    """

    def __init__(
        self, method: str = "d3gm", solver: str = "posterior", steps: int = 1, samples: int = 1, seed: int = 0, tile: int = 512
    ) -> None:
        self.sampler, self.method, self.tile = D3GMInferer(solver, steps, samples, seed), method, tile
        self.progress: Callable[[int, int], None] | None = None

    def __call__(self, inputs: Tensor, network: Denoiser, index: int = 0, **_: Any) -> Draws:  # type: ignore[override]
        evaluations = 1 if self.method == "regression" else self.sampler.steps * self.sampler.samples
        evaluated = 0

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            nonlocal evaluated
            estimate = tiled_estimate(network, x, t, inputs, self.tile, progress=tell)
            evaluated += 1
            return estimate

        def tell(done: int, tiles: int) -> None:
            if self.progress is not None:
                self.progress(evaluated * tiles + done, evaluations * tiles)

        if self.method == "regression":
            t = torch.full((1,), float(network.path.T), dtype=torch.float64)
            with torch.no_grad():
                return Draws(denoise(network.path.noise_free(inputs), t), 1, None)
        sampler = self.sampler
        mean, count = torch.zeros_like(inputs), 0
        for draw in range(sampler.samples):
            seed = [draw_seed(sampler.seed, index, draw)]
            image, count = sample(network.path, denoise, inputs, SOLVERS[sampler.solver], sampler.steps, seed)
            mean += image / sampler.samples
        return Draws(mean, count, None)


class FilterInferer(Inferer):
    """Restoration without a network: identity, dark-channel, or median (5 x 5, across the streaks)."""

    def __init__(self, method: str) -> None:
        self.method = method

    def __call__(self, inputs: Tensor, network: Any, **_: Any) -> Draws:  # type: ignore[override]
        if self.method == "dark-channel":
            from mri_d3gm.weather.haze import dark_channel_prior

            return Draws(dark_channel_prior(inputs[0])[None], 0, None)
        if self.method == "median":
            from scipy.ndimage import median_filter

            filtered = median_filter(inputs[0].cpu().numpy(), size=(1, 5, 5))
            return Draws(torch.from_numpy(filtered)[None].to(inputs.device), 0, None)
        return Draws(inputs, 0, None)


def make_restoration_inferer(
    method: str = "d3gm", solver: str = "posterior", steps: int = 1, samples: int = 1, seed: int = 0, tile: int = 512
) -> Inferer:
    """The inferer of a restoration method's name, one of RESTORATION_METHODS."""
    if method not in RESTORATION_METHODS:
        raise InputError(f"--method {method}: unknown; one of {', '.join(RESTORATION_METHODS)}")
    if method in ("d3gm", "regression"):
        return RestorationInferer(method, solver, steps, samples, seed, tile)
    return FilterInferer(method)
