import torch

from mri_d3gm.physics.compression import VIRTUAL, compressed
from mri_d3gm.physics.fft import ifft2c
from mri_d3gm.physics.operators import rss
from mri_d3gm.pipeline import map_coils, prepare


def normal(coils: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(coils, 40, 36, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def test_few_coils_stay_as_they_are() -> None:
    assert compressed(normal(VIRTUAL)) is None and compressed(normal(1)) is None


def test_nothing_of_the_energy_is_lost_and_noise_stays_white() -> None:
    kspace = normal(20)
    few = compressed(kspace)
    assert few is not None and few.kspace.shape == (VIRTUAL, 40, 36)
    torch.testing.assert_close(few.matrix @ few.matrix.mH, torch.eye(VIRTUAL, dtype=torch.complex64), atol=1e-5, rtol=0)
    whole = rss(ifft2c(kspace)).square()
    torch.testing.assert_close(rss(ifft2c(few.kspace)).square() + few.rest, whole, atol=1e-4, rtol=1e-4)
    assert float(few.rest.min()) >= 0


def test_coils_that_are_mixtures_of_a_few_are_told_apart_again() -> None:
    mixing = torch.randn(20, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    few = compressed(torch.einsum("cv,vyx->cyx", mixing, normal(5)))
    assert few is not None and float(few.rest.max()) < 1e-3 * float(rss(ifft2c(few.kspace)).square().max())


def test_zero_filled_and_fully_sampled_images_are_those_of_all_coils() -> None:
    kspace, mask = normal(20), torch.ones(1, 36, dtype=torch.bool)
    for missing in (0, 3):
        mask[:, :missing] = False
        prepared = prepare(kspace[None], mask)
        scale = torch.tensor(prepared.scale, dtype=torch.float32)[0]
        whole = rss(ifft2c(kspace * mask))
        torch.testing.assert_close(prepared.measurement.zero_filled()[0] * scale, whole, atol=1e-4, rtol=1e-3)
        shown = prepared.measurement.shown(torch.zeros(1, 40, 36, dtype=torch.complex64), 0.0)
        torch.testing.assert_close(shown.abs()[0] * scale, whole, atol=1e-4, rtol=1e-3)


def test_given_maps_are_compressed_with_the_coils() -> None:
    image, maps = normal(1)[0], normal(20, 3)
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    mapped = map_coils(maps * image, torch.ones(1, 36, dtype=torch.bool), maps)
    found = mapped.maps.maps
    assert found is not None and mapped.maps.source == "given" and found.shape == mapped.kspace.shape
    torch.testing.assert_close(torch.linalg.vector_norm(found, dim=0), torch.ones(40, 36), atol=1e-4, rtol=0)
