"""Which measured samples are withheld from a prediction, to test it."""

import numpy as np
import torch
from torch import Tensor

from mri_d3gm.io.sampling import center_lines, lines_of_block


def centre(mask: np.ndarray) -> np.ndarray:
    """The fully sampled run through the centre of mask (rows | 1, cols | 1), of its shape; a rectangle for 2-D masks."""
    sizes = center_lines(mask)
    inside = [np.abs(np.arange(n) - n // 2) <= (size // 2 if n > 1 else 0) for n, size in zip(mask.shape, sizes, strict=True)]
    return mask & inside[0][:, None] & inside[1][None]


def evenly_spaced(mask: np.ndarray) -> bool:
    """Whether the samples of mask (rows | 1, cols | 1) are on a grid that leaves lines out along an axis, without a centre.

    An image in which the object lies on shifted copies of itself says the same of such samples as the object does. So none of
    them, withheld, tells which of the two was found.
    """
    long = [lines for lines in (mask, mask.T) if lines.shape[1] > 1]
    gaps = [[np.diff(np.flatnonzero(line)) for line in lines] for lines in long]
    return any(int(np.gcd.reduce(np.concatenate(along))) > 1 for along in gaps)


def withheld_samples(mask: Tensor, fold: int, folds: int = 4) -> Tensor:
    """Samples of mask (batch, rows | 1, cols | 1) outside the centre to withhold: lines of every `folds`-th distance from it.

    Fold 0 has the line nearest to the centre, where most of what is unknown lies. A line goes with its mirror image, which
    would give it away where the phase is flat. Of a 2-D mask it is every folds-th sample in a shuffled order, but lines where
    these all reach equally far. Four folds together are all samples outside the centre. Of more than four there are only as
    many as leave each four distances, and only four of them are used: fold 1 follows a quarter of them after fold 0, so that
    few folds reach all of k-space.
    """
    return torch.stack([torch.from_numpy(_fold(one, fold, folds)) for one in mask.cpu().numpy()]).to(mask.device)


def _fold(mask: np.ndarray, fold: int, folds: int) -> np.ndarray:
    lines = lines_of_block(mask)
    if lines is not None:
        return mask & _fold(lines, fold, folds)
    outer = np.flatnonzero(mask & ~centre(mask))
    if min(mask.shape) > 1:
        order = np.random.default_rng(0).permutation(outer.size)
    else:
        order = np.unique(np.abs(outer - mask.size // 2), return_inverse=True)[1]
    folds = min(folds, max(4, len(np.unique(order)) // 4))
    chosen = np.zeros(mask.size, bool)
    chosen[outer[order % folds == fold * max(1, folds // 4) % folds]] = True
    return chosen.reshape(mask.shape)
