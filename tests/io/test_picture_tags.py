"""Photographs keep what they carry: camera, date, place, dots an inch, one bit, lossless."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mri_d3gm.io.images.pictures import png_chunk, read_picture
from mri_d3gm.io.images.write_picture import write_or_copy, write_picture
from mri_d3gm.settings import Restore
from mri_d3gm.tasks.restore import names_of, restore_file

EXIF, GPS = 0x8769, 0x8825
PIXELS = (np.random.default_rng(0).random((24, 32, 3)) * 255).astype(np.uint8)
ENDINGS = (".jpg", ".png", ".webp", ".tif")


def taken(path: Path, orientation: int = 1, **options: Any) -> Path:
    """A picture of a camera that says when and where."""
    exif = Image.Exif()
    exif[271], exif[272], exif[306], exif[274] = "Maker", "Model", "2020:05:17 10:11:12", orientation
    exif.get_ifd(EXIF)[36867] = "2020:05:17 10:11:12"
    exif.get_ifd(EXIF)[40962] = 32
    exif.get_ifd(GPS)[1], exif.get_ifd(GPS)[2] = "N", (1.0, 2.0, 3.0)
    Image.fromarray(PIXELS).save(path, exif=exif, dpi=(300, 150), **options)
    return path


def said(path: Path) -> dict[str, Any]:
    exif = Image.open(path).getexif()
    return {
        "words": {code: exif.get(code) for code in (271, 272, 306)},
        "orientation": exif.get(274, 1),
        "camera": dict(exif.get_ifd(EXIF)),
        "place": dict(exif.get_ifd(GPS)),
        "dpi": pytest.approx(read_picture(path).tags.dpi, rel=1e-3),
    }


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("after", ENDINGS)
@pytest.mark.parametrize("before", [".jpg", ".png", ".tif"])
def test_camera_date_place_and_dots_are_kept(tmp_path: Path, before: str, after: str, orientation: int) -> None:
    picture = read_picture(taken(tmp_path / f"in{before}", orientation))
    write_picture(tmp_path / f"out{after}", picture.array, picture)
    found = said(tmp_path / f"out{after}")
    assert found["words"] == {271: "Maker", 272: "Model", 306: "2020:05:17 10:11:12"} and found["orientation"] == 1
    assert found["dpi"] == (300, 150)
    if before != ".tif":  # in which Pillow leaves the directories out that the test would write
        assert found["camera"] == {36867: "2020:05:17 10:11:12"} and found["place"] == {1: "N", 2: (1.0, 2.0, 3.0)}


@pytest.mark.parametrize("after", [".png", ".tif"])
def test_words_and_dots_are_kept_with_16_bits(tmp_path: Path, after: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).integers(0, 65535, (24, 32, 3), np.uint16)
    words = [(271, 2, 0, "Maker", True), (306, 2, 0, "2020:05:17 10:11:12", True)]
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", resolution=(120, 120), resolutionunit=2, extratags=words)
    picture = read_picture(tmp_path / "in.tif")
    write_picture(tmp_path / f"out{after}", picture.array, picture)
    again = read_picture(tmp_path / f"out{after}")
    assert np.array_equal(again.array, picture.array) and again.bits == 16
    assert again.tags.dpi == pytest.approx((120, 120), rel=1e-3)
    kept = Image.Exif()
    assert again.tags.exif is not None
    kept.load(again.tags.exif)
    assert (kept[271], kept[306]) == ("Maker", "2020:05:17 10:11:12")


@pytest.mark.parametrize(("after", "mode"), [(".png", "1"), (".tif", "1"), (".jpg", "L"), (".webp", "RGB")])
def test_one_bit_is_kept_where_the_format_has_it(tmp_path: Path, after: str, mode: str) -> None:
    Image.fromarray(PIXELS[..., 0] > 99).save(tmp_path / "in.png")
    picture = read_picture(tmp_path / "in.png")
    write_picture(tmp_path / f"out{after}", picture.array, picture)
    written = Image.open(tmp_path / f"out{after}")
    assert written.mode == mode and picture.bits == 1
    assert np.abs(np.asarray(written.convert("L")) / 255 - picture.array[..., 0]).mean() < 0.05


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_stays_lossless_or_not(tmp_path: Path, lossless: bool) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.webp", lossless=lossless, quality=95)
    picture = read_picture(tmp_path / "in.webp")
    write_picture(tmp_path / "out.webp", picture.array, picture)
    assert read_picture(tmp_path / "out.webp").lossless == picture.lossless == lossless
    assert np.array_equal(read_picture(tmp_path / "out.webp").array, picture.array) == lossless


@pytest.mark.parametrize("size", [1, 7, 100, 70_000])
def test_a_damaged_block_is_left_out(tmp_path: Path, size: int) -> None:
    block = b"Exif\0\0MM\0*\0\0\0\x08" + np.random.default_rng(size).bytes(min(size, 60_000))
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=block)
    picture = read_picture(tmp_path / "in.jpg")
    for ending in ENDINGS:
        write_picture(tmp_path / f"out{ending}", picture.array, picture)
        assert Image.open(tmp_path / f"out{ending}").size == (32, 24)


def test_a_restored_photograph_keeps_them_too(tmp_path: Path) -> None:
    path = taken(tmp_path / "in.jpg", 6)
    restore_file(path, Restore(task="derain", method="median"), names_of(path, tmp_path / "out"))
    found = said(tmp_path / "out" / "in.jpg")
    assert found["words"][272] == "Model" and found["place"][1] == "N" and found["orientation"] == 1
    assert Image.open(tmp_path / "out" / "in.jpg").size == (24, 32)


@pytest.mark.parametrize("ending", [*ENDINGS, ".jpeg"])
def test_what_did_not_change_is_the_same_file(tmp_path: Path, ending: str) -> None:
    path, out = taken(tmp_path / f"in{ending}"), tmp_path / f"out{ending}"
    picture = read_picture(path)
    write_or_copy(out, picture.array, picture)
    assert out.read_bytes() == path.read_bytes()
    write_or_copy(out, 0.9 * picture.array, picture)
    assert np.abs(read_picture(out).array - 0.9 * picture.array).mean() < 0.05
    if ending not in (".jpg", ".jpeg"):
        write_or_copy(tmp_path / "out.jpg", picture.array, picture)
        assert Image.open(tmp_path / "out.jpg").format == "JPEG"


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
def test_a_turned_picture_is_written_upright_though_it_did_not_change(tmp_path: Path, ending: str) -> None:
    picture = read_picture(taken(tmp_path / f"in{ending}", 6))
    write_or_copy(tmp_path / f"out{ending}", picture.array, picture)
    with Image.open(tmp_path / f"out{ending}") as written:
        assert picture.turned and written.getexif().get(274, 1) == 1 and written.size == (24, 32)


COLOURS = {b"gAMA": (100_000).to_bytes(4, "big"), b"cHRM": np.arange(30_000, 38_000, 1000, ">u4").tobytes(), b"sRGB": b"\2"}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("names", [[b"gAMA"], [b"gAMA", b"cHRM"], [b"sRGB"], []])
def test_a_png_says_how_its_colours_look_as_before(tmp_path: Path, names: list[bytes], bits: int) -> None:
    if bits == 8:
        Image.fromarray(PIXELS).save(tmp_path / "a.png")
    else:
        codec = pytest.importorskip("imagecodecs")
        (tmp_path / "a.png").write_bytes(codec.png_encode(PIXELS.astype(np.uint16) * 257))
    content = (tmp_path / "a.png").read_bytes()
    chunks = b"".join(png_chunk(name, COLOURS[name]) for name in names)
    (tmp_path / "a.png").write_bytes(content[:33] + chunks + content[33:])
    picture = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", picture.array, picture)
    written = (tmp_path / "b.png").read_bytes()
    for name in COLOURS:
        assert (png_chunk(name, COLOURS[name]) in written) == (name in names)
    assert np.array_equal(read_picture(tmp_path / "b.png").array, picture.array)
    write_picture(tmp_path / "b.jpg" if bits == 8 else tmp_path / "b.tif", picture.array, picture)


def test_a_grey_picture_in_which_nothing_is_found_is_the_same_file(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0]).resize((90, 60), Image.Resampling.BICUBIC).save(tmp_path / "in.jpg", quality=60)
    record, _ = restore_file(tmp_path / "in.jpg", Restore(method="identity"), names_of(tmp_path / "in.jpg", tmp_path / "out"))
    assert record["Unchanged"] and (tmp_path / "out" / "in.jpg").read_bytes() == (tmp_path / "in.jpg").read_bytes()


WORDS = "© 2024 Müller"
LENS, OWNER = 42036, 42032


def words_of(path: Path) -> dict[int, bytes]:
    """Texts as bytes, of the first directory and the camera's."""
    exif = Image.open(path).getexif()
    found = {code: exif.get(code) for code in (270, 315, 33432)} | dict(exif.get_ifd(EXIF))
    return {code: text.encode("latin-1") for code, text in found.items() if isinstance(text, str)}


