"""Methods that use the network: draws of the reverse process, and one evaluation."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from mri_d3gm.compute import Map, Progress
from mri_d3gm.methods.drawing import all_draws, draw_tasks, fold_support, run_all
from mri_d3gm.methods.draws import Agreement, Draws
from mri_d3gm.methods.recalibration import passes_of, recalibrated
from mri_d3gm.methods.second_look import Look, Way, second_look, shown
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.measurement import Measurement
from mri_d3gm.physics.trust import total
from mri_d3gm.settings import TRUST_FOLDS, Recon, SuperResolve


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
    image as it is and mirrored or turned (`view_of`): the network is not exactly symmetric, so their mean is better and their
    spread wider.
    With trust, measured lines are withheld in folds, and unmeasured k-space is discounted by what they support; where they are
    missed, see `second_look`; only there are they predicted with the better coil maps that the draws may have (`recalibrated`).
    run maps a function over draws and folds; progress is told (done, all) after each evaluation, and
    (all, all) after those of a second look.
    """
    folds = range(TRUST_FOLDS[settings.trust or "off"]) if isinstance(settings, Recon) else range(0)
    passes, made = passes_of(measurement, settings.samples), count(1)
    evaluations = passes + settings.steps * settings.samples + len(folds)  # type: ignore[operator]

    def tell(*_: int) -> None:
        done = min(next(made), evaluations)  # at once, whatever thread it is
        if progress is not None:
            progress(done, evaluations)

    alone = settings.samples == 1 and not folds  # then it is tiles that run maps over
    better = recalibrated(measurement, network, passes, tell)
    drawing = draw_tasks(better, network, settings, indices, tell, run=run if alone else map)
    judging = [partial(fold_support, network, measurement, number, tell) for number in folds]
    parts = run_all(map if alone else run, [*drawing, *judging])
    drawn, found = all_draws(parts[: len(drawing)]), [part for part in parts[len(drawing) :] if part is not None]
    looks = []
    for i, index in enumerate(indices):
        look = Look(Way((measurement[i],), passes=passes), [drawn.one(i)], [each[i] for each in found])
        look = second_look(look, network, settings, index, run, tell)
        looks.append(look if look.second.instead else look._replace(way=Way((better[i],))))
    results = [shown(look, measurement[i]) for i, look in enumerate(looks)]
    images = torch.cat([one.images for one in results])
    residual, error = (_joined(getattr(one, name) for one in results) for name in ("residual", "error"))
    supports = [total(look.folds) for look in looks]
    used = passes + len(drawing) * (settings.steps or 1) + len(found)
    return Draws(images, used, residual, supports if found else None, error, [look.second for look in looks], better)


@torch.no_grad()
def regression(measurement: Measurement, network: Denoiser, *_: Any, run: Map = map, **__: Any) -> Draws:
    """The same network, one evaluation at T without noise, then agreement."""
    passes = passes_of(measurement)
    better = recalibrated(measurement, network, passes)
    agree = Agreement(network, better, run)
    images = better.shown(agree.restore(agree.first(better.prior_mean())))
    return Draws(images[:, None], passes + 1, agree.residual, error=agree.error, measurement=better)


def _joined(parts: Iterable[Tensor | None]) -> Tensor | None:
    every = list(parts)
    return None if any(part is None for part in every) else torch.cat(every)  # type: ignore[arg-type]
