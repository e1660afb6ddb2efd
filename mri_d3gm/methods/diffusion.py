"""Methods that use the network: draws of the reverse process, and one evaluation."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mri_d3gm.compute import Map, Progress
from mri_d3gm.methods.draws import Agreement, Draws, draw_seed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.fft import mirror
from mri_d3gm.physics.measurement import MEASURED, Measurement
from mri_d3gm.physics.trust import Support, band_weights, support
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.settings import TRUST_FOLDS, Recon, SuperResolve

CLEARLY = 0.9  # of an error is an error that is clearly less
MISSED = 0.3  # of the withheld energy is much
MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class Drawn(NamedTuple):
    """One draw of a batch."""

    images: Tensor
    residual: Tensor | None
    error: Tensor | None


def d3gm(
    measurement: Measurement,
    network: Denoiser,
    settings: Recon | SuperResolve,
    indices: Sequence[int],
    *,
    run: Map = map,
    progress: Progress | None = None,
) -> Draws:
    """Draws from the path's reverse process that agree with the measurement.

    indices: one for each of the batch; draw i of index n depends on (seed, n, i) alone. The draws take turns in seeing the
    image as it is and mirrored (MIRRORS): the network is not exactly symmetric, so their mean is better and their spread wider.
    With trust, measured lines are withheld in folds, and unmeasured k-space is discounted by what they support; where they are
    missed, see `second_look`. run maps a function over draws and folds; progress is told (done, all) after each
    evaluation.
    """
    draws = draw_all(measurement, network, settings, indices, run=run, progress=progress)
    for i, found in enumerate(draws.support or []):
        if found is not None and found.error() > MISSED:
            draws = draws.with_one(i, second_look(draws.one(i), measurement[i], network, settings, indices[i], run=run))
    return draws


def second_look(
    first: Draws,
    measurement: Measurement,
    network: Denoiser,
    settings: Recon | SuperResolve,
    index: int,
    *,
    run: Map = map,
) -> Draws:
    """Draws of a batch of one whose withheld lines were missed, with the evaluations of this look alone.

    The first ones where coil maps of low resolution, tried on one fold, do not predict clearly more. Else, and where zero
    predicts these lines better, new ones from more folds, with the maps that predict more.
    """
    error = first.support[0].error()  # type: ignore[index, union-attr]
    coarse = measurement.coarser()
    tried = None if coarse is None else fold_support(network, coarse, 0)
    used = 0 if tried is None else 1
    if error <= 1 and (tried is None or tried[0].error() > CLEARLY * error):
        return first._replace(evaluations=used)
    thorough = replace(settings, trust="full")  # type: ignore[arg-type]
    looks = [draw_all(one, network, thorough, [index], run=run) for one in (measurement, coarse) if one is not None]
    errors = [look.support[0].error() for look in looks]  # type: ignore[index, union-attr]
    better = len(looks) > 1 and errors[1] < CLEARLY * errors[0]
    chosen = looks[1]._replace(coarser=[True]) if better else looks[0]
    return chosen._replace(evaluations=used + sum(look.evaluations for look in looks))


def draw_all(
    measurement: Measurement,
    network: Denoiser,
    settings: Recon | SuperResolve,
    indices: Sequence[int],
    *,
    run: Map = map,
    progress: Progress | None = None,
) -> Draws:
    """What `d3gm` gives at the first look."""
    folds = range(TRUST_FOLDS[settings.trust or "off"]) if isinstance(settings, Recon) else range(0)
    evaluations, done = settings.steps * settings.samples + len(folds), 0  # type: ignore[operator]
    mu = measurement.prior_mean()

    def tell(*_: int) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, evaluations)

    def draw(number: int) -> Drawn:
        seeds = [draw_seed(settings.seed, index, number) for index in indices]
        return one_draw(measurement, network, settings, mu, MIRRORS[number % len(MIRRORS)], seeds=seeds, progress=tell)

    def fold(number: int) -> list[Support] | None:
        found = fold_support(network, measurement, number)
        tell()
        return found

    tasks: list[Callable[[], Any]] = [partial(draw, number) for number in range(settings.samples or 1)]
    parts = list(run(lambda task: task(), [*tasks, *(partial(fold, number) for number in folds)]))
    drawn, found = parts[: settings.samples], [part for part in parts[settings.samples :] if part is not None]
    images = torch.stack([one.images for one in drawn], 1)
    supports: list[Support | None] | None = None
    if found:
        sums = (Support(*map(sum, zip(*each, strict=True))) for each in zip(*found, strict=True))  # type: ignore[arg-type]
        supports = [one if one.samples.any() else None for one in sums]
    images = torch.stack([shown(images[i], measurement[i], s) for i, s in enumerate(supports or [None] * len(images))])
    used = len(tasks) * (settings.steps or 1) + len(found)
    residual, error = _mean(one.residual for one in drawn), _mean(one.error for one in drawn)
    return Draws(images, used, residual, supports, error, coarser=[False] * len(images))


@torch.no_grad()
def one_draw(
    measurement: Measurement,
    network: Denoiser,
    settings: Recon | SuperResolve,
    mu: Tensor,
    axes: tuple[int, ...],
    *,
    seeds: Sequence[int],
    progress: Progress,
) -> Drawn:
    """A draw of each of the batch, which the network sees mirrored along `axes`; progress is told after each evaluation."""
    seen = mirror(mu, axes)
    agree = Agreement(network, measurement.mirrored(axes))
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
    error = None if agree.error is None else mirror(agree.error, axes)
    return Drawn(mirror(images, axes), agree.residual, error)


@torch.no_grad()
def fold_support(network: Denoiser, measurement: Measurement, fold: int) -> list[Support] | None:
    """What the samples of one fold say of the estimate that was made without them, for each of the batch; one evaluation."""
    parts = measurement.withhold(fold)
    if parts is None:
        return None
    kept, withheld = parts
    estimate = Agreement(network, kept).first(kept.prior_mean())
    return [
        support(estimate[i : i + 1], kept[i], withheld[i])  # type: ignore[arg-type]
        for i in range(len(measurement))
    ]


@torch.no_grad()
def shown(images: Tensor, measurement: Measurement, found: Support | None) -> Tensor:
    """Draws (draws, rows, cols) of one image as they are given: what was not measured as far as `found` supports it."""
    known = () if found is None else (band_weights(found, measurement.sampled()[0] == MEASURED).to(images.real.dtype),)
    return torch.cat([measurement.shown(image[None], *known) for image in images])


@torch.no_grad()
def regression(measurement: Measurement, network: Denoiser, *_: Any, **__: Any) -> Draws:
    """The same network, one evaluation at T without noise, then agreement."""
    agree = Agreement(network, measurement)
    images = measurement.shown(agree.restore(agree.first(measurement.prior_mean())))
    return Draws(images[:, None], 1, agree.residual, error=agree.error)


def _mean(values: Iterable[Tensor | None]) -> Tensor | None:
    known = [value for value in values if value is not None]
    return torch.stack(known).mean(0) if known else None
