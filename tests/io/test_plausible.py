"""K-space that is not what it seems is mended, and k-space that is what it seems is never touched."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from heads import coils, every, fft2c, head, ifft2c, kspace_of, phase

from mri_d3gm.io.arrays.plausible import Oddities, is_ghosted, like_coils, mended, mended_mask, oddities_of, turned, words
from mri_d3gm.io.open_scan import open_scan, scan_of_array

ROWS, COLS = 96, 80
BOTH = (True, True)
Y, X = np.arange(ROWS)[:, None], np.arange(COLS)[None]
POINTS = np.random.default_rng(0).random((ROWS, COLS)) < np.exp(-((Y - 48) ** 2 + (X - 40) ** 2) / 600) + 0.1
MASKS = {
    "full": X >= 0,
    "twofold": every(COLS, 2)[None],
    "fourfold": every(COLS, 4)[None],
    "eightfold": every(COLS, 8, 6)[None],
    "without a centre": X % 4 == 1,
    "a hole in the centre": abs(X - 40) > 8,
    "one line": X == 40,
    "one line off the centre": X == 3,
    "the outermost lines": (X < 4) | (X >= 76),
    "both ends": (X == 0) | (X == 79),
    "partial Fourier": X < 48,
    "partial Fourier of the other side": X >= 16,
    "partial Fourier, fourfold": every(COLS, 4)[None] & (X < 52),
    "partial echo": Y >= 24,
    "both": (Y >= 24) & (X < 52),
    "padded": abs(X - 40) < 30,
    "rows": every(ROWS, 4)[:, None],
    "points": POINTS,
}
LAWFUL = ["full", "twofold", "fourfold", "eightfold", "partial Fourier", "padded", "points"]


def right(seed: int, rows: int = ROWS, cols: int = COLS) -> np.ndarray:
    """K-space of one or four coils whose echo is off the centre by up to four samples."""
    return kspace_of(head(rows, cols, seed), 1 if seed % 2 else 4, seed=seed, echo=(seed % 5) - 2)


@pytest.mark.parametrize("mask", MASKS)
def test_what_is_right_is_left_as_it_is(mask: str) -> None:
    for seed in range(6):
        kspace = right(seed) * MASKS[mask]
        assert oddities_of(kspace) == Oddities() and not is_ghosted(kspace)
        assert mended(kspace, Oddities()) is kspace and words(Oddities()) == []


@pytest.mark.parametrize("shape", [(33, 64), (64, 33), (51, 51), (256, 40)])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_other_sizes_and_noise_are_right_too(shape: tuple[int, int], noise: float) -> None:
    for seed in range(3):
        assert oddities_of(kspace_of(head(*shape, seed), 2, noise, seed)) == Oddities()


def test_noise_zeros_a_tiny_object_and_a_full_field_of_view_are_right() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(4, ROWS, COLS)) + 1j * random.normal(size=(4, ROWS, COLS))
    assert oddities_of(noise) == Oddities() and not is_ghosted(noise)
    assert oddities_of(0 * noise) == Oddities()
    vial = np.hypot(Y - 60, X - 30) < 4
    assert oddities_of(fft2c(vial * phase(ROWS, COLS))) == Oddities()
    assert oddities_of(kspace_of(1 + 0.3 * head(seed=2))) == Oddities()
    legs = (np.hypot(Y - 48, X - 16) < 14) | (np.hypot(Y - 48, X - 64) < 14)
    assert oddities_of(kspace_of(1.0 * legs)) == Oddities()


@pytest.mark.parametrize("mask", LAWFUL)
@pytest.mark.parametrize("axes", [(-2, -1), (-1,), (-2,)])
def test_a_centre_at_index_0_is_moved_to_the_middle(mask: str, axes: tuple[int, ...]) -> None:
    for seed in range(4):
        kspace = right(seed) * MASKS[mask]
        stored = np.fft.ifftshift(kspace, axes)
        found = oddities_of(stored)
        assert found == Oddities(corner=(-2 in axes, -1 in axes)) and "index 0" in words(found)[0]
        assert np.array_equal(mended(stored, found), kspace)
        lines = np.broadcast_to(MASKS[mask], (ROWS, COLS))
        assert np.array_equal(mended_mask(np.fft.ifftshift(lines, axes), found), lines)


@pytest.mark.parametrize("shape", [(96, 80), (65, 51), (64, 65)])
@pytest.mark.parametrize("shifted", [False, True])
def test_a_plain_fft_of_the_image_gives_the_image_back(shape: tuple[int, int], shifted: bool) -> None:
    for seed in range(3):
        image = head(*shape, seed) * phase(*shape, seed)
        stored = np.fft.fft2(image, norm="ortho")
        if shifted:
            stored = np.fft.fftshift(stored)
        found = oddities_of(stored)
        assert found == Oddities(corner=(not shifted, not shifted), halves=BOTH)
        np.testing.assert_allclose(ifft2c(mended(stored, found)), image, atol=1e-6)


@pytest.mark.parametrize("coil_count", [1, 4])
@pytest.mark.parametrize("mask", ["full", "twofold", "fourfold", "partial Fourier"])
def test_rows_of_an_image_are_transformed_back(mask: str, coil_count: int) -> None:
    for seed in range(3):
        kspace = kspace_of(head(seed=seed), coil_count, seed=seed).astype(np.complex128) * MASKS[mask]
        hybrid = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, -2), axis=-2, norm="ortho"), -2)
        found = oddities_of(hybrid)
        assert found == Oddities(images=(True, False)) and "rows of kspace are those of an image" in words(found)[0]
        np.testing.assert_allclose(mended(hybrid, found), kspace, atol=1e-9)


def test_images_become_kspace_and_plain_transforms_too() -> None:
    for seed in range(4):
        kspace = right(seed).astype(np.complex128)
        found = oddities_of(ifft2c(kspace))
        assert found == Oddities(images=BOTH) and "holds images" in words(found)[0]
        np.testing.assert_allclose(mended(ifft2c(kspace), found), kspace, atol=1e-9)
        rows = np.fft.ifft(kspace, axis=-2, norm="ortho")
        same = np.abs(ifft2c(mended(rows, oddities_of(rows))))
        np.testing.assert_allclose(same, np.abs(ifft2c(kspace)), atol=1e-6)


@pytest.mark.parametrize("columns", [48, 56, 64])
@pytest.mark.parametrize("place", [0, 1])
def test_kspace_that_is_padded_on_one_side_is_moved_to_the_middle(columns: int, place: int) -> None:
    for seed in range(4):
        kspace = kspace_of(head(cols=columns, seed=seed), 2, seed=seed)
        empty = COLS - columns
        stored = np.pad(kspace, ((0, 0), (0, 0), (0, empty) if place == 0 else (empty, 0)))
        found = oddities_of(stored)
        assert found == Oddities(offset=empty // 2 if place == 0 else -(empty // 2)) and "one side" in words(found)[0]
        assert np.array_equal(mended(stored, found), np.pad(kspace, ((0, 0), (0, 0), (empty // 2, empty // 2))))


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_units_do_not_matter(unit: float) -> None:
    kspace = right(0).astype(np.complex64) * np.float32(unit)
    assert oddities_of(kspace) == Oddities() and not is_ghosted(kspace)
    assert oddities_of(np.fft.ifftshift(kspace, (-2, -1))) == Oddities(corner=BOTH)


@pytest.mark.parametrize("mask", ["full", "partial Fourier", "padded"])
def test_every_other_line_the_other_way_is_noticed(mask: str) -> None:
    for seed in range(4):
        for turn in (lambda lines: lines[..., ::-1, :], lambda lines: np.roll(lines[..., ::-1, :], 1, -2)):
            kspace = right(seed)
            kspace[..., 1::2] = turn(kspace)[..., 1::2]
            assert is_ghosted(kspace * MASKS[mask])


@pytest.mark.parametrize("count", [4, 8, 16])
@pytest.mark.parametrize("mask", ["full", "points"])
def test_coils_are_told_from_slices_and_from_repetitions(count: int, mask: str) -> None:
    lines = MASKS[mask] | ((abs(Y - 48) < 24) & (abs(X - 40) < 20))
    for seed in range(3):
        one = kspace_of(head(seed=seed), count, seed=seed) * lines
        places = enumerate(np.linspace(-0.8, 0.3, count))
        slices = [kspace_of(head(seed=9 * seed + number, height=place), seed=seed)[0] for number, place in places]
        again = [kspace_of(head(seed=seed), seed=seed + 10 * draw)[0] for draw in range(count)]
        assert like_coils(one) and not like_coils(np.stack(slices) * lines) and not like_coils(np.stack(again) * lines)
    assert not like_coils(one[:1]) and not like_coils(one * every(COLS, 4, 8)) and not like_coils(0 * one)


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored along rows": lambda image: image[::-1],
    "mirrored along columns": lambda image: image[:, ::-1],
    "turned by half a turn": lambda image: image[::-1, ::-1],
    "with its halves exchanged": np.fft.fftshift,
    "moved by 20 columns": lambda image: np.roll(image, 20, 1),
    "moved by -7 rows and 5 columns": lambda image: np.roll(image, (-7, 5), (0, 1)),
    "with its sign reversed": np.negative,
    "mirrored along rows and with its sign reversed": lambda image: -image[::-1],
    "transposed": lambda image: image.T,
    "transposed and turned by half a turn": lambda image: image.T[::-1, ::-1],
    "turned by a quarter turn": np.rot90,
    "turned back by a quarter turn": lambda image: np.rot90(image, 3),
}


@pytest.mark.parametrize("size", [96, 127, 256])
@pytest.mark.parametrize("way", WAYS)
def test_a_reference_that_lies_another_way_is_named(way: str, size: int) -> None:
    for seed in range(2):
        image = head(size, size, seed)
        kspace = fft2c(image * phase(size, size, seed) * coils(4, size, size, seed))
        wide = fft2c(np.pad(image, ((size // 2, size // 2), (0, 0)))[None])
        for data in (kspace, wide):
            assert turned(WAYS[way](image).astype(np.float32), data) == way


@pytest.mark.parametrize("mask", MASKS)
def test_a_reference_that_lies_right_is_not_doubted(mask: str) -> None:
    """Whatever was measured, and one pixel off, as reconstructions that count from another corner are."""
    for seed in range(3):
        image = head(ROWS, COLS, seed).astype(np.float32)
        kspace = right(seed) * MASKS[mask]
        for moved in (image, np.roll(image, 1, 0), np.roll(image, -1, 1)):
            assert turned(moved, kspace) is None
    assert turned(0 * image, kspace) is None and turned(image, 0 * kspace) is None


@pytest.mark.parametrize("shape", ["disc", "square", "gauss", "checks", "stripes"])
@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_no_way_is_made_up_for_symmetric_images(shape: str, kind: type) -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    image = {
        "disc": y**2 + x**2 < 50**2,
        "square": np.maximum(abs(y), abs(x)) < 30,
        "gauss": np.exp(-(y**2 + x**2) / 1000),
        "checks": np.sin(y * np.pi / 8) * np.sin(x * np.pi / 8) > 0,
        "stripes": np.sin(y * np.pi / 8) > 0,
    }[shape]
    kspace = fft2c(image[None].astype(kind))
    for rows, cols in ((0, 0), (1, 0), (0, -1), (3, 0)):
        said = f"moved by {rows} rows" if rows > 1 else None
        assert turned(np.roll(image, (rows, cols), (0, 1)).astype(np.float32), kspace) == said


@pytest.mark.parametrize("mask", ["full", "fourfold"])
def test_arrays_in_files_and_in_memory_are_mended(mask: str, tmp_path: Path) -> None:
    kspace = np.stack([right(seed) for seed in (0, 2)]) * MASKS[mask]
    stored = np.fft.ifftshift(kspace, (-2, -1))
    np.save(tmp_path / "a.npy", stored)
    lines = np.fft.ifftshift(MASKS[mask], -1)
    for scan in (open_scan(tmp_path / "a.npy"), scan_of_array(stored), scan_of_array(stored, lines)):
        assert any("index 0" in text for text in scan.warnings)
        assert scan.mask is None if mask == "full" else np.array_equal(scan.mask, MASKS[mask])
        assert all(np.array_equal(scan.read(index), kspace[index]) for index in range(2))
    assert scan_of_array(kspace).warnings == ()
    kspace[..., 1::2] = kspace[..., ::-1, 1::2]
    assert any("ghost" in text for text in scan_of_array(kspace).warnings) == (mask == "full")
