"""A second look at a slice whose withheld samples were missed: with coil maps of low resolution, or each of its coils alone."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from mri_d3gm.compute import Map
from mri_d3gm.methods.drawing import Drawn, all_draws, draw_tasks, fold_support, run_all
from mri_d3gm.methods.draws import SecondLook
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.cartesian import FOLDS_OF_MANY, Cartesian
from mri_d3gm.physics.measurement import MEASURED, Measurement
from mri_d3gm.physics.trust import Support, band_weights, scaled, total
from mri_d3gm.settings import TRUST_FOLDS, Recon, SuperResolve

CLEARLY, BY_FAR = 0.9, 0.75  # of an error is an error that is clearly less; as much as coils alone must win by
MISSED, MOST = 0.3, 0.7  # of the withheld energy is much, and so much that no coil maps may fit
ALONE = 2  # folds and draws of coils alone, at most: each takes as many evaluations as there are coils
COILS = 2**20  # numbers of slices, between those of one's coils


class Way(NamedTuple):
    """How a slice is reconstructed: of itself or of each of its coils, batches of one, whose images times scales are its own.

    instead: what stands in place of its coil maps, "" for nothing; needed: what its error over that with them must not exceed;
    folds: of its samples, as `Measurement.withhold` has it; few: how many of them are judged, and draws made, at most. passes:
    how often it is calibrated again (`recalibrated`).
    """

    parts: tuple[Measurement, ...]
    scales: tuple[float, ...] = (1.0,)
    instead: str = ""
    needed: float = 1.0
    folds: int | None = None
    few: int | None = None
    passes: int = 0


class Look(NamedTuple):
    """A slice: the way it is reconstructed, the draws of each part, (1, draws, rows, cols), what each fold says of all parts
    together, and its second look.
    """

    way: Way
    drawn: list[Drawn]
    folds: list[Support]
    second: SecondLook = SecondLook(0)


def other_ways(measurement: Measurement, missed: float) -> list[Way]:
    """What may stand in place of the coil maps of a batch of one whose withheld samples were missed by this much."""
    coarse, coils = measurement.coarser(), measurement.each_coil() if missed > MOST else None
    ways = [] if coarse is None else [Way((coarse,), instead="low-resolution", needed=CLEARLY)]
    return ways if coils is None else [*ways, Way(*coils, "none", BY_FAR, FOLDS_OF_MANY, ALONE)]


def second_look(
    look: Look, network: Denoiser, settings: Recon | SuperResolve, index: int, run: Map, tell: Callable[..., None]
) -> Look:
    """The same where withheld samples were predicted, else the way that more folds speak for.

    A way that is calibrated again was judged without that. Here it is judged with it, and by what misses less; where that is
    worse than zero, the maps that the scan has by itself are used. Where another way predicts the first fold clearly better,
    more folds of both decide, and it replaces the own if they still do; new draws are made. Where zero predicts the samples
    better, all folds of the own way are made.
    """
    missed, used, most = _error(look.folds), 0, TRUST_FOLDS["full"]
    if missed <= MISSED:
        return look
    judge = partial(judged, network=network, run=run, tell=tell)
    draw = partial(drawn_again, network=network, settings=settings, index=index, run=run, tell=tell)
    ways = other_ways(look.way.parts[0], missed)
    if look.way.passes:
        again, plain = judge(look.way, range(len(look.folds))), look.way._replace(passes=0)
        used = (1 + look.way.passes) * len(again)
        if _error(again) < missed:
            look, missed = look._replace(folds=again), _error(again)
        elif _error(again) <= 1:
            look = look._replace(way=plain)
        else:
            look = Look(plain._replace(instead="espirit"), draw(plain), look.folds)
            used += evaluations(look, settings)
    if missed <= MISSED:
        return look._replace(second=SecondLook(used, look.way.instead))
    tried = [(way, folds) for way in ways if (folds := judge(way, range(1)))]
    used += sum(len(way.parts) for way, _ in tried)
    rivals = [(way, folds) for way, folds in tried if folds[0].error() <= way.needed * look.folds[0].error()]
    if not rivals and missed <= 1:
        return look._replace(second=SecondLook(used, look.way.instead))
    own = look.folds + judge(look.way, range(len(look.folds), most))
    used += (1 + look.way.passes) * (len(own) - len(look.folds))
    for way, folds in sorted(rivals, key=lambda one: one[1][0].error() / one[0].needed):
        theirs = folds + judge(way, range(1, way.few or most))
        used += (len(theirs) - 1) * len(way.parts)
        if _error(theirs) <= way.needed * _error(own[: len(theirs)]):
            found = Look(way, draw(way), theirs)
            return found._replace(second=SecondLook(used + evaluations(found, settings), way.instead))
    return look._replace(folds=own, second=SecondLook(used, look.way.instead))


def evaluations(look: Look, settings: Recon | SuperResolve) -> int:
    """Of the network, for all draws of all parts."""
    return len(look.drawn) * look.drawn[0].images.shape[1] * (settings.steps or 1)


def _error(folds: list[Support]) -> float:
    """Of all of them together, 0 without any."""
    found = total(folds)
    return 0.0 if found is None else found.error()


def judged(way: Way, numbers: range, network: Denoiser, run: Map, tell: Callable[..., None]) -> list[Support]:
    """What the folds of these numbers say of the parts of a way together."""
    fold = partial(fold_support, network, tell=tell, folds=way.folds, passes=way.passes)
    tasks = [partial(fold, part, number) for number in numbers for part in way.parts]
    found = [None if each is None else each[0] for each in run_all(run, tasks)]
    folds = [found[start : start + len(way.parts)] for start in range(0, len(found), len(way.parts))]
    whole = [total(scaled(each, scale) for each, scale in zip(fold, way.scales, strict=True)) for fold in folds]
    return [fold for fold in whole if fold is not None]


def drawn_again(
    way: Way, network: Denoiser, settings: Recon | SuperResolve, index: int, run: Map, tell: Callable[..., None]
) -> list[Drawn]:
    """New draws of every part; the noise of one coil is not that of another."""
    seeds = [[index + COILS * place] for place in range(len(way.parts))]
    tasks = [draw_tasks(part, network, settings, seed, tell)[: way.few] for part, seed in zip(way.parts, seeds, strict=True)]
    every = run_all(run, [task for part in tasks for task in part])
    count = len(tasks[0])
    return [all_draws(every[start : start + count]) for start in range(0, len(every), count)]


@torch.no_grad()
def shown(look: Look, whole: Measurement) -> Drawn:
    """The draws of a slice as they are shown, of a batch of one: what was not measured as far as the folds support it, coils
    put together.

    whole: the slice as it was measured.
    """
    way, found, support = look.way, total(look.folds), torch.ones(())
    if found is not None:
        support = band_weights(found, whole.sampled()[0] == MEASURED).to(look.drawn[0].images.real.dtype)
    parts = [
        torch.cat([part.shown(image[None], support) for image in one.images[0]])
        for part, one in zip(way.parts, look.drawn, strict=True)
    ]
    if len(parts) == 1:
        return look.drawn[0]._replace(images=parts[0][None])
    assert isinstance(whole, Cartesian)
    scales = torch.tensor(way.scales, device=parts[0].device)
    coils = torch.stack(parts, 1) * scales[:, None, None]
    images = torch.cat([whole.combined(each[None]) for each in coils])
    residuals = [one.residual for one in look.drawn if one.residual is not None]
    errors = [one.error for one in look.drawn if one.error is not None]
    residual = (torch.cat(residuals) * scales).square().mean().sqrt()[None] if residuals else None
    error = None
    if errors:  # of the root of the sum of squares, as all coils err together
        own = torch.cat(errors) * scales[:, None, None]
        size = images.abs().mean(0).clamp_min(torch.finfo(own.dtype).tiny)
        error = ((coils.abs().mean(0) * own).sum(0) / size)[None]
    return Drawn(images[None], residual, error)
