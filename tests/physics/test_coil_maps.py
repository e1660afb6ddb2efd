import numpy as np
import pytest
import sigpy.mri
import torch

from mri_d3gm.physics import coil_maps
from mri_d3gm.physics.coil_maps import espirit, estimate_coil_maps, low_resolution_maps
from mri_d3gm.physics.fft import fft2c


def birdcage_scan(
    rows: int, cols: int, coils: int = 6, noise: float = 0.002
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(kspace, true maps, support) of a disc with structure."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    image = 1.0 * (x**2 + y**2 < 0.6) + 0.6 * ((x + 0.3) ** 2 + y**2 < 0.08) - 0.5 * (x**2 + (y - 0.3) ** 2 < 0.05)
    maps = torch.from_numpy(sigpy.mri.birdcage_maps((coils, rows, cols)).astype(np.complex64))
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    white = torch.randn(coils, rows, cols, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    kspace = fft2c(maps * torch.from_numpy(image.astype(np.float32))) + noise * white
    return kspace, maps, torch.from_numpy(x**2 + y**2 < 0.55)


def agreement(first: torch.Tensor, second: torch.Tensor, support: torch.Tensor) -> float:
    """Mean |<s1, s2>| over the support: 1 where maps agree up to a phase at each pixel."""
    return float((first.conj() * second).sum(0).abs()[support].mean())


def test_espirit_finds_the_maps_and_agrees_with_sigpys() -> None:
    kspace, maps, support = birdcage_scan(64, 64)
    ours = espirit(kspace, (24, 24))[0]
    theirs = torch.from_numpy(sigpy.mri.app.EspiritCalib(kspace.numpy(), calib_width=24, show_pbar=False).run())
    assert agreement(ours, maps, support) > 0.995
    assert agreement(ours, theirs, support) > 0.995
    torch.testing.assert_close(
        torch.linalg.vector_norm(ours, dim=0)[support], torch.ones(int(support.sum())), atol=1e-3, rtol=0
    )


def test_a_rectangular_calibration_of_few_lines_suffices() -> None:
    kspace, maps, support = birdcage_scan(96, 96)
    assert agreement(espirit(kspace, (64, 10))[0], maps, support) > 0.99


def test_maps_do_not_depend_on_how_many_rows_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace, _, _ = birdcage_scan(40, 37)
    whole = espirit(kspace, (24, 24))[0]
    monkeypatch.setattr(coil_maps, "OPERATOR_ENTRIES", 3 * 37 * 36)
    torch.testing.assert_close(espirit(kspace, (24, 24))[0], whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("lines", "source", "short"),
    [(24, "espirit", False), (12, "espirit", False), (10, "espirit", True), (4, "espirit", True), (2, "low-resolution", False)],
)
def test_estimate_says_how_maps_were_made(lines: int, source: str, short: bool) -> None:
    kspace, maps, support = birdcage_scan(96, 96)
    mask = torch.zeros(1, 96, dtype=torch.bool)
    mask[:, 48 - lines // 2 : 48 + lines // 2] = True
    found = estimate_coil_maps(kspace * mask, mask)
    assert (found.source, found.short) == (source, short)
    assert agreement(found.maps, maps, support) > 0.95


@pytest.mark.parametrize("run", [(46, 70), (30, 50), (44, 52), (40, 96)])
@pytest.mark.parametrize("axis", [-1, -2])
def test_a_centre_that_reaches_further_to_one_side_calibrates_as_well(run: tuple[int, int], axis: int) -> None:
    kspace, maps, support = birdcage_scan(96, 96)
    mask = torch.zeros(1, 96, dtype=torch.bool)
    mask[:, slice(*run)] = True
    mask = mask if axis == -1 else mask.T
    found = estimate_coil_maps(kspace * mask, mask)
    assert found.source == "espirit" and found.second is None
    assert agreement(found.maps, maps, support) > 0.98


def test_low_resolution_maps_are_normalised_batch_by_batch() -> None:
    kspace, _, _ = birdcage_scan(48, 48)
    mask = torch.ones(1, 1, 48, dtype=torch.bool)
    mask[..., :16] = False
    batch = low_resolution_maps(torch.stack([kspace, 2 * kspace]), mask.expand(2, 1, 48))
    torch.testing.assert_close(batch[0], batch[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.linalg.vector_norm(batch, dim=1), torch.ones(2, 48, 48), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("coils", "lines", "short"), [(4, 11, True), (4, 12, False), (16, 14, True), (16, 15, False)])
def test_a_centre_must_hold_more_places_for_a_kernel_than_it_has_samples(coils: int, lines: int, short: bool) -> None:
    kspace, _, _ = birdcage_scan(64, 64, coils)
    mask = torch.zeros(1, 64, dtype=torch.bool)
    mask[:, 32 - lines // 2 : 32 - lines // 2 + lines] = True
    assert estimate_coil_maps(kspace * mask, mask).short is short
    assert not estimate_coil_maps(kspace, torch.ones(64, 64, dtype=torch.bool)).short
