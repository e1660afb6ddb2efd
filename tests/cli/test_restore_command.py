import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def photograph(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)).save(path)
    return path


def test_restore_writes_skips_and_refuses(mri, tmp_path) -> None:
    path, out = photograph(tmp_path / "a.png"), tmp_path / "out"
    options = ["restore", "--task", "derain", "--steps", 1, path, "-o", out]
    code, text, error = mri(*options, "--json")
    assert code == 0, error
    assert json.loads(text)["Task"] == "derain" and {file.name for file in out.iterdir()} == {"a.png", "a.png.json"}
    code, text, error = mri(*options)
    assert code == 0 and "already done" in error and text == ""
    code, _, error = mri("restore", "--task", "dehaze", path, "-o", out)
    assert code == 2 and "--overwrite" in error
    code, _, error = mri("restore", "--task", "derain", path, "-o", tmp_path)
    assert code == 2 and "the input itself" in error and error.count("\n") == 1


def test_a_folder_is_done_and_a_bad_picture_does_not_stop_it(mri, tmp_path) -> None:
    for name in ("a.png", "c.jpg"):
        photograph(tmp_path / name)
    (tmp_path / "b.png").write_text("hello")
    code, text, error = mri("restore", "--task", "derain", "--method", "median", tmp_path, "-o", tmp_path / "out")
    assert code == 1 and text.count("derain") == 2 and "b.png: not a readable image" in error
    given = ["restore", "--task", "derain", "--method", "median", tmp_path / "a.png", tmp_path / "none.png", tmp_path / "c.jpg"]
    code, text, error = mri(*given, "-o", tmp_path / "again")
    assert code == 1 and text.count("derain") == 2 and "none.png: cannot be read: No such file" in error
    code, _, error = mri("restore", "--task", "derain", tmp_path / "a.png", tmp_path / "c.jpg", "-o", tmp_path / "one.png")
    assert code == 2 and "must be a folder" in error


def test_it_is_said_where_nothing_was_found(mri, tmp_path) -> None:
    Image.new("RGB", (40, 30), (90, 120, 150)).save(tmp_path / "flat.png")
    photograph(tmp_path / "noise.png")
    code, text, error = mri("restore", "--task", "derain", "--method", "median", tmp_path, "-o", tmp_path / "out")
    assert code == 0, error
    assert ["left as it is: nothing that median takes for rain" in line for line in sorted(text.splitlines())] == [True, False]


def bad(folder: Path, kind: str) -> list[object]:
    good = photograph(folder / "a.png")
    image, path = Image.open(good), folder / kind
    if kind == "text.png":
        path.write_text("hello")
    elif kind == "cut.png":
        path.write_bytes(good.read_bytes()[:-500])
    elif kind == "cmyk.jpg":
        image.convert("CMYK").save(path)
    elif kind == "pixel.png":
        Image.new("RGB", (1, 1)).save(path)
    elif kind == "moving.webp":
        image.save(path, save_all=True, append_images=[image.rotate(90)])
    elif kind == "bomb.png":
        content = bytearray(good.read_bytes())
        content[16:24] = (60000).to_bytes(4, "big") * 2
        import zlib

        content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
        path.write_bytes(content)
    elif kind == "empty":
        path.mkdir()
    elif kind in ("task", "method", "weights", "output"):
        extra = {"task": ["--task", "snow"], "method": ["--method", "magic"], "weights": ["--weights", folder / "none"]}
        return [good, *extra.get(kind, ["-o", folder / "x.nii"])]
    return [path]


MESSAGES = {
    "missing.png": "No such file", "text.png": "not a readable image", "cut.png": "", "cmyk.jpg": "CMYK",
    "pixel.png": "too small", "moving.webp": "animated", "bomb.png": "200 million", "empty": "", "task": "derain, dehaze",
    "method": "unknown; one of", "weights": "no weights there", "output": "-o takes a folder",
}  # fmt: skip


@pytest.mark.parametrize("kind", MESSAGES)
def test_bad_pictures_are_one_line_exit_2_and_nothing_written(kind: str, mri, tmp_path) -> None:
    arguments = ["--task", "derain", "-o", tmp_path / "out", *bad(tmp_path, kind)]
    before = set(os.listdir(tmp_path))
    code, text, error = mri("restore", *arguments)
    assert code == 2 and text == "" and MESSAGES[kind] in error, error
    assert error.count("\n") == 1 and "Traceback" not in error and "Usage" not in error
    assert set(os.listdir(tmp_path)) == before
