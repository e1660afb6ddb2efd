from pathlib import Path

import numpy as np
import pytest
from io_files import phantom
from PIL import Image

from mri_d3gm.io.preview import GAP, MARGIN, write_grid, write_preview

SIZE = 192


def panel(path: Path, position: int, width: int = SIZE, height: int = SIZE) -> np.ndarray:
    left = position * (width + GAP)
    return np.asarray(Image.open(path))[MARGIN : MARGIN + height, left : left + width].astype(float)


def test_last_row_is_on_top_and_first_column_on_the_left(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_preview(path, {"zero-filled": phantom(SIZE, SIZE)}, "title")
    rows, columns = np.nonzero(panel(path, 0) > 200)
    assert rows.max() < SIZE / 3 and columns.max() < SIZE / 3


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_magnitudes_share_a_window_and_std_has_its_own(tmp_path: Path, scale: float) -> None:
    path = tmp_path / "a.png"
    image = np.full((SIZE, SIZE), scale, np.float32)
    panels = {"zero-filled": image / 2, "reconstruction": image, "std": image / 10, "error": -image / 10}
    write_preview(path, panels, "title")
    levels = [panel(path, position).mean() for position in range(4)]
    np.testing.assert_allclose(levels, [127, 255, 204, 204], atol=1)


def test_voxels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_preview(path, {"reconstruction": np.ones((SIZE, SIZE))}, "title", spacing=(2.0, 1.0))
    assert (panel(path, 0, SIZE, 2 * SIZE) == 255).all()


def test_small_matrices_are_magnified(tmp_path: Path) -> None:
    write_preview(tmp_path / "a.png", {"reconstruction": np.ones((32, 32))}, "title")
    assert Image.open(tmp_path / "a.png").width >= SIZE


def test_empty_slice(tmp_path: Path) -> None:
    zeros = np.zeros((SIZE, SIZE), np.float32)
    write_preview(tmp_path / "a.png", {"reconstruction": zeros, "std": zeros}, "title")
    assert panel(tmp_path / "a.png", 0).max() == 0


def test_a_grid_has_a_panel_for_each_row_and_column_and_says_what_is_too_bright(tmp_path: Path) -> None:
    image = np.ones((40, 20))
    write_grid(
        tmp_path / "a.png", {"a": [image / 2, 8 * image], "b": [0 * image, image]}, ["t = 1", "t = 0"], "title", width=50
    )
    picture = np.asarray(Image.open(tmp_path / "a.png")).astype(float)
    assert picture.shape == (2 * (100 + MARGIN) + MARGIN, 2 * 50 + GAP)
    tops, lefts = (2 * MARGIN, 3 * MARGIN + 100), (0, 50 + GAP)
    levels = [picture[top : top + 100, left : left + 50].mean() for top in tops for left in lefts]
    np.testing.assert_allclose(levels, [127, 255, 0, 255], atol=1)
