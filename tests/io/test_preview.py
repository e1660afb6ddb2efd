from pathlib import Path

import numpy as np
import pytest
from io_files import phantom
from PIL import Image

from mri_d3gm.io.preview import GAP, LINE, line_height, write_grid, write_preview

SIZE = 192


def panel(path: Path, position: int, width: int = SIZE, height: int = SIZE) -> np.ndarray:
    picture = np.asarray(Image.open(path))
    left, top = position * (width + GAP), line_height(picture.shape[1])
    return picture[top : top + height, left : left + width].astype(float)


def test_last_row_is_on_top_and_first_column_on_the_left(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_preview(path, {"zero-filled": phantom(SIZE, SIZE)}, "title")
    rows, columns = np.nonzero(panel(path, 0) > 200)
    assert rows.max() < SIZE / 3 and columns.max() < SIZE / 3


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_magnitudes_share_a_window_and_std_and_error_a_gain(tmp_path: Path, scale: float) -> None:
    path = tmp_path / "a.png"
    image = np.full((SIZE, SIZE), scale, np.float32)
    for std, error in ((10, 10), (10, 40), (160, 10)):
        panels = {"zero-filled": image / 2, "reconstruction": image, "std": image / std, "error": -image / error}
        write_preview(path, panels, "title")
        levels = [panel(path, position).mean() for position in range(4)]
        np.testing.assert_allclose(levels, [127, 255, 2040 / std, 2040 / error], atol=1)


def text_of(picture: np.ndarray) -> list[tuple[int, int]]:
    """(top, height) of the lines of text in a picture that is black otherwise."""
    inked = np.concatenate([[False], (picture > 60).any(1), [False]])
    starts, ends = np.flatnonzero(inked[1:] & ~inked[:-1]), np.flatnonzero(~inked[1:] & inked[:-1])
    return [(int(start), int(end - start)) for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("count", [1, 2, 5, 12, 30])
@pytest.mark.parametrize("size", [192, 640])
def test_text_is_as_high_on_a_screen_however_wide_the_picture(tmp_path: Path, count: int, size: int) -> None:
    panels = {f"HH{number}": np.zeros((size, size)) for number in range(count)}
    write_preview(tmp_path / "a.png", panels, "HHH", note="HHH")
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    shown = min(1, 1200 / picture.shape[1])
    lines = text_of(picture)
    assert len(lines) == 3 and all(height * shown > 9 for _, height in lines)
    assert (picture[:, -GAP:] == 0).all()


@pytest.mark.parametrize("text", ["many words " * 40, "one_word" * 40, "x" * 300 + " y", "Größe µm " * 30, ""])
def test_no_text_is_cut(tmp_path: Path, text: str) -> None:
    """As much ink in a narrow picture's lines as in one line of a wide one with text of the same height."""
    ink = {}
    for width in (192, 1200):
        write_preview(tmp_path / "a.png", {text: np.zeros((SIZE, width))}, text, note="")
        picture = np.asarray(Image.open(tmp_path / "a.png")).astype(float)
        assert line_height(picture.shape[1]) == LINE and (picture[:, -GAP:] == 0).all()
        ink[width] = picture.sum()
    assert ink[192] == pytest.approx(ink[1200], rel=0.05)


def test_voxels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_preview(path, {"reconstruction": np.ones((SIZE, SIZE))}, "title", spacing=(2.0, 1.0))
    assert (panel(path, 0, SIZE, 2 * SIZE) == 255).all()


def test_small_matrices_are_magnified(tmp_path: Path) -> None:
    write_preview(tmp_path / "a.png", {"reconstruction": np.ones((32, 32))}, "title")
    assert Image.open(tmp_path / "a.png").width >= SIZE


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_an_empty_panel_gives_no_window(tmp_path: Path, scale: float) -> None:
    image = np.full((SIZE, SIZE), scale, np.float32)
    write_preview(tmp_path / "a.png", {"zero-filled": image / 2, "reconstruction": image, "reference": 0 * image}, "title")
    levels = [panel(tmp_path / "a.png", position).mean() for position in range(3)]
    np.testing.assert_allclose(levels, [127, 255, 0], atol=1)


def test_empty_slice(tmp_path: Path) -> None:
    zeros = np.zeros((SIZE, SIZE), np.float32)
    write_preview(tmp_path / "a.png", {"reconstruction": zeros, "std": zeros}, "title")
    assert panel(tmp_path / "a.png", 0).max() == 0


def test_a_grid_has_a_panel_for_each_row_and_column_and_says_what_is_too_bright(tmp_path: Path) -> None:
    image = np.ones((40, 20))
    rows = {"a": [image / 2, 8 * image], "b": [0 * image, image]}
    write_grid(tmp_path / "a.png", rows, ["t = 1", "t = 0"], "title", width=100)
    picture = np.asarray(Image.open(tmp_path / "a.png")).astype(float)
    assert picture.shape == (2 * (200 + LINE) + LINE, 2 * 100 + GAP)
    tops, lefts = (2 * LINE, 3 * LINE + 200), (0, 100 + GAP)
    levels = [picture[top : top + 200, left : left + 100].mean() for top in tops for left in lefts]
    np.testing.assert_allclose(levels, [127, 255, 0, 255], atol=1)
