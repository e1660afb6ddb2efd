"""Which files a source stands for, and what its keys may not hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scans import phantom

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import make_image
from mri_d3gm.io.open_image import READERS, Reader
from mri_d3gm.lab.reproduce import needed
from mri_d3gm.training.sources import load_slices, select_files, target_of


def picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray((phantom(1, 64, 60)[0] * 80).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_picture_that_was_cut_short_is_named_in_one_line(name: str, left: float, tmp_path: Path) -> None:
    whole = picture(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(left * len(whole))])
    with pytest.raises(InputError, match=rf"{name}: is no image that can be read"):
        load_slices(tmp_path, [{"glob": "a.*"}])


WRONG: dict[str, object] = {
    "glob": 5,
    "exclude": "/a/*",
    "split": 0.5,
    "first": "3",
    "last": 0,
    "central": 1.5,
    "max_size": [320],
    "weight": "heavy",
    "target": "rain",
}


@pytest.mark.parametrize("key", WRONG)
def test_a_value_that_a_key_cannot_have_is_one_line(key: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(InputError, match=f"{key} of a source must be"):
        select_files(tmp_path, {"glob": "*.png", key: WRONG[key]})


@pytest.mark.parametrize("glob", ["/a/*.png", ["*.png", 5], "", {"a": 1}, "**.png", "***"])
def test_what_is_no_glob_is_one_line(glob: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"glob|nothing matches"):
        select_files(tmp_path, {"glob": glob})


@pytest.mark.parametrize("target", [["(", "a"], ["a", r"\2"], ["a", r"\g<name>"]])
def test_what_is_no_regular_expression_is_one_line(target: list[str], tmp_path: Path) -> None:
    source = {"glob": "*.png", "target": target}
    (path,) = select_files(picture(tmp_path / "a.png").parent, source)
    with pytest.raises(InputError, match="no regular expression"):
        target_of(path, source)


def test_hidden_files_are_left_out_and_one_glob_does_where_several_do(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.jpg", "._a.png", ".b.jpg", "in/d.png", "in/._d.png"):
        picture(tmp_path / name)

    def names(**source: object) -> list[str]:
        return [path.name for path in select_files(tmp_path, source)]

    assert names(glob="**/*") == ["a.png", "b.png", "c.jpg", "in", "d.png"]
    assert names(glob=["*.png", "*.jpg"]) == ["a.png", "b.png", "c.jpg"]
    assert names(glob="*.*", exclude="b*") == names(glob="*.*", exclude=["b*"]) == ["a.png", "c.jpg"]
    assert names(glob="*.*", last=1) == ["c.jpg"]


def test_a_plan_counts_the_files_of_every_glob(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "._b.jpg"):
        picture(tmp_path / name)
    lines = list(needed({"sources": [{"glob": ["*.png", "*.jpg"]}], "domains": [{"glob": "*.gif"}]}, tmp_path))
    assert [line.split() for line in lines] == [
        *(["train", f"*.{ending}:", "1", "found"] for ending in ("png", "jpg")),
        ["test", "*.gif:", "not", "found"],
    ]


def test_a_format_that_was_added_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = phantom(3, 64, 60).transpose(1, 2, 0).astype(np.float32)
    (tmp_path / "a.mgz").touch()
    reader = Reader(lambda path: path.suffix == ".mgz", lambda path, _: make_image(path, array, np.eye(4), (path,)), (".mgz",))
    monkeypatch.setitem(READERS, "MGH", reader)
    slices = load_slices(tmp_path, [{"glob": "*"}])
    assert len(slices) == 3 and torch.isfinite(slices[0].image).all()
