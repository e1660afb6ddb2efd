"""The denoiser over a large image: its x0 estimates of overlapping tiles, blended at every step of the sampler."""

import torch
from torch import Tensor

from mri_d3gm.compute import Map, Progress
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.physics.measurement import Measurement

PICTURE_MARGIN, SLICE_MARGIN = 128, 64  # pixels that neighbouring tiles of photographs share, and those of slices
STRIDE = 32  # of networks that do not say theirs


def stride_of(denoiser: Denoiser) -> int:
    """Pixels after which the coarse grids of a denoiser's network repeat."""
    return getattr(denoiser.net, "stride", STRIDE)


def starts(size: int, tile: int, margin: int, stride: int = STRIDE) -> list[int]:
    """Where tiles of length `tile` begin so that they cover `size` and neighbours share at least `margin`.

    Multiples of `stride`, so that the network's coarse grids fall on the same pixels in every tile; at least margin + stride
    long.
    """
    if size <= tile:
        return [0]
    step = (tile - margin) // stride * stride
    last = -(-(size - tile) // stride) * stride
    return [*range(0, last, step), last]


def _ramp(first: int, length: int, size: int, margin: int) -> Tensor:
    """Weights of a tile's pixels along one axis: from a border inside the picture 0, then rising, 1 from `margin` on."""
    halo = margin // 3
    place = (torch.arange(length) + 0.5 - halo) / (margin - 2 * halo)
    up = place.clamp(0, 1) if first > 0 else torch.ones(length)
    down = place.flip(0).clamp(0, 1) if first + length < size else torch.ones(length)
    return up * down


def even_tile(size: int, most: int, margin: int, stride: int = STRIDE) -> int:
    """Length, a multiple of `stride`, of as few and as short tiles as cover `size`, none much longer than `most`."""
    count = max(1, -(-(size - margin) // (most - margin)))
    return -(-(size + (count - 1) * margin) // (count * stride)) * stride


def tiled_estimate(
    denoiser: Denoiser,
    x: Tensor,
    t: Tensor,
    mu: Tensor,
    measurement: Measurement,
    *,
    tile: tuple[int, int],
    margin: int,
    run: Map = map,
    progress: Progress | None = None,
) -> Tensor:
    """The last x0 estimate of x, of mu's shape, before its agreement with the measurement; one evaluation of each tile.

    run maps over tiles; progress is told (tiles done, tiles) after each.
    """
    (rows, cols), stride = x.shape[-2:], stride_of(denoiser)
    corners = [(top, left) for top in starts(rows, tile[0], margin, stride) for left in starts(cols, tile[1], margin, stride)]
    blended, total = torch.zeros_like(x), x.real.new_zeros(rows, cols)

    def one(corner: tuple[int, int]) -> tuple[tuple[slice, slice], Tensor]:
        down, across = (slice(first, min(first + n, size)) for first, n, size in zip(corner, tile, (rows, cols), strict=True))
        known = measurement.window(mu, down, across)
        assert known is not None
        part = (..., down, across)
        return (down, across), denoiser.estimates(x[part], t, mu[part], known, close=False).images[-1]

    for done, ((down, across), estimate) in enumerate(run(one, corners), 1):
        along = [_ramp(part.start, part.stop - part.start, n, margin) for part, n in ((down, rows), (across, cols))]
        weight = (along[0][:, None] * along[1][None]).to(x.device)
        blended[..., down, across] += estimate * weight
        total[down, across] += weight
        if progress is not None:
            progress(done, len(corners))
    return blended / total
