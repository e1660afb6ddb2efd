"""Tiles: they cover the picture, agree with the whole, and leave no seams."""

import itertools

import pytest
import torch

from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.tiles import starts, tiled_estimate
from mri_d3gm.physics import Unknown

OPTIONS = {"features": 8, "levels": 2, "blocks": 1, "channels": 3, "reach": 32}


def shaken(unshuffle: int = 2) -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser("nafnet", {**OPTIONS, "unshuffle": unshuffle}, sigma_r=0.17)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return denoiser.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("size", "tile", "margin"), [(100, 128, 96), (128, 128, 96), (129, 128, 64), (1000, 256, 96), (3001, 512, 96)]
)
def test_tiles_cover_the_picture_and_overlap(size: int, tile: int, margin: int) -> None:
    begin = starts(size, tile, margin)
    assert begin[0] == 0 and all(start % 32 == 0 for start in begin) and begin == sorted(set(begin))
    assert begin[-1] + tile >= size
    assert all(second <= first + tile - margin for first, second in itertools.pairwise(begin))


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("t", [1.0, 0.4])
def test_tiled_equals_untiled(unshuffle: int, t: float) -> None:
    denoiser, generator = shaken(unshuffle), torch.Generator().manual_seed(0)
    x, mu = (torch.rand(1, 3, 300, 420, generator=generator) for _ in range(2))
    time = torch.full((1,), t, dtype=torch.float64)
    whole = denoiser.estimates(x, time, mu, Unknown(mu)).images[-1]
    tiled = tiled_estimate(denoiser, x, time, mu, tile=256, margin=160)
    assert float((tiled - whole).abs().max()) < 0.02 * float((whole - mu).abs().max())


def test_a_flat_picture_shows_no_seams() -> None:
    """Away from the border the network's answer to a flat picture repeats every few pixels, and must do so across tiles."""
    flat = torch.full((1, 3, 512, 512), 0.5)
    result = tiled_estimate(shaken(), flat, torch.ones(1, dtype=torch.float64), flat, tile=256, margin=96)[0]
    inner = result[:, 96:-96, 96:-96]
    for axis in (1, 2):
        moved = inner.narrow(axis, 32, inner.shape[axis] - 32) - inner.narrow(axis, 0, inner.shape[axis] - 32)
        assert float(moved.abs().max()) < 0.01 * float((result - flat).abs().max())


def test_progress_counts_tiles() -> None:
    told: list[tuple[int, int]] = []
    x = torch.rand(1, 3, 300, 200)
    tiled_estimate(shaken(), x, torch.ones(1, dtype=torch.float64), x, 256, 96, progress=lambda *counts: told.append(counts))
    assert told == [(1, 2), (2, 2)]
