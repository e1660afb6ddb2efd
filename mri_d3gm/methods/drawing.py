"""Draws of the reverse process, and predictions of samples that were withheld, each a call that runs alone."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mri_d3gm.compute import Map, Progress
from mri_d3gm.methods.draws import Agreement, draw_seed
from mri_d3gm.methods.recalibration import recalibrated
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.fft import MIRRORS, SYMMETRIES, View
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.trust import Support, support
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.settings import Recon, SuperResolve


class Drawn(NamedTuple):
    """One draw of a batch, images (batch, rows, cols), or several, (batch, draws, rows, cols)."""

    images: Tensor
    residual: Tensor | None
    error: Tensor | None

    def one(self, index: int) -> "Drawn":
        """Those of one of the batch, as a batch of one."""
        images, *rest = (None if part is None else part[index : index + 1] for part in self)
        assert images is not None
        return Drawn(images, *rest)


def view_of(measurement: Measurement, draw: int) -> View:
    """How a draw sees the image, in turns: mirrored, or in all symmetries of a square where both axes were measured alike."""
    views = tuple(map(View, MIRRORS)) if len(measurement.masked_axes) == 1 else SYMMETRIES
    return views[draw % len(views)]


def draw_tasks(
    measurement: Measurement,
    network: Denoiser,
    settings: Recon | SuperResolve,
    indices: Sequence[int],
    tell: Callable[..., None],
    *,
    run: Map = map,
) -> list[Callable[[], Drawn]]:
    """The draws of a batch, each a call; tell is called after each evaluation."""
    mu, draws = measurement.prior_mean(), settings.samples or 1
    return [
        partial(
            one_draw,
            measurement.assumed(number, draws),
            network,
            settings,
            mu,
            view_of(measurement, number),
            seeds=[draw_seed(settings.seed, index, number) for index in indices],
            progress=tell,
            run=run,
        )
        for number in range(draws)
    ]


@torch.no_grad()
def one_draw(
    measurement: Measurement,
    network: Denoiser,
    settings: Recon | SuperResolve,
    mu: Tensor,
    view: View,
    *,
    seeds: Sequence[int],
    progress: Progress,
    run: Map = map,
) -> Drawn:
    """A draw of each of the batch, which the network sees as `view` says; progress is told after each evaluation."""
    seen, measured = view.of(mu), measurement.mirrored(view.axes)
    agree = Agreement(network, measured.turned() if view.turned else measured, run)
    images, _ = sample(
        network.path,
        lambda x, t: agree.estimate(x, t, seen),
        seen,
        SOLVERS[settings.solver],
        settings.steps or 1,
        seeds,
        on_x0=agree.restore,
        progress=progress,
    )
    error = None if agree.error is None else view.undone(agree.error)
    return Drawn(view.undone(images), agree.residual, error)


@torch.no_grad()
def fold_support(
    network: Denoiser,
    measurement: Measurement,
    fold: int,
    tell: Callable[..., None] = lambda *_: None,
    *,
    folds: int | None = None,
    passes: int = 0,
) -> list[Support] | None:
    """What the samples of one fold say of the estimate that was made without them, for each of the batch; one evaluation, and
    one for each time that the rest is calibrated again.

    folds: as `Measurement.withhold` has it; passes: as `recalibrated` has them.
    """
    parts = measurement.withhold(fold, folds)
    if parts is None:
        return None
    kept, withheld = parts
    kept = recalibrated(kept, network, passes, tell)
    agree = Agreement(network, kept)
    estimate = agree.restore(agree.first(kept.prior_mean()))
    tell()
    return [
        support(estimate[i : i + 1], kept[i], withheld[i])  # type: ignore[arg-type]
        for i in range(len(measurement))
    ]


def run_all(run: Map, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the calls give, in their order; run maps a function over them."""
    return list(run(lambda task: task(), tasks))


def all_draws(draws: Sequence[Drawn]) -> Drawn:
    """All draws of a batch: images (batch, draws, ...), residual and error the mean of those there are."""
    residual, error = ([getattr(draw, name) for draw in draws] for name in ("residual", "error"))
    told = [[one for one in found if one is not None] for found in (residual, error)]
    means = (torch.stack(found).mean(0) if found else None for found in told)
    return Drawn(torch.stack([draw.images for draw in draws], 1), *means)
