"""Clear scenes that look degraded: pages hold strokes of one ink, dusk is a smooth sky behind dark land."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mri_d3gm.training.clear_scenes import dusk, printed, trails


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PICTURE = torch.rand(3, 60, 90, generator=seeded(0))


@pytest.mark.parametrize("scene", [printed, dusk])
def test_scenes_follow_from_their_seed_and_stay_in_range(scene: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    made = [scene(PICTURE, seeded(seed)) for seed in range(20)]
    assert torch.equal(scene(PICTURE, seeded(3)), made[3])
    for image in made:
        assert image.shape == PICTURE.shape and image.dtype == torch.float32
        assert float(image.min()) >= 0 and float(image.max()) <= 1


def test_a_page_has_both_ink_and_paper_and_ink_is_darker_in_most() -> None:
    plain = torch.full((3, 96, 96), 0.5)
    pages = [printed(plain, seeded(seed)).mean(0) for seed in range(40)]
    spread = [float(page.amax() - page.amin()) for page in pages]
    assert sum(one > 0.15 for one in spread) > 30
    darker = [float(page.median() - page.amin()) > float(page.amax() - page.median()) for page in pages]
    assert 0.4 < sum(darker) / len(pages) < 0.9


def test_only_the_land_at_dusk_is_of_the_picture_and_dark() -> None:
    red = PICTURE[0]
    one, other = (torch.stack([level, 1 - level, torch.full_like(level, 0.5)]) for level in (red, 1 - red))
    for seed in range(20):
        first, second = (dusk(picture, seeded(seed)) for picture in (one, other))
        land = (first != second).any(0)
        assert not land.any() or float(first[:, land].max()) <= 0.5
        assert land[0].float().mean() < 0.9


def test_stars_leave_most_of_the_sky_dark() -> None:
    for seed in range(10):
        sky = trails(80, 100, seeded(seed))
        assert sky.shape == (80, 100) and float(sky.min()) >= 0 and float(sky.max()) <= 1
        assert float((sky == 0).float().mean()) > 0.5
