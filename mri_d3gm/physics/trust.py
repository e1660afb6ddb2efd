"""How far a scan supports what is predicted of its k-space: measured samples that were withheld from the prediction."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.io.sampling import center_lines
from mri_d3gm.physics.cartesian import Cartesian
from mri_d3gm.physics.measurement import MEASURED, MISSING

EDGES = (0.0, 0.1, 0.25, 0.5, 1.0)


class Support(NamedTuple):
    """Sums over withheld samples by band, (bands,) float64: Re<p, y>, <p, p>, <y, y>, and how many samples they are."""

    cross: Tensor
    predicted: Tensor
    measured: Tensor
    samples: Tensor

    def error(self) -> float:
        """|y - p|^2 / |y|^2 over all bands: 0 is a perfect prediction, 1 is that of zero-filling."""
        total = float(self.measured.sum())
        return float((self.measured - 2 * self.cross + self.predicted).sum()) / total if total > 0 else 1.0


def total(parts: Iterable[Support | None]) -> Support | None:
    """The sum of those there are; None where no sample was withheld."""
    known = [part for part in parts if part is not None and part.samples.any()]
    return Support(*map(sum, zip(*known, strict=True))) if known else None  # type: ignore[arg-type]


def scaled(part: Support | None, factor: float) -> Support | None:
    """The same of k-space times a factor."""
    if part is None:
        return None
    cross, predicted, measured, samples = part
    return Support(factor**2 * cross, factor**2 * predicted, factor**2 * measured, samples)


def radius(mask: Tensor) -> Tensor:
    """Distance from the edge of the centre, 0, to the end of k-space, 1, for every sample of one mask (rows | 1, cols | 1)."""
    array = mask.cpu().numpy()
    total = np.zeros(array.shape)
    for axis, (n, size) in enumerate(zip(array.shape, center_lines(array), strict=True)):
        if n > 1:
            along = (np.abs(np.arange(n) - n // 2) / (n / 2) - size / n).clip(0) / max(1 - size / n, 1e-6)
            total = total + np.expand_dims(along, 1 - axis) ** 2
    return torch.from_numpy(np.sqrt(total).clip(0, 1)).to(mask.device)


def support(estimate: Tensor, kept: Cartesian, withheld: Cartesian) -> Support:
    """What the samples of `withheld`, kept from the estimate (1, rows, cols), say of it; batches of one."""
    predicted = kept.whole_kspace(estimate)
    bands = torch.bucketize(radius((kept.mask | withheld.mask)[0]).cpu(), torch.tensor(EDGES[1:-1]))
    sums = []
    cross, power = (predicted.conj() * withheld.kspace).real, withheld.kspace.abs().square()
    for values in (cross, predicted.abs().square(), power, torch.ones_like(power)):
        each = (values.double() * (withheld.sampled() == MEASURED)[:, None]).sum((0, 1)).cpu()
        index = bands.expand(each.shape).flatten()
        sums.append(torch.zeros(len(EDGES) - 1, dtype=torch.float64).index_add(0, index, each.flatten()))
    return Support(*sums)


def weights_of_bands(found: Support) -> Tensor:
    """Weight of the prediction in each band, (bands,) float64 in [0, 1]; a band without withheld samples has that of all.

    The square of twice the least-squares weight, at most 1: below 1 exactly where zero predicts the withheld samples better
    than the prediction does, and near the least-squares weight where it does so by far. That weight itself would be too little
    for good predictions, since withholding widens the gaps.
    """
    tiny = torch.finfo(torch.float64).tiny
    cross, predicted = (torch.cat([each, each.sum(0, keepdim=True)]) for each in (found.cross, found.predicted))
    weight = (2 * cross / predicted.clamp_min(tiny)).clamp(0, 1).square()
    return torch.where(found.predicted > 0, weight[:-1], weight[-1] if bool(predicted[-1] > 0) else 1.0)


def band_weights(found: Support, mask: Tensor) -> Tensor:
    """`weights_of_bands` for every sample of one mask (rows | 1, cols | 1), linear between the bands' middles, float64."""
    middles = (np.array(EDGES[:-1]) + np.array(EDGES[1:])) / 2
    weight = np.interp(radius(mask).cpu().numpy(), middles, weights_of_bands(found).numpy())
    return torch.from_numpy(weight).to(mask.device)


def foretold(found: Support, measurement: Cartesian) -> float:
    """Energy of the error of what was not measured, of all coils together, if each band is missed as its withheld samples are.

    A band without any is missed as all of them are. A measurement of a batch of one.
    """
    missed, samples = (found.measured - 2 * found.cross + found.predicted), found.samples
    each = torch.where(samples > 0, missed / samples.clamp_min(1), missed.sum() / samples.sum().clamp_min(1))
    state = measurement.sampled()[0].cpu()
    bands = torch.bucketize(radius(state == MEASURED), torch.tensor(EDGES[1:-1]))
    missing = torch.stack([((state == MISSING) & (bands == band)).sum() for band in range(len(EDGES) - 1)])
    return float((each * missing).sum()) * measurement.kspace[0].numel() / state.numel()
