"""Methods that use the network: draws of the reverse process, and one evaluation."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mri_d3gm.compute import Map, Progress
from mri_d3gm.methods.draws import Agreement, Draws, SecondLook, draw_seed
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.fft import MIRRORS, mirror
from mri_d3gm.physics.measurement import MEASURED, Measurement
from mri_d3gm.physics.trust import Support, band_weights, support, total
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.samplers.sample import sample
from mri_d3gm.settings import TRUST_FOLDS, Recon, SuperResolve

CLEARLY = 0.9  # of an error is an error that is clearly less
MISSED = 0.3  # of the withheld energy is much


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


class Look(NamedTuple):
    """One of a batch, as a batch of one: its measurement, its draws, what each fold says of them, and its second look."""

    measurement: Measurement
    drawn: Drawn
    folds: list[Support]
    second: SecondLook = SecondLook(0, False)


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
    missed, see `second_look`. run maps a function over draws and folds; progress is told (done, all) after each evaluation, and
    (all, all) after those of a second look.
    """
    folds = range(TRUST_FOLDS[settings.trust or "off"]) if isinstance(settings, Recon) else range(0)
    evaluations, done = settings.steps * settings.samples + len(folds), 0  # type: ignore[operator]

    def tell(*_: int) -> None:
        nonlocal done
        done = min(done + 1, evaluations)
        if progress is not None:
            progress(done, evaluations)

    alone = settings.samples == 1 and not folds  # then it is tiles that run maps over
    drawing = draw_tasks(measurement, network, settings, indices, tell, run=run if alone else map)
    judging = [partial(fold_support, network, measurement, number, tell) for number in folds]
    parts = _done(map if alone else run, [*drawing, *judging])
    drawn, found = _together(parts[: len(drawing)]), [part for part in parts[len(drawing) :] if part is not None]
    looks = []
    for i, index in enumerate(indices):
        look = Look(measurement[i], drawn.one(i), [each[i] for each in found])
        looks.append(second_look(look, network, settings, index, run, tell))
    supports = [total(look.folds) for look in looks]
    images = torch.stack([shown(one.drawn.images[0], one.measurement, s) for one, s in zip(looks, supports, strict=True)])
    residual, error = (_joined(getattr(look.drawn, name) for look in looks) for name in ("residual", "error"))
    used = len(drawing) * (settings.steps or 1) + len(found)
    return Draws(images, used, residual, supports if found else None, error, [look.second for look in looks])


def second_look(
    look: Look, network: Denoiser, settings: Recon | SuperResolve, index: int, run: Map, tell: Callable[..., None]
) -> Look:
    """The same where withheld lines were predicted, else what more folds and, of many coils, maps of low resolution say.

    Where such maps predict the first fold clearly better, all folds of both decide, and they replace the maps if they still
    do; new draws are made with them. Where zero predicts the lines better, all folds of the own maps are made.
    """
    first = total(look.folds)
    if first is None or first.error() <= MISSED:
        return look

    def judged(measurement: Measurement, numbers: range) -> list[Support]:
        parts = _done(run, [partial(fold_support, network, measurement, number, tell) for number in numbers])
        return [part[0] for part in parts if part is not None]

    coarse, most = look.measurement.coarser(), TRUST_FOLDS["full"]
    theirs = [] if coarse is None else judged(coarse, range(1))
    rival = bool(theirs) and theirs[0].error() <= CLEARLY * look.folds[0].error()
    if not rival and first.error() <= 1:
        return look._replace(second=SecondLook(len(theirs), False))
    own = look.folds + judged(look.measurement, range(len(look.folds), most))
    if rival:
        theirs += judged(coarse, range(1, most))  # type: ignore[arg-type]
    used = len(own) - len(look.folds) + len(theirs)
    if not rival or total(theirs).error() > CLEARLY * total(own).error():  # type: ignore[union-attr]
        return look._replace(folds=own, second=SecondLook(used, False))
    drawing = draw_tasks(coarse, network, settings, [index], tell)  # type: ignore[arg-type]
    used += len(drawing) * (settings.steps or 1)
    return Look(coarse, _together(_done(run, drawing)), theirs, SecondLook(used, True))  # type: ignore[arg-type]


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
            MIRRORS[number % len(MIRRORS)],
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
    axes: tuple[int, ...],
    *,
    seeds: Sequence[int],
    progress: Progress,
    run: Map = map,
) -> Drawn:
    """A draw of each of the batch, which the network sees mirrored along `axes`; progress is told after each evaluation."""
    seen = mirror(mu, axes)
    agree = Agreement(network, measurement.mirrored(axes), run)
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
def fold_support(
    network: Denoiser, measurement: Measurement, fold: int, tell: Callable[..., None] = lambda *_: None
) -> list[Support] | None:
    """What the samples of one fold say of the estimate that was made without them, for each of the batch; one evaluation."""
    parts = measurement.withhold(fold)
    if parts is None:
        return None
    kept, withheld = parts
    agree = Agreement(network, kept)
    estimate = agree.restore(agree.first(kept.prior_mean()))
    tell()
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
def regression(measurement: Measurement, network: Denoiser, *_: Any, run: Map = map, **__: Any) -> Draws:
    """The same network, one evaluation at T without noise, then agreement."""
    agree = Agreement(network, measurement, run)
    images = measurement.shown(agree.restore(agree.first(measurement.prior_mean())))
    return Draws(images[:, None], 1, agree.residual, error=agree.error)


def _done(run: Map, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    return list(run(lambda task: task(), tasks))


def _together(draws: Sequence[Drawn]) -> Drawn:
    """All draws of a batch: images (batch, draws, ...), residual and error the mean of those there are."""
    residual, error = ([getattr(draw, name) for draw in draws] for name in ("residual", "error"))
    told = [[one for one in found if one is not None] for found in (residual, error)]
    means = (torch.stack(found).mean(0) if found else None for found in told)
    return Drawn(torch.stack([draw.images for draw in draws], 1), *means)


def _joined(parts: Iterable[Tensor | None]) -> Tensor | None:
    every = list(parts)
    return None if any(part is None for part in every) else torch.cat(every)  # type: ignore[arg-type]
