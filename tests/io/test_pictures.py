"""Pictures keep size, depth, alpha and profile; broken and unfit ones are refused in one line."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image, ImageCms

from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import ADAM7, png_chunk, read_picture
from mri_d3gm.io.images.write_picture import write_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RNG = np.random.default_rng(0)


def noise(channels: int, bits: int, size: tuple[int, int] = (24, 17)) -> np.ndarray:
    return RNG.integers(0, 2**bits, (*size, channels), dtype=np.uint8 if bits == 8 else np.uint16)


def save(path: Path, array: np.ndarray, **options) -> Path:
    """Through another library than write_picture where one can."""
    flat = array[..., 0] if array.shape[2] == 1 else array
    if path.suffix == ".tif":
        extra = {"extrasamples": ["unassalpha"]} if array.shape[2] in (2, 4) else {}
        photometric = "rgb" if array.shape[2] > 2 else "minisblack"
        tifffile.imwrite(path, flat, photometric=photometric, planarconfig="contig", metadata=None, **extra, **options)
    elif array.dtype == np.uint16:
        path.write_bytes(png_encode(flat))
    else:
        Image.fromarray(flat).save(path, **options)
    return path


def smooth() -> np.ndarray:
    """Colours that survive lossy formats."""
    y, x = np.mgrid[:48, :40]
    return np.stack([2 * y + 20, 3 * x + 60, y + x], -1).astype(np.uint8)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_formats_come_back_bit_by_bit(tmp_path: Path, ending: str, bits: int, channels: int) -> None:
    array = noise(channels, bits)
    picture = read_picture(save(tmp_path / f"a{ending}", array))
    colours = 1 if channels < 3 else 3
    assert picture.array.shape == (24, 17, colours) and picture.array.dtype == np.float32
    assert picture.bits == bits and picture.format == {".png": "PNG", ".tif": "TIFF"}[ending]
    np.testing.assert_array_equal(np.round(picture.array * (2**bits - 1)), array[..., :colours])
    assert (picture.alpha is not None) == (channels in (2, 4))
    write_picture(tmp_path / f"b{ending}", picture.array, picture)
    again = read_picture(tmp_path / f"b{ending}")
    np.testing.assert_array_equal(again.array, picture.array)
    assert again.bits == bits
    if picture.alpha is not None:
        np.testing.assert_array_equal(np.round(picture.alpha * (2**bits - 1)), array[..., -1])
        np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".webp"])
def test_lossy_formats_stay_close(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"a{ending}", smooth(), quality=95)
    picture = read_picture(path)
    assert picture.array.shape == (48, 40, 3) and picture.bits == 8 and picture.alpha is None
    write_picture(tmp_path / f"b{ending}", picture.array, picture)
    assert np.abs(read_picture(tmp_path / f"b{ending}").array * 255 - smooth()).mean() < 3


def test_webp_keeps_alpha_and_jpeg_keeps_grey(tmp_path: Path) -> None:
    alpha = np.concatenate([smooth(), np.where(smooth()[..., :1] > 60, 255, 40).astype(np.uint8)], -1)
    picture = read_picture(save(tmp_path / "a.webp", alpha, lossless=True))
    write_picture(tmp_path / "b.webp", picture.array, picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.webp").alpha, picture.alpha)
    grey = read_picture(save(tmp_path / "a.jpg", smooth()[..., :1]))
    write_picture(tmp_path / "b.jpg", grey.array, grey)
    assert read_picture(tmp_path / "b.jpg").array.shape == (48, 40, 1)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_profile_is_kept(tmp_path: Path, name: str) -> None:
    options = {"iccprofile": ICC} if name == "a.tif" else {"icc_profile": ICC}
    picture = read_picture(save(tmp_path / name, smooth(), **options))
    assert picture.icc == ICC
    write_picture(tmp_path / f"b{name}", picture.array, picture)
    assert read_picture(tmp_path / f"b{name}").icc == ICC


@pytest.mark.parametrize("name", ["b.png", "b.tif"])
def test_profile_is_kept_with_16_bits(tmp_path: Path, name: str) -> None:
    picture = read_picture(save(tmp_path / "a.tif", noise(3, 16), iccprofile=ICC))
    write_picture(tmp_path / name, picture.array, picture)
    again = read_picture(tmp_path / name)
    assert again.icc == ICC and again.bits == 16
    np.testing.assert_array_equal(again.array, picture.array)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "deep.tif"])
def test_orientation_is_applied_and_its_tag_gone(tmp_path: Path, orientation: int, name: str) -> None:
    upright = Image.fromarray(smooth())
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # inverse of the tag, as Pillow's Transpose
    stored = np.asarray(upright if orientation == 1 else upright.transpose(turn[orientation]))
    path = tmp_path / name
    if path.suffix == ".tif":
        stored = stored.astype(np.uint16) * 257 if name.startswith("deep") else stored
        save(path, stored, extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        save(path, stored, exif=exif, **({} if name == "a.png" else {"quality": 100}))
    picture = read_picture(path)
    assert picture.array.shape == (48, 40, 3)
    assert np.abs(picture.array * 255 - smooth()).mean() < 4
    write_picture(tmp_path / f"b{name}", picture.array, picture)
    with Image.open(tmp_path / f"b{name}") as again:
        assert again.size == (40, 48) and again.getexif().get(274, 1) == 1


def test_palette_becomes_colour_and_its_transparency_alpha(tmp_path: Path) -> None:
    palette = Image.fromarray(smooth()).quantize(64)
    palette.save(tmp_path / "a.png")
    palette.save(tmp_path / "b.png", transparency=0)
    opaque, clear = read_picture(tmp_path / "a.png"), read_picture(tmp_path / "b.png")
    assert opaque.array.shape == (48, 40, 3) and opaque.alpha is None
    np.testing.assert_array_equal(opaque.array, clear.array)
    assert clear.alpha is not None and set(np.unique(clear.alpha)) == {0, 1}


def test_black_and_white_and_inverted_tiff(tmp_path: Path) -> None:
    bits = Image.fromarray(smooth()[..., 0]).convert("1")
    bits.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").array[..., 0], np.asarray(bits))
    array = noise(1, 16)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", 65535 - array, photometric="miniswhite")
    np.testing.assert_array_equal(np.round(read_picture(tmp_path / "a.tif").array[..., 0] * 65535), array)


@pytest.mark.parametrize("kind", [0, 2, 4, 6])
@pytest.mark.parametrize("size", [(24, 17), (8, 9)])
def test_interlaced_png_of_16_bits_with_a_transparent_colour(tmp_path: Path, kind: int, size: tuple[int, int], capfd) -> None:
    array = noise({0: 1, 2: 3, 4: 2, 6: 4}[kind], 16, size)
    parts = [array[y::down, x::right] for x, y, right, down in ADAM7]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", size[1], size[0], 16, kind, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    if kind in (0, 2):
        chunks.insert(1, (b"tRNS", array[0, 0].astype(">u2").tobytes()))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
    picture = read_picture(tmp_path / "a.png")
    colours = 1 if kind in (0, 4) else 3
    np.testing.assert_allclose(picture.array * 65535, array[..., :colours], atol=0.01)
    assert picture.alpha is not None and picture.alpha[0, 0] == (
        0 if kind in (0, 2) else pytest.approx(array[0, 0, -1] / 65535)
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"compression": "lzw"}, {"planar": True}, {"byteorder": ">"}, {"tile": (16, 16)}])
def test_16_bit_tiff_as_others_write_it(tmp_path: Path, options: dict) -> None:
    array = noise(3, 16)
    planar = options.pop("planar", False)
    stored, config = (np.moveaxis(array, -1, 0), "separate") if planar else (array, "contig")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=config, **options)
    np.testing.assert_array_equal(np.round(read_picture(tmp_path / "a.tif").array * 65535), array)


def test_colours_multiplied_by_alpha_are_divided(tmp_path: Path) -> None:
    colours, alpha = noise(3, 16), RNG.integers(30000, 65536, (24, 17, 1))
    stored = np.concatenate([np.round(colours * (alpha / 65535)), alpha], -1).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_picture(tmp_path / "a.tif").array * 65535 - colours).max() <= 2


def test_a_phone_picture_with_a_second_one_appended_is_a_jpeg(tmp_path: Path) -> None:
    first = Image.fromarray(smooth())
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[first.rotate(180)], quality=95)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.format == "JPEG" and np.abs(picture.array * 255 - smooth()).mean() < 3


def test_the_ending_does_not_decide_what_is_read(tmp_path: Path) -> None:
    save(tmp_path / "a.png", smooth()).rename(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg").format == "PNG"


def png_header(width: int, height: int) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    packed = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def unfit(tmp_path: Path, what: str) -> Path:
    """A file that must be refused."""
    image, path = Image.fromarray(smooth()), tmp_path / f"{what.replace(' ', '-')}"
    frames = {"save_all": True, "append_images": [image.rotate(90)], "duration": 50}
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("not an image")
    elif what == "empty":
        path.touch()
    elif what.startswith("bomb"):
        path.write_bytes(png_header(*{"bomb": (30000, 30000), "bomb just above": (20000, 10001)}[what]))
    elif what.startswith("animated"):
        image.save(path, what.split()[1], **frames)
    elif what.startswith("pages"):
        tifffile.imwrite(path, np.stack([noise(3, 8)] * 2), photometric="rgb")
    elif what.startswith("cmyk"):
        image.convert("CMYK").save(path, what.split()[1])
    elif what.startswith("deep cmyk"):
        tifffile.imwrite(path, noise(4, 16), photometric="separated")
    elif what == "float":
        tifffile.imwrite(path, np.full((20, 20), np.nan, np.float32))
    elif what == "signed":
        tifffile.imwrite(path, np.zeros((20, 20), np.int16))
    elif what == "wide integers":
        tifffile.imwrite(path, np.zeros((20, 20), np.uint32))
    elif what == "bmp":
        image.save(path, "BMP")
    elif what == "gif":
        image.save(path, "GIF")
    elif what == "one pixel":
        Image.new("RGB", (1, 1)).save(path, "PNG")
    elif what == "thin":
        Image.new("RGB", (500, 7)).save(path, "PNG")
    return path


UNFIT = {
    "missing": "cannot be read", "folder": "cannot be read", "text": "not a readable image", "empty": "not a readable image",
    "bomb": "200 million", "bomb just above": "200 million", "animated WEBP": "animated", "animated GIF": "animated",
    "animated PNG": "animated", "pages": "2 pages", "cmyk JPEG": "CMYK", "cmyk TIFF": "CMYK", "deep cmyk": "CMYK",
    "float": "floating point", "signed": "16-bit", "wide integers": "32-bit", "bmp": "BMP is not supported", "gif": "GIF",
    "one pixel": "too small", "thin": "too small",
}  # fmt: skip


@pytest.mark.parametrize("what", UNFIT)
def test_unfit_files_are_refused_in_one_line(tmp_path: Path, what: str, capfd) -> None:
    path = unfit(tmp_path, what)
    with pytest.raises(InputError, match=UNFIT[what]) as caught:
        read_picture(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "; " in said and "\n" not in said
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.jpg", "a.webp", "a.tif", "deep.tif", "lzw.tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_cut_files_are_refused(tmp_path: Path, name: str, share: float, capfd) -> None:
    array = noise(3, 16 if name.startswith("deep") else 8, (64, 64))
    path = save(tmp_path / name, array, **({"compression": "lzw"} if name == "lzw.tif" else {}))
    content = path.read_bytes()
    path.write_bytes(content[: max(12, int(share * len(content)))])
    with pytest.raises(InputError, match=name) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.tif", "deep.tif", "a.jpg", "a.webp"])
def test_damaged_files_never_crash(tmp_path: Path, name: str) -> None:
    content = save(tmp_path / name, noise(3, 16 if name.startswith("deep") else 8)).read_bytes()
    for place in RNG.integers(0, len(content), 40):
        broken = bytearray(content)
        broken[place : place + 3] = RNG.bytes(3)
        (tmp_path / name).write_bytes(broken)
        try:
            picture = read_picture(tmp_path / name)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert picture.array.min() >= 0 and picture.array.max() <= 1


def test_pillows_limit_is_as_before(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    read_picture(save(tmp_path / "a.png", smooth()))
    with pytest.raises(InputError):
        read_picture(unfit(tmp_path, "bomb"))
    assert before == Image.MAX_IMAGE_PIXELS


def test_values_are_cut_and_rounded(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "a.png", noise(1, 8)))
    values = np.full(picture.array.shape, 100.4 / 255)
    values[0], values[1] = -3, 7
    write_picture(tmp_path / "b.png", values, picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png"))[[0, 1, 2], 0], [0, 255, 100])


@pytest.mark.parametrize(
    ("name", "channels", "bits", "match"),
    [
        ("b.bmp", 3, 8, "ending"), ("b", 3, 8, "ending"), ("b.jpg", 3, 16, "16"), ("b.webp", 1, 16, "16"),
        ("b.jpg", 4, 8, "alpha"), ("none/b.png", 3, 8, "cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, name: str, channels: int, bits: int, match: str) -> None:
    picture = read_picture(save(tmp_path / "a.png", noise(channels, bits)))
    with pytest.raises(InputError, match=match) as caught:
        write_picture(tmp_path / name, picture.array, picture)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_side_too_long_for_webp_is_refused(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "a.png", noise(3, 8, (8, 16390))))
    with pytest.raises(InputError, match="WEBP"):
        write_picture(tmp_path / "b.webp", picture.array, picture)
    assert not list(tmp_path.glob("*.webp")) and not list(tmp_path.glob(".*"))


def test_wrong_arrays_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    picture = read_picture(save(tmp_path / "a.png", noise(3, 8)))
    for wrong in (picture.array[1:], picture.array[..., :2], picture.array * np.nan):
        with pytest.raises(ValueError):
            write_picture(tmp_path / "b.png", wrong, picture)
    assert not (tmp_path / "b.png").exists()


def without(monkeypatch, *packages: str) -> None:
    """As if packages were not installed; tifffile, which looks for imagecodecs when it is imported, is imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tifffile"]:
        monkeypatch.delitem(sys.modules, name)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


