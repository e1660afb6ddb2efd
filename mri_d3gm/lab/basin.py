"""The basin of attraction: the reverse process of a reconstruction started at t0 < T from a first guess."""

from pathlib import Path
from typing import Any

from torch import Tensor

from mri_d3gm.errors import InputError
from mri_d3gm.inferers import Agreement, BaselineInferer, Draws, RegressionInferer, draw_seed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.tasks import recon
from mri_d3gm.tasks.bundles import infer

GUESSES = ("zero-filled", "sense", "regression")


def from_guess(
    inputs: Tensor,
    network: Denoiser,
    kspace: Tensor,
    mask: Tensor,
    *,
    coil_maps: Tensor | None = None,
    index: int = 0,
    sigma: float = 0.0,
    map_weight: float = 0.0,
    guess: str,
    t0: float,
    steps: int,
    **_: Any,
) -> Draws:
    """One draw of the posterior solver from x_t0 = A xg + B mu + s eps (the paper's Appendix I); arguments as an inferer's.

    guess: where xg comes from, one of GUESSES; t0 in (0, T]; steps: evaluations from t0 on, regression's own counted too.
    """
    if guess == "regression":
        first = RegressionInferer()(inputs, network, kspace, mask, coil_maps, sigma, map_weight).images
    else:
        first = inputs if guess == "zero-filled" else BaselineInferer(guess)(inputs, network, kspace, mask, coil_maps).images
    agree = Agreement(network, kspace, mask, coil_maps, sigma, map_weight)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        return agree.estimate(x, t, inputs)

    seeds, solver = [draw_seed(0, index, 0)], SOLVERS["posterior"]
    image, count = sample(
        network.path, denoise, inputs, solver, steps, seeds, on_x0=agree.restore, first_guess=first.to(inputs), t0=t0
    )
    return Draws(image, count + (guess == "regression"), agree.residual)


def reconstruct_from_guess(
    path: str | Path, *, guess: str, t0: float, steps: int, weights: str, **options: Any
) -> recon.Reconstruction:
    """`tasks.recon.reconstruct` by `from_guess`. InputError for an unknown guess and an impossible t0."""
    if guess not in GUESSES or not 0 < t0 <= 1:
        raise InputError(f"guess {guess}, t0 {t0}: one of {', '.join(GUESSES)}, and 0 < t0 <= 1")
    inferer = {"_target_": f"{__name__}.from_guess", "_mode_": "callable", "guess": guess, "t0": t0, "steps": steps}
    chosen = options | {"inferer": inferer, "steps": steps, "weights": weights, "samples": 1, "trust": "off"}
    return infer(recon.PIPELINE, recon.DEFAULTS | {"inferer": inferer}, path, chosen, output=None, progress=None)
