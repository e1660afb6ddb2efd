"""Training cases of photographs: in range, repeatable, clean ones among them, black enough that haze can be told from them."""

import pytest
import torch
from torch import Tensor

from mri_d3gm.training.simulate_restoration import as_a_camera, simulate_restoration, with_blacks
from mri_d3gm.training.sources import Example


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 3) -> list[Example]:
    """Smooth colours that are nowhere darker than 0.2."""

    def one(seed: int) -> Tensor:
        grid = torch.rand(1, 3, 5, 7, generator=seeded(seed))
        return 0.2 + 0.7 * torch.nn.functional.interpolate(grid, (90, 120), mode="bilinear")[0]

    return [Example(one(seed), 1.0, f"{seed}") for seed in range(count)]


def is_clear(mu: Tensor, image: Tensor) -> bool:
    """Whether no more than a camera changed the picture."""
    return float((mu - image).abs().max()) < 0.1


@pytest.mark.parametrize(("task", "clean"), [("derain", 0.15), ("dehaze", 0.55)])
def test_a_batch_depends_on_its_seed_alone_and_some_of_it_is_clean(task: str, clean: float) -> None:
    cases = [simulate_restoration(pictures(), seed, task=task, batch=2, crop=64) for seed in range(30)]
    again = simulate_restoration(pictures(), 3, task=task, batch=2, crop=64)
    assert torch.equal(again.mu, cases[3].mu) and torch.equal(again.image, cases[3].image)
    for case in cases:
        assert case.mu.shape == case.image.shape == (2, 3, 64, 64)
        assert all(float(tensor.min()) >= 0 and float(tensor.max()) <= 1 for tensor in (case.mu, case.image))
    unchanged = sum(is_clear(mu, image) for case in cases for mu, image in zip(case.mu, case.image, strict=True))
    assert abs(unchanged / 60 - clean) < 0.1


def test_most_clean_pictures_of_haze_hold_black() -> None:
    cases = [simulate_restoration(pictures(), seed, task="dehaze", batch=2, crop=64) for seed in range(20)]
    pairs = [pair for case in cases for pair in zip(case.mu, case.image, strict=True)]
    dark = [float(image.amin(0).quantile(0.01)) < 0.01 for mu, image in pairs if not is_clear(mu, image)]
    assert 0.5 < sum(dark) / len(dark) < 1


def test_a_veil_over_the_whole_picture_is_taken_off() -> None:
    image = pictures()[0].image
    black = with_blacks(image)
    assert float(black.amin(0).flatten().quantile(0.01)) == pytest.approx(0, abs=1e-6) and black.max() <= 1
    torch.testing.assert_close(with_blacks(0.4 + 0.6 * black), black, atol=0.02, rtol=0)
    torch.testing.assert_close(with_blacks(torch.ones(3, 8, 8)), torch.ones(3, 8, 8))


def test_a_camera_adds_noise_or_compresses_or_does_neither() -> None:
    image = pictures()[0].image
    errors = [float((as_a_camera(image, seeded(seed)) - image).abs().mean()) for seed in range(20)]
    assert min(errors) == 0 and 0.001 < max(errors) < 0.03
