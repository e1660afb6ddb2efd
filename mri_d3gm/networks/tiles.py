"""The denoiser over a large picture: its x0 estimates of overlapping tiles, blended at every step of the sampler."""

from collections.abc import Callable

import torch
from torch import Tensor

from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.unknown import Unknown

STRIDE = 32


def starts(size: int, tile: int, margin: int) -> list[int]:
    """Where tiles of length `tile` begin so that they cover `size` and neighbours share at least `margin`.

    Multiples of 32, so that the network's coarse grids fall on the same pixels in every tile.
    """
    if size <= tile:
        return [0]
    step = (tile - margin) // STRIDE * STRIDE
    last = -(-(size - tile) // STRIDE) * STRIDE
    return [*range(0, last, step), last]


def _ramp(first: int, length: int, size: int, margin: int) -> Tensor:
    """Weights of a tile's pixels along one axis: from a border inside the picture 0, then rising, 1 from `margin` on."""
    halo = margin // 3
    place = (torch.arange(length) + 0.5 - halo) / (margin - 2 * halo)
    up = place.clamp(0, 1) if first > 0 else torch.ones(length)
    down = place.flip(0).clamp(0, 1) if first + length < size else torch.ones(length)
    return up * down


def tiled_estimate(
    denoiser: Denoiser,
    x: Tensor,
    t: Tensor,
    mu: Tensor,
    tile: int = 512,
    margin: int = 128,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The last x0 estimate of x, mu (batch, channels, rows, cols), without physics; one evaluation of each tile.

    progress is told (tiles done, tiles) after each.
    """
    rows, cols = x.shape[-2:]
    corners = [(top, left) for top in starts(rows, tile, margin) for left in starts(cols, tile, margin)]
    blended, total = torch.zeros_like(x), x.new_zeros(rows, cols)
    for done, (top, left) in enumerate(corners, 1):
        window = (..., slice(top, min(top + tile, rows)), slice(left, min(left + tile, cols)))
        estimate = denoiser.estimates(x[window], t, mu[window], Unknown(mu[window])).images[-1]
        down, across = (
            _ramp(first, n, size, margin) for first, n, size in zip((top, left), estimate.shape[-2:], (rows, cols), strict=True)
        )
        weight = (down[:, None] * across[None]).to(x.device)
        blended[window] += estimate * weight
        total[window] += weight
        if progress is not None:
            progress(done, len(corners))
    return blended / total