ABSENT = [("tifffile",), ("imagecodecs",), ("tifffile", "imagecodecs")]


@pytest.mark.parametrize("absent", ABSENT)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif", "a.jpg", "a.webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_8_bits_need_no_extra(tmp_path: Path, absent: tuple, name: str, channels: int, monkeypatch) -> None:
    if name == "a.jpg" and channels == 4:
        pytest.skip("JPEG has no alpha")
    options = {"lossless": True} if name == "a.webp" else {"compression": "lzw"} if name == "lzw.tif" else {}
    path = save(tmp_path / name, noise(channels, 8), **options)
    expected = read_picture(path)
    without(monkeypatch, *absent)
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.array, expected.array)
    assert (picture.alpha is None) == (channels != 4) and picture.bits == 8 and picture.format == expected.format
    write_picture(tmp_path / f"b{name}", picture.array, picture)
    if name.endswith((".png", ".tif")):
        again = read_picture(tmp_path / f"b{name}")
        np.testing.assert_array_equal(again.array, picture.array)
        if channels == 4:
            np.testing.assert_array_equal(again.alpha, expected.alpha)


@pytest.mark.parametrize("name, package", [("a.png", "imagecodecs"), ("a.tif", "tifffile"), ("lzw.tif", "imagecodecs")])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_ask_for_the_extra(tmp_path: Path, name: str, package: str, channels: int, monkeypatch) -> None:
    path = save(tmp_path / name, noise(channels, 16), **({"compression": "lzw"} if name == "lzw.tif" else {}))
    picture = read_picture(path)
    without(monkeypatch, package)
    said = []
    with pytest.raises(InputError) as caught:
        read_picture(path)
    said.append((path, str(caught.value)))
    if name != "lzw.tif":
        target = tmp_path / f"b{name}"
        with pytest.raises(InputError) as caught:
            write_picture(target, picture.array, picture)
        said.append((target, str(caught.value)))
    for place, text in said:
        assert text == f"{place}: 16 bits need the package {package}; pip install 'mri-d3gm[photographs]'"
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("what", [what for what in UNFIT if what != "deep cmyk"])
def test_unfit_files_are_refused_without_the_extra_too(tmp_path: Path, what: str, monkeypatch) -> None:
    path = unfit(tmp_path, what)
    without(monkeypatch, "tifffile", "imagecodecs")
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
