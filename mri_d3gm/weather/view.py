"""What is looked at of a photograph: neither a dark frame nor what is transparent, as bright as if it were well exposed."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DARK, EDGE = 0.07, 8  # of a frame: the level of its pixels, and the lines that its inner edge may take
STEEP, STEP = 3, 0.03  # times its mean and more that what follows has
SMALLEST = 8  # pixels a side that a frame must leave
WHITE = 0.999  # the quantile that is taken for white
BRIGHT = {"derain": 1.0, "dehaze": 0.8}  # how bright white has to be: brightened further, some clear air would look hazy


class View(NamedTuple):
    """The part seen (3, rows, cols) in [0, 1], where it lies in the picture, the level that became 1, and where the picture is
    visible, (rows, cols) bool or None for everywhere.
    """

    seen: Tensor
    rows: slice
    cols: slice
    white: float
    visible: Tensor | None

    def put_back(self, picture: Tensor, restored: Tensor) -> Tensor:
        """The picture (3, rows, cols) with what was seen as restored; where nothing was removed it stays as it is, to the bit.

        What is brighter than white loses the same share as white does.
        """
        result, part = picture.clone(), picture[:, self.rows, self.cols]
        change = (restored - self.seen) * part.clamp_min(self.white)
        if self.visible is not None:
            change *= self.visible[self.rows, self.cols]
        result[:, self.rows, self.cols] += change
        return result.clamp(0, 1)


def view_of(picture: Tensor, task: str, visible: Tensor | None = None) -> View:
    """The view of a picture (3, rows, cols) in [0, 1] for a task, derain or dehaze.

    visible (rows, cols) bool: where it is not transparent. A transparent pixel looks like its mirror image at the nearest
    visible one, or like this.
    """
    if visible is not None and (visible.all() or not visible.any()):
        visible = None
    filled = picture if visible is None else _filled(picture, visible)
    brightest = filled.amax(0)
    if visible is not None:
        brightest = brightest * visible.any(0) * visible.any(1)[:, None]
    rows, cols = _inside(brightest / max(_white(brightest), 1e-6))
    white = min(1.0, _white(brightest[rows, cols]) / BRIGHT[task]) or 1.0
    return View((filled[:, rows, cols] / white).clamp(max=1), rows, cols, white, visible)


def _filled(picture: Tensor, visible: Tensor) -> Tensor:
    from scipy.ndimage import distance_transform_edt

    nearest = torch.from_numpy(distance_transform_edt(~visible.numpy(), return_distances=False, return_indices=True)).long()
    rows, cols = visible.shape
    mirror = 2 * nearest - torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij"))
    row, col = mirror[0].clamp(0, rows - 1), mirror[1].clamp(0, cols - 1)
    row, col = torch.where(visible[row, col], torch.stack([row, col]), nearest)
    return picture[:, row, col]


def _white(brightest: Tensor) -> float:
    return float(np.quantile(brightest.numpy(), WHITE))


def _inside(brightest: Tensor) -> tuple[slice, slice]:
    """Rows and columns within a dark frame of the brightest channel (rows, cols); all of them where there is none."""
    rows = _between(brightest)
    cols = _between(brightest[rows].T)
    rows = _between(brightest[:, cols])
    height, width = (len(range(size)[part]) for size, part in zip(brightest.shape, (rows, cols), strict=True))
    return (rows, cols) if min(height, width) >= SMALLEST else (slice(None), slice(None))


def _between(brightest: Tensor) -> slice:
    """The lines between those of a frame at the first and at the last."""
    return slice(_frame(brightest), len(brightest) - _frame(brightest.flip(0)))


def _frame(lines: Tensor) -> int:
    """How many lines a frame takes that begins at the first: dark ones, and those of its inner edge.

    0 where no step upwards follows: a night sky becomes brighter by and by.
    """
    dark, level = (lines < DARK).float().mean(1), lines.mean(1)
    edge = int((dark > 0.95).int().cumprod(0).sum())
    most = min(edge + EDGE, len(lines) - 1)
    while edge < most and (dark[edge] > 0.75 or level[edge] < 0.7 * level[edge + 1 : edge + 4].mean()):
        edge += 1
    return edge if level[edge : edge + EDGE // 2].mean() > STEEP * level[:edge].mean() + STEP else 0
