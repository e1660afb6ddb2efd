import builtins
from functools import partial
from pathlib import Path
from typing import Any

import io_files
import numpy as np
import pytest

from mri_d3gm.io.image import position_known, spacing
from mri_d3gm.io.images.read_nrrd import read_nrrd
from mri_d3gm.io.open_image import open_image

nrrd = pytest.importorskip("nrrd")

DATA = np.random.default_rng(0).integers(1, 200, (5, 6, 7)).astype(np.int16)
DIRECTIONS = np.array([[0.8, 0.6, 0], [-1.2, 1.6, 0], [0, 0, 4]])  # of axis i, j, k: rows; not a symmetric matrix
ORIGIN = np.array([3.0, 5.0, 11.0])
VOXEL = np.array([4, 1, 2])
LANDMARK = ORIGIN + 4 * DIRECTIONS[0] + 1 * DIRECTIONS[1] + 2 * DIRECTIONS[2]


def write(path: Path, data: np.ndarray = DATA, detached: bool = False, **fields: Any) -> Path:
    header = {name.replace("_", " "): value for name, value in fields.items()}
    nrrd.write(str(path), data, header, detached_header=detached)
    return path


def oriented(space: str = "left-posterior-superior", **fields: Any) -> dict[str, Any]:
    return {"space": space, "space_directions": DIRECTIONS, "space_origin": ORIGIN} | fields


error_of = partial(io_files.error_of, read_nrrd)


@pytest.mark.parametrize(
    "space, signs",
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("LAS", (-1, 1, 1)),
    ],
)
def test_spaces(tmp_path: Path, space: str, signs: tuple[int, ...]) -> None:
    volume = open_image(write(tmp_path / "a.nrrd", **oriented(space)))
    np.testing.assert_array_equal(volume.array, DATA)
    np.testing.assert_allclose(volume.affine[:3, :3] @ VOXEL + volume.affine[:3, 3], LANDMARK * signs)
    assert spacing(volume) == pytest.approx((1, 2, 4))


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<f8", ">f4", "u2"])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_types_and_encodings(tmp_path: Path, dtype: str, encoding: str) -> None:
    volume = read_nrrd(write(tmp_path / "a.nrrd", DATA.astype(dtype), **oriented(encoding=encoding, content="a text")))
    np.testing.assert_array_equal(volume.array, DATA)
    assert volume.array.dtype == np.float32 and volume.description == "a text"


def test_spacings_without_directions(tmp_path: Path) -> None:
    volume = read_nrrd(write(tmp_path / "a.nrrd", spacings=[1, 2, 3]))
    np.testing.assert_allclose(volume.affine, np.diag([-1, -2, 3, 1]))
    assert spacing(read_nrrd(write(tmp_path / "a.nrrd"))) == (1, 1, 1)


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ('spacings: 0.001 0.002 0.003\nunits: "m" "m" "m"', (0, 0, 0)),
        ('spacings: 0.1 2 3000\nunits: "cm" "mm" "um"', (0, 0, 0)),
        ('spacings: 1 2 3\nunits: "mm" "" "parsec"', (0, 0, 0)),
        ("spacings: 1 2 3\naxis mins: 7 -5 nan", (7.5, -4, 0)),
        ("spacings: 1 2 3\naxismins: 7 -5 9\ncenterings: node cell ???", (7, -4, 10.5)),
        ("spacings: 1 2 3\naxis mins: 7 -5 9\ncenters: node node cell", (7, -5, 10.5)),
        ('spacings: 0.1 0.2 0.3\naxis mins: 1 2 3\nunits: "cm" "cm" "cm"', (10.5, 21, 31.5)),
        ("axis mins: 0 0 0\naxis maxs: 5 12 21", (0.5, 1, 1.5)),
        ("axis mins: 0 0 0\naxis maxs: 4 10 18\ncenterings: node node node", (0, 0, 0)),
        ("spacings: nan 2 3\naxis mins: 0 0 0\naxis maxs: 5 12 nan", (0.5, 1, 1.5)),
    ],
)
def test_units_and_places_of_axes(tmp_path: Path, lines: str, place: tuple[float, ...]) -> None:
    """Five, six and seven voxels of 1, 2 and 3 mm, where there are no space directions."""
    path = write(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"\n\n", f"\n{lines}\n\n".encode(), 1))
    volume = read_nrrd(path)
    np.testing.assert_array_equal(volume.array, DATA)
    np.testing.assert_allclose(volume.affine[:3, :3], np.diag((-1, -2, 3)), atol=1e-12)
    np.testing.assert_allclose(volume.affine[:3, 3], np.array(place) * (-1, -1, 1))


