"""A view leaves frames and transparent pixels out, does not care for exposure, and puts back what it took."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from mri_d3gm.weather.view import view_of


def scene(rows: int = 60, cols: int = 80) -> Tensor:
    """Smooth light with an edge, 0.2 to 1."""
    y, x = torch.meshgrid(torch.linspace(0, 1, rows), torch.linspace(0, 1, cols), indexing="ij")
    waves = torch.stack([(4 * x + 3 * y + turn).sin() for turn in (0.0, 1.0, 2.0)])
    return (0.6 + 0.3 * waves + 0.1 * (x > 0.5)).clamp(0.2, 1)


def compressed(picture: Tensor, tmp_path) -> Tensor:
    levels = (255 * picture).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(levels).save(tmp_path / "a.jpg", quality=60)
    return torch.from_numpy(np.asarray(Image.open(tmp_path / "a.jpg")) / np.float32(255)).permute(2, 0, 1)


def framed(picture: Tensor, sides: list[int], level: float = 0.0) -> Tensor:
    """A frame as wide as `sides` says: left, right, top, bottom."""
    return pad(picture, sides, value=level)


@pytest.mark.parametrize("level", [0.0, 0.03, 0.06])
@pytest.mark.parametrize("sides", [[1, 1, 1, 1], [8, 8, 8, 8], [0, 0, 20, 30], [33, 0, 0, 0], [2, 50, 3, 0]])
def test_a_dark_frame_is_left_out(sides: list[int], level: float) -> None:
    view = view_of(framed(scene(), sides, level), "dehaze")
    torch.testing.assert_close(view.seen, scene())


@pytest.mark.parametrize("sides", [[1, 1, 1, 1], [8, 8, 8, 8], [5, 0, 11, 30]])
@pytest.mark.parametrize("how", ["compressed", "noisy", "antialiased"])
def test_a_frame_whose_edge_is_not_clean_is_left_out_with_its_edge(how: str, sides: list[int], tmp_path) -> None:
    picture = framed(scene(), sides)
    if how == "compressed":
        picture = compressed(picture, tmp_path)
    elif how == "noisy":
        picture = (picture + 0.02 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0)).abs()).clamp(max=1)
    else:
        picture = framed(framed(0.4 * scene(), [-1, -1, -1, -1]), [one + 1 for one in sides])
        left, right, top, bottom = (one + 1 for one in sides)
        rows, cols = picture.shape[1:]
        picture[:, top : rows - bottom, left : cols - right] = scene()[:, 1:-1, 1:-1]
    view = view_of(picture, "derain")
    assert 0 <= scene().shape[1] - view.seen.shape[1] <= 10 and 0 <= scene().shape[2] - view.seen.shape[2] <= 10
    assert float((view.seen.amax(0) < 0.1).float().mean()) < 0.01


def test_a_frame_leaves_eight_pixels_or_is_seen() -> None:
    assert view_of(framed(scene(8, 9), [9, 9, 9, 9]), "derain").seen.shape == (3, 8, 9)
    assert view_of(framed(scene(7, 9), [9, 9, 9, 9]), "derain").seen.shape == (3, 25, 27)


SKY = torch.linspace(0, 1, 240)[:, None].expand(240, 80)


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(3, 20, 30), torch.ones(3, 20, 30), framed(scene(), [6, 6, 6, 6], 1.0),
        (SKY**2 * 0.8)[None].expand(3, -1, -1), (0.01 + 0.3 * (SKY - 0.4).clamp_min(0))[None].expand(3, -1, -1) / 0.19 * 0.9,
    ],
    ids=["black", "white", "white frame", "night sky", "darker sky"],
)  # fmt: skip
def test_what_is_no_dark_frame_is_seen(picture: Tensor) -> None:
    assert view_of(picture.contiguous(), "derain").seen.shape == picture.shape


@pytest.mark.parametrize("exposure", [0.7, 0.3, 0.05])
@pytest.mark.parametrize(("task", "bright"), [("derain", 1.0), ("dehaze", 0.8)])
def test_exposure_does_not_matter(task: str, bright: float, exposure: float) -> None:
    dark = view_of(exposure * scene(), task)
    torch.testing.assert_close(dark.seen, view_of(0.6 * scene(), task).seen, atol=1e-3, rtol=0)
    assert float(np.quantile(dark.seen.amax(0).numpy(), 0.999)) == pytest.approx(bright, abs=0.01)
    torch.testing.assert_close(view_of(scene() / scene().max(), task).seen, scene() / scene().max(), atol=0.01, rtol=0)


@pytest.mark.parametrize("task", ["derain", "dehaze"])
def test_where_nothing_is_removed_the_picture_is_the_same_to_the_bit(task: str) -> None:
    picture = framed(0.37 * scene(), [4, 0, 9, 1])
    picture[:, 30, 40] = 0.9  # brighter than white
    view = view_of(picture, task, picture[0] > 0.12)
    assert torch.equal(view.put_back(picture, view.seen), picture)


def test_what_is_removed_is_in_proportion_and_frame_and_transparent_pixels_stay() -> None:
    picture = framed(0.5 * scene(), [4, 4, 4, 4])
    picture[:, 30, 40] = 0.9
    visible = torch.ones(68, 88, dtype=torch.bool)
    visible[20:25, 20:25] = False
    view = view_of(picture, "derain", visible)
    found, inside = view.put_back(picture, 0.8 * view.seen), torch.zeros_like(visible)
    inside[4:-4, 4:-4] = True
    torch.testing.assert_close(found, torch.where(inside & visible, 0.8 * picture, picture))


def test_transparent_pixels_look_like_visible_ones() -> None:
    picture, visible = scene(), torch.zeros(60, 80, dtype=torch.bool)
    visible[10:50, 15:70] = True
    visible[20:30, 30:40] = False
    view = view_of(torch.where(visible, picture, 0.0), "dehaze", visible)
    torch.testing.assert_close(view.seen[:, :, :10], picture[:, 10:50, 15:25])
    assert float((view.seen - picture[:, 10:50, 15:70]).abs().max()) < 0.3
    assert view_of(picture, "dehaze", torch.zeros_like(visible)).visible is None
