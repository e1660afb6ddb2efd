"""Pictures that are whole are read: large ones of few bits, and those whose tags cannot be; other formats are named."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image

from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import png_chunk, read_picture

RNG = np.random.default_rng(0)
SIZE = 4160, 5600  # 23 million pixels


def page_of_text() -> Image.Image:
    """Letters of a kind: a few blocks of noise on white."""
    page = np.ones(SIZE[::-1], bool)
    for row in range(200, 5200, 500):
        page[row : row + 24, 300:3900] = RNG.random((24, 3600)) > 0.5
    return Image.fromarray(page)


SCANS = {
    "a.png": {}, "palette.png": {"bits": 1}, "grey.png": {}, "a.tif": {"compression": "group4"},
    "lzw.tif": {"compression": "tiff_lzw"},
}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_a_scanned_page_of_one_bit_is_read(tmp_path: Path, name: str) -> None:
    page = page_of_text()
    if name == "palette.png":
        page = Image.fromarray(np.asarray(page, np.uint8)).convert("P")
        page.putpalette([0, 0, 0, 255, 255, 255])
    elif name == "grey.png":
        page = page.convert("L")
    page.save(tmp_path / name, **SCANS[name])
    size = (tmp_path / name).stat().st_size
    assert 3 * SIZE[0] * SIZE[1] > 200 * size, "three bytes a pixel were too many for the file"
    picture = read_picture(tmp_path / name)
    assert picture.array.shape[:2] == SIZE[::-1] and set(np.unique(picture.array[::7, ::7])) == {0, 1}


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_empty_page_declares_more_than_it_stores(tmp_path: Path, name: str) -> None:
    Image.new("1", (13000, 13000), 1).save(tmp_path / name, **SCANS[name])
    with pytest.raises(InputError, match="declares 21 MB"):
        read_picture(tmp_path / name)


def test_an_8_bit_tiff_is_read_though_pillow_does_not_open_it(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (24, 32, 3), np.uint8)
    words = [(271, 2, 0, "Maker", True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="jpeg2000", extratags=words)
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.round(picture.array * 255), pixels)
    assert picture.tags.exif is not None and b"Maker" in picture.tags.exif


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_inverted_grey_the_alpha_is_not_inverted(tmp_path: Path, dtype: type) -> None:
    most = np.iinfo(dtype).max
    pixels = RNG.integers(0, most, (24, 32, 2), dtype, endpoint=True)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", planarconfig="contig", extrasamples=["unassalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is not None
    np.testing.assert_array_equal(np.round(picture.alpha * most), pixels[..., 1])
    np.testing.assert_array_equal(np.round(picture.array[..., 0] * most), most - pixels[..., 0])


@pytest.mark.parametrize("block", [b"", b"MM", b"no EXIF at all", b"MM\0*\0\0\0\x08", b"II*\0\xff\xff\xff\xff"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_with_a_damaged_block_of_exif_is_read(tmp_path: Path, bits: int, block: bytes) -> None:
    pixels = RNG.integers(0, 2**bits, (24, 32, 3), {8: np.uint8, 16: np.uint16}[bits])
    content = bytes(png_encode(pixels))
    (tmp_path / "a.png").write_bytes(content[:33] + png_chunk(b"eXIf", block) + content[33:])
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.round(picture.array * (2**bits - 1)), pixels)


BEGIN = {
    "HEIC or HEIF": b"\0\0\0\x18ftypheic", "AVIF": b"\0\0\0\x1cftypavif", "JPEG XL": b"\xff\x0a\xfa\x1f", "PDF": b"%PDF-1.7\n",
    "raw data of a camera": b"FUJIFILMCCD-RAW", "SVG": b"<?xml version='1'?>\n<svg/>", "video": b"\0\0\0\x18ftypisom",
}  # fmt: skip


@pytest.mark.parametrize("kind", BEGIN)
def test_formats_that_are_not_supported_are_named(tmp_path: Path, kind: str, monkeypatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(BEGIN[kind] + bytes(40))
    with monkeypatch.context() as patched:
        patched.setattr("PIL.Image.ID", ["JPEG", "PNG", "TIFF", "WEBP"])  # Pillow may be built without AVIF
        with pytest.raises(InputError) as caught:
            read_picture(path)
    assert str(caught.value) == f"{path}: {kind} is not supported; give PNG, JPEG, TIFF or WebP"