def test_units_of_the_axes_that_are_kept(tmp_path: Path) -> None:
    fields = {"kinds": ["time", *["space"] * 3], "units": ["s", "m", "m", "m"], "axis_mins": [9, 0.001, 0.002, 0.003]}
    volume = read_nrrd(write(tmp_path / "a.nrrd", np.stack([DATA, DATA]), spacings=[2, 0.001, 0.002, 0.003], **fields))
    assert spacing(volume) == (1, 2, 3) and volume.time_step == 2
    np.testing.assert_allclose(volume.affine[:3, 3], (-1.5, -3, 4.5))


def test_units_of_space(tmp_path: Path) -> None:
    volume = read_nrrd(write(tmp_path / "a.nrrd", **oriented(space_units=["cm", "cm", "cm"])))
    assert spacing(volume) == pytest.approx((10, 20, 40))


@pytest.mark.parametrize("kind", ["list", "time", "vector"])
@pytest.mark.parametrize("first", [True, False])
def test_other_axis_becomes_the_last(tmp_path: Path, kind: str, first: bool) -> None:
    data = np.stack([DATA, DATA + 1], 0 if first else -1)
    none = np.full((1, 3), np.nan)
    directions = np.concatenate([none, DIRECTIONS] if first else [DIRECTIONS, none])
    kinds = [kind, *["domain"] * 3] if first else [*["domain"] * 3, kind]
    volume = read_nrrd(write(tmp_path / "a.nrrd", data, **oriented(space_directions=directions, kinds=kinds)))
    np.testing.assert_array_equal(volume.array, np.stack([DATA, DATA + 1], -1))
    np.testing.assert_allclose(volume.affine[:3, :3] @ VOXEL + volume.affine[:3, 3], LANDMARK * (-1, -1, 1))
    spacings = [np.nan, 1, 2, 3] if first else [1, 2, 3, np.nan]
    volume = read_nrrd(write(tmp_path / "a.nrrd", data, spacings=spacings, kinds=kinds))
    assert volume.array.shape == (5, 6, 7, 2) and spacing(volume) == (1, 2, 3)


def test_two_axes(tmp_path: Path) -> None:
    volume = read_nrrd(write(tmp_path / "a.nrrd", DATA[..., 0], spacings=[2, 3]))
    assert volume.array.shape == (5, 6, 1) and spacing(volume) == (2, 3, 1)


def test_detached_data(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nhdr", detached=True, **oriented())
    volume = open_image(path)
    np.testing.assert_array_equal(volume.array, DATA)
    data = volume.files[1]
    assert volume.files[0] == path and data.parent == tmp_path
    data.unlink()
    assert f"its data file {data.name} is missing" in error_of(path)
    path.write_text(path.read_text().replace(data.name, "../secret.raw"))
    assert "lies outside its folder" in error_of(path)


@pytest.mark.parametrize("kind", ["RGB-color", "complex", "3D-symmetric-matrix"])
def test_kinds_that_are_refused(tmp_path: Path, kind: str) -> None:
    data = np.stack([DATA, DATA])
    path = write(tmp_path / "a.nrrd", data, spacings=[1, 1, 2, 3], kinds=[kind, "domain", "domain", "domain"])
    assert "give a magnitude volume" in error_of(path)


def test_files_that_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", **oriented("scanner-xyz"))
    assert "its space scanner-xyz is not known" in error_of(path)
    path.write_bytes(path.read_bytes()[:-30])
    error_of(path)
    path.write_text("text")
    error_of(path)
    path.write_bytes(b"")
    error_of(path)
    assert "No such file" in error_of(tmp_path / "none.nrrd")
    assert "its affine" in error_of(write(path, **oriented(space_directions=DIRECTIONS * [[1], [1], [0]])))


def test_without_pynrrd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.nrrd", **oriented())
    original = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name == "nrrd":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert "pip install 'mri-d3gm[nrrd]'" in error_of(path)


@pytest.mark.parametrize(
    "fields, seconds",
    [
        ({"units": ["mm", "mm", "mm", "s"]}, 2.5),
        ({"units": ["mm", "mm", "mm", "ms"]}, 0.0025),
        ({"units": ["mm", "mm", "mm", "fortnight"]}, None),
        ({}, None),
        ({"units": ["mm", "mm", "mm", "s"], "kinds": ["space"] * 3 + ["list"]}, None),
    ],
)
def test_time_step_is_in_seconds(tmp_path: Path, fields: dict, seconds: float | None) -> None:
    fields = {"kinds": ["space"] * 3 + ["time"], "spacings": [1, 1, 1, 2.5]} | fields
    assert read_nrrd(write(tmp_path / "a.nrrd", np.stack([DATA, DATA], -1), **fields)).time_step == pytest.approx(seconds)


def test_without_an_origin_the_position_is_not_known(tmp_path: Path) -> None:
    assert position_known(open_image(write(tmp_path / "a.nrrd", **oriented())))
    assert not position_known(open_image(write(tmp_path / "b.nrrd", **oriented(space_origin=np.array([1, np.nan, 2])))))
    fields = oriented()
    fields.pop("space_origin")
    assert not position_known(open_image(write(tmp_path / "c.nrrd", **fields)))
