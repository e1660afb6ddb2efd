"""Tiles: they cover the picture, agree with the whole, and leave no seams."""

import itertools

import pytest
import torch

from mri_d3gm.methods.draws import Agreement
from mri_d3gm.methods.pictures import tiled
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.tiles import even_tile, starts, tiled_estimate
from mri_d3gm.physics import Truncation, Unknown
from mri_d3gm.settings import Restore

OPTIONS = {"features": 8, "levels": 2, "blocks": 1, "channels": 3, "reach": 32}
ONE = torch.ones(1, dtype=torch.float64)


def shaken(unshuffle: int = 2, levels: int = 2) -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser("nafnet", {**OPTIONS, "unshuffle": unshuffle, "levels": levels}, sigma_r=0.17)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return denoiser.eval().requires_grad_(False)


@pytest.mark.parametrize("stride", [16, 32, 64])
@pytest.mark.parametrize(
    ("size", "tile", "margin"), [(100, 128, 64), (128, 160, 96), (129, 128, 64), (1000, 256, 96), (3001, 512, 96)]
)
def test_tiles_cover_the_picture_and_overlap(size: int, tile: int, margin: int, stride: int) -> None:
    begin = starts(size, tile, margin, stride)
    assert begin[0] == 0 and all(start % stride == 0 for start in begin) and begin == sorted(set(begin))
    assert begin[-1] + tile >= size
    assert all(second <= first + tile - margin for first, second in itertools.pairwise(begin))


@pytest.mark.parametrize("unshuffle", [1, 2])
@pytest.mark.parametrize("t", [1.0, 0.4])
def test_tiled_equals_untiled(unshuffle: int, t: float) -> None:
    denoiser, generator = shaken(unshuffle), torch.Generator().manual_seed(0)
    x, mu = (torch.rand(1, 3, 300, 420, generator=generator) for _ in range(2))
    time = torch.full((1,), t, dtype=torch.float64)
    whole = denoiser.estimates(x, time, mu, Unknown(mu)).images[-1]
    parts = tiled_estimate(denoiser, x, time, mu, Unknown(mu), tile=(256, 256), margin=160)
    assert float((parts - whole).abs().max()) < 0.02 * float((whole - mu).abs().max())


def test_a_flat_picture_shows_no_seams() -> None:
    """Away from the border the network's answer to a flat picture repeats every few pixels, and must do so across tiles."""
    flat = torch.full((1, 3, 512, 512), 0.5)
    result = tiled_estimate(shaken(), flat, ONE, flat, Unknown(flat), tile=(256, 256), margin=96)[0]
    inner = result[:, 96:-96, 96:-96]
    for axis in (1, 2):
        moved = inner.narrow(axis, 32, inner.shape[axis] - 32) - inner.narrow(axis, 0, inner.shape[axis] - 32)
        assert float(moved.abs().max()) < 0.01 * float((result - flat).abs().max())


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_an_image_moved_by_the_stride_has_the_same_answer_moved(unshuffle: int, levels: int) -> None:
    denoiser, image = shaken(unshuffle, levels), torch.rand(1, 3, 600, 96, generator=torch.Generator().manual_seed(0))

    def differs(shift: int) -> float:
        answers = [denoiser.estimates(part, ONE, part, Unknown(part)).images[-1] for part in (image, image[..., shift:, :])]
        return float((answers[0][..., shift:, :] - answers[1])[..., 256:, :].abs().max())

    assert differs(denoiser.net.stride) < 1e-5 < 1e-4 < differs(denoiser.net.stride // 2)


@pytest.mark.parametrize("tile", [192, 200, 512])
def test_tiles_of_a_restoration_begin_on_the_networks_own_grid(tile: int, monkeypatch) -> None:
    """The shipped network's repeats after 64 pixels."""
    denoiser, picture = shaken(levels=3), torch.rand(1, 3, 700, 580, generator=torch.Generator().manual_seed(0))
    corners, estimates = [], denoiser.estimates

    def seen(x: torch.Tensor, t: torch.Tensor, mu: torch.Tensor, *known: Unknown, **how: bool) -> object:
        corners.append(divmod(mu.storage_offset(), mu.stride(-2)))
        return estimates(x, t, mu, *known, **how)

    monkeypatch.setattr(denoiser, "estimates", seen)
    tiled(Unknown(picture), denoiser, Restore(method="regression", tile=tile, device="cpu"), [0])
    assert len(corners) > 1 and all(top % 64 == left % 64 == 0 for top, left in corners)


def test_tiles_of_a_slice_begin_on_the_networks_own_grid(monkeypatch) -> None:
    known = Truncation.of(torch.rand(1, 180, 32), 4)
    denoiser, rows = Denoiser("consistent", {"features": 8, "blocks": 1}, sigma_r=0.1), []
    monkeypatch.setattr(denoiser.net, "stride", 128, raising=False)
    estimates = denoiser.estimates

    def seen(x: torch.Tensor, t: torch.Tensor, mu: torch.Tensor, *known: Truncation, **how: bool) -> object:
        rows.append((mu.storage_offset() // mu.stride(-2), mu.shape[-2]))
        return estimates(x, t, mu, *known, **how)

    monkeypatch.setattr(denoiser, "estimates", seen)
    with torch.no_grad():
        Agreement(denoiser, known).first(known.prior_mean())
    assert len(rows) > 1 and all(first % 128 == 0 for first, _ in rows) and rows[-1][0] + rows[-1][1] == 720


def test_progress_counts_tiles() -> None:
    told: list[tuple[int, int]] = []
    x = torch.rand(1, 3, 300, 200)
    tiled_estimate(shaken(), x, ONE, x, Unknown(x), tile=(256, 256), margin=96, progress=lambda *counts: told.append(counts))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize("size", [(300, 224), (260, 388)])
def test_a_part_of_a_truncated_image_is_known_by_its_own_frequencies(size: tuple[int, int]) -> None:
    """Where the network says nothing tiles give the prior mean, and what it adds is what it adds to the whole."""
    torch.manual_seed(0)
    known = Truncation.of(torch.rand(1, size[0] // 4, size[1] // 4), 4)
    mean = known.prior_mean()
    denoiser = Denoiser("consistent", {"features": 8, "blocks": 2}, sigma_r=0.1).eval().requires_grad_(False)
    same = tiled_estimate(denoiser, mean, ONE, mean, known, tile=(160, 160), margin=64)
    assert float((same - mean).abs().max()) < 1e-5
    for parameter in denoiser.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    whole = denoiser.estimates(mean, ONE, mean, known, close=False).images[-1]
    parts = tiled_estimate(denoiser, mean, ONE, mean, known, tile=(160, 160), margin=64)
    changed = (whole - mean)[..., 32:-32, 32:-32].norm()
    assert float((parts - whole)[..., 32:-32, 32:-32].norm()) < 0.2 * float(changed)


@pytest.mark.parametrize(("size", "most"), [(577, 576), (1024, 576), (1400, 576), (2560, 576), (4096, 512)])
def test_even_tiles_are_no_longer_than_they_must_be(size: int, most: int) -> None:
    tile, least = even_tile(size, most, 64), len(starts(size, most, 64))
    assert tile <= most + 32 and len(starts(size, tile, 64)) <= least
    assert starts(size, tile, 64)[-1] + tile - size < 32 * least
