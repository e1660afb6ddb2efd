"""One scan in every format: the same images, masks and numbers of coils, slices and frames."""

from pathlib import Path

import numpy as np
import pytest
from io_files import to_image
from scan_files import WHOLE_COLUMNS, WRITERS
from scans import fft2c, phantom

import mri_d3gm
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import read_reference

FRAMES, SLICES, ROWS, COLS = 3, 2, 48, 40
CENTRE = abs(np.arange(COLS) - COLS // 2) < 5
COLUMNS = np.stack([(np.arange(COLS) % 3 == offset) | CENTRE for offset in range(FRAMES)])
POINTS = np.random.default_rng(1).random((FRAMES, ROWS, COLS)) < 0.4
MASKS = {  # of each frame, (frames, rows | 1, cols)
    "full": np.ones((FRAMES, 1, COLS), bool),
    "columns": np.broadcast_to(COLUMNS[:1, None], (FRAMES, 1, COLS)),
    "points": np.broadcast_to(POINTS[:1], POINTS.shape),
    "columns of each frame": COLUMNS[:, None],
    "points of each frame": POINTS,
}


def series(coils: int) -> np.ndarray:
    """K-space (frames, slices, coils, rows, cols) of the phantom, brighter from frame to frame, with a little noise."""
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLS * 1j]
    maps = np.stack([np.exp(1j * coil - (x - np.cos(coil)) ** 2 - (y - np.sin(coil)) ** 2) for coil in range(coils)])
    noise = np.random.default_rng(0).normal(0, 0.01, (2, FRAMES, SLICES, coils, ROWS, COLS))
    frames = np.stack([(1 + frame) * phantom(SLICES, ROWS, COLS) for frame in range(FRAMES)])
    return fft2c(frames[:, :, None] * maps + noise[0] + 1j * noise[1])


RAW = 1e-6  # of the largest sample, which removing oversampling leaves
CASES = [(writer, kind) for writer in WRITERS for kind in MASKS if "points" not in kind or writer not in WHOLE_COLUMNS]


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize(("writer", "kind"), CASES)
def test_every_format_gives_the_same_images(writer: str, kind: str, coils: int, tmp_path: Path) -> None:
    masks = MASKS[kind]
    kspace = series(coils) * masks[:, None, None]
    path = WRITERS[writer](tmp_path, kspace)
    scan = open_scan(path)
    assert (scan.slices * scan.frames, scan.coils, scan.rows, scan.cols) == (FRAMES * SLICES, coils, ROWS, COLS)
    assert not scan.parts and scan.limits is None
    for image in range(FRAMES * SLICES):
        wanted = kspace[image // SLICES, image % SLICES]
        np.testing.assert_allclose(
            scan.read(image), wanted, rtol=1e-6, atol=RAW * abs(wanted).max() if scan.position_known else 0
        )
        mask = scan.mask if scan.masks is None else scan.masks(image)
        if kind == "full":
            assert mask is None
        else:
            assert np.array_equal(np.broadcast_to(mask, (ROWS, COLS)), np.broadcast_to(masks[image // SLICES], (ROWS, COLS)))
    expected = np.linalg.norm(to_image(kspace), axis=2)
    if kind == "full":
        found = np.stack([read_reference(scan, image) for image in range(FRAMES * SLICES)])
    else:
        found = mri_d3gm.reconstruct(path, method="zero-filled", threads=1).volume
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5 * expected.max())