@pytest.mark.parametrize("after", ENDINGS)
@pytest.mark.parametrize("before", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_words_that_are_not_ascii_stay_byte_by_byte(tmp_path: Path, encoding: str, before: str, after: str) -> None:
    """A camera's block in a file, made by hand: Pillow writes ASCII alone."""
    exif, ascii_words = Image.Exif(), "x" * len(WORDS.encode(encoding))
    exif[33432], exif.get_ifd(EXIF)[LENS], exif.get_ifd(EXIF)[OWNER] = ascii_words, ascii_words, ascii_words
    block = exif.tobytes().replace(ascii_words.encode(), WORDS.encode(encoding))
    Image.fromarray(PIXELS).save(tmp_path / f"in{before}", exif=block, dpi=(300, 300))
    expected = dict.fromkeys((33432, LENS, OWNER), WORDS.encode(encoding))
    assert words_of(tmp_path / f"in{before}") == expected
    picture = read_picture(tmp_path / f"in{before}")
    write_picture(tmp_path / f"out{after}", picture.array, picture)
    assert words_of(tmp_path / f"out{after}") == expected


@pytest.mark.parametrize("after", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_tiff_keeps_its_first_description_and_all_its_letters(tmp_path: Path, encoding: str, bits: int, after: str) -> None:
    """tifffile writes a second description, of the array's shape."""
    tifffile = pytest.importorskip("tifffile")
    words = WORDS.encode(encoding)
    extra = [(code, 2, 0, words, True) for code in (33432, 315)]
    pixels = PIXELS.astype({8: np.uint8, 16: np.uint16}[bits])
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", description=words, extratags=extra)
    picture = read_picture(tmp_path / "in.tif")
    write_picture(tmp_path / f"out{after}", picture.array, picture)
    if after == ".png" or bits == 8:  # of 16 bits of colour Pillow opens no TIFF
        assert words_of(tmp_path / f"out{after}") == dict.fromkeys((270, 315, 33432), words)
    again = Image.Exif()
    again.load(read_picture(tmp_path / f"out{after}").tags.exif or b"")
    assert {code: again[code].encode("latin-1") for code in (270, 315, 33432)} == dict.fromkeys((270, 315, 33432), words)
