"""The basin of attraction: the reverse process of a reconstruction started at t0 < T from a first guess."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mri_d3gm import pipeline
from mri_d3gm.errors import InputError
from mri_d3gm.io.scan import Scan
from mri_d3gm.methods.draws import Agreement, Draws, draw_seed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import ALONE, Reconstruction, reconstruct

GUESSES = ("zero-filled", "sense", "regression")


def from_guess(
    measurement: Measurement,
    network: Denoiser,
    settings: Recon,
    indices: Sequence[int],
    *,
    guess: str,
    t0: float,
    **_: Any,
) -> Draws:
    """One draw of each of a batch from x_t0 = A xg + B mu + s eps (the paper's Appendix I); arguments as those of a method.

    guess: where xg comes from, one of GUESSES, zero-filled being mu; t0 in (0, T]. settings.steps counts evaluations from t0
    on; regression's own is added.
    """
    mu = measurement.prior_mean()
    first = Draws(mu[:, None], 0)
    if guess != "zero-filled":
        first = pipeline.solve(measurement, network, replace(settings, method=guess), indices)
    agree = Agreement(network, measurement)
    images, count = sample(
        network.path,
        lambda x, t: agree.estimate(x, t, mu),
        mu,
        SOLVERS[settings.solver],
        settings.steps or 1,
        [draw_seed(settings.seed, index, 0) for index in indices],
        on_x0=agree.restore,
        first_guess=first.images[:, 0].to(mu),
        t0=t0,
    )
    return Draws(measurement.shown(images)[:, None], count + first.evaluations, agree.residual)


def reconstruct_from_guess(scan: Scan, settings: Recon, *, guess: str, t0: float) -> Reconstruction:
    """`tasks.recon.reconstruct` by `from_guess`, without trust. InputError for an unknown guess and an impossible t0."""
    if guess not in GUESSES or not 0 < t0 <= 1:
        raise InputError(f"guess {guess}, t0 {t0}: one of {', '.join(GUESSES)}, and 0 < t0 <= 1")
    threads = 1 if guess in ALONE else settings.threads
    chosen = replace(settings, method="d3gm", samples=1, trust="off", threads=threads)
    return reconstruct(scan, chosen, solve=partial(from_guess, guess=guess, t0=t0))
