import gzip
import hashlib
import subprocess
import sys
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_files import slices, write_series
from read_mgh import is_mgh, read_mgh
from write_mgh import write_mgh

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import make_image, slice_axis, spacing
from mri_d3gm.io.open_image import READERS, Reader, open_image
from mri_d3gm.io.save_image import WRITERS, save_image
from mri_d3gm.io.scan import PLAIN
from mri_d3gm.runs.record import files_hash
from mri_d3gm.tasks.info import facts_of_file

DATA = np.arange(1, 61, dtype=np.int16).reshape(3, 4, 5)
WITHOUT_TEXT = (".mgz",)  # endings of formats that have no place for a description


def error_of(function: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "given, kept",
    [
        ((3, 4, 5), (3, 4, 5)),
        ((3, 4), (3, 4, 1)),
        ((3, 4, 5, 1), (3, 4, 5)),
        ((3, 4, 5, 1, 1), (3, 4, 5)),
        ((3, 4, 1), (3, 4, 1)),
        ((1, 4, 5), (1, 4, 5)),
        ((3, 4, 5, 2), (3, 4, 5, 2)),
        ((3, 4, 5, 2, 1), (3, 4, 5, 2)),
    ],
)
def test_shapes(given: tuple[int, ...], kept: tuple[int, ...]) -> None:
    volume = make_image("a", np.ones(given, ">f8"), np.eye(4), ())
    assert volume.array.shape == kept and volume.array.dtype == np.float32 and volume.array.dtype.isnative


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5, 1, 2), (3, 1, 1), (3, 0, 4), (1, 1, 5)])
def test_shapes_that_are_refused(shape: tuple[int, ...]) -> None:
    assert f"a.nii: has shape {shape}" in error_of(make_image, "a.nii", np.ones(shape), np.eye(4), ())


def test_voxels_that_are_refused() -> None:
    for bad in (np.nan, np.inf, 1e60):
        data = DATA.astype(float)
        data[1, 2, 3] = bad
        assert "a.nii: voxel (1, 2, 3) is NaN, Inf or too large" in error_of(make_image, "a.nii", data, np.eye(4), ())
    assert "a.nii: all voxels are zero" in error_of(make_image, "a.nii", DATA * 0, np.eye(4), ())
    for faint in (1e-40, -1e-40, 1e-39):
        assert "too small for float32" in error_of(make_image, "a.nii", DATA * faint, np.eye(4), ())
    assert make_image("a.nii", DATA * 1e-36, np.eye(4), ()).array.max() > 0
    colours = np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for data in (DATA * 1j, colours):
        assert "complex, colour or records" in error_of(make_image, "a.nii", data, np.eye(4), ())


@pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1]), np.ones((4, 4)), np.eye(3)])
def test_affines_that_are_refused(bad: np.ndarray) -> None:
    assert "a.nii: its affine" in error_of(make_image, "a.nii", DATA, bad, ())


def test_a_transposed_affine_is_refused() -> None:
    affine = np.eye(4)
    affine[:3, 3] = 10, 0, -3
    assert "is it transposed?" in error_of(make_image, "a.nii", DATA, affine.T, ())
    assert make_image("a.nii", DATA, np.linalg.inv(np.linalg.inv(affine)), ()).affine[0, 3] == pytest.approx(10)


def test_affine_of_small_voxels_is_usable() -> None:
    assert spacing(make_image("a", DATA, np.diag([1e-3, -1e-3, 1e-3, 1]), ())) == pytest.approx((1e-3, 1e-3, 1e-3))


@pytest.mark.parametrize(
    "shape, sizes, axis",
    [
        ((4, 4, 4), (1, 1, 3), 2),
        ((4, 4, 4), (1, 3, 1), 1),
        ((4, 4, 4), (3, 1, 1), 0),
        ((4, 4, 4), (1.4, 1, 1), 2),
        ((4, 4, 4), (3, 3, 1), 2),
        ((1, 4, 4), (1, 1, 9), 0),
        ((4, 1, 4), (1, 1, 1), 1),
        ((4, 4, 1), (9, 1, 1), 2),
    ],
)
def test_slice_axis(shape: tuple[int, ...], sizes: tuple[float, ...], axis: int) -> None:
    assert slice_axis(make_image("a", np.ones(shape), np.diag([*sizes, 1]), ())) == axis


def test_spacing_of_an_oblique_affine() -> None:
    turned = np.eye(4)
    turned[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, -1]]) @ np.diag([1, 2, 5])
    assert spacing(make_image("a", DATA, turned, ())) == pytest.approx((1, 2, 5))


def test_hash_is_of_all_bytes_in_order(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name * 5)
    volume = make_image("a", DATA, np.eye(4), (tmp_path / "b", tmp_path / "a"))
    assert files_hash(volume.files) == hashlib.sha256(b"bbbbbaaaaa").hexdigest()
    (tmp_path / "a").unlink()
    assert f"{tmp_path / 'a'}: cannot be read" in error_of(files_hash, volume.files)


def test_files_are_known_by_ending_or_content(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(DATA, np.eye(4)), tmp_path / "a.nii.gz")
    write_series(tmp_path / "d", slices(), name="no ending {}")
    assert open_image(tmp_path / "a.nii.gz").array.shape == (3, 4, 5)
    whole = open_image(tmp_path / "d")
    for series in (None, "4", "t2_tse"):
        np.testing.assert_array_equal(open_image(tmp_path / "d" / "no ending 1", series).array, whole.array)
    assert "choose" in error_of(open_image, tmp_path / "a.nii.gz", "4")
    (tmp_path / "b.png").write_bytes(b"\x89PNG" + bytes(200))
    assert "b.png: not an image that can be read; give .nii" in error_of(open_image, tmp_path / "b.png")
    assert "no such file" in error_of(open_image, tmp_path / "c.nii")


def formats(folder: Path) -> dict[str, Path]:
    """A file of every reader, and a folder and .zip of DICOM, by the reader's name and the ending."""
    nrrd = pytest.importorskip("nrrd")
    for ending in (".nii", ".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(DATA, np.eye(4)), folder / f"a{ending}")
    nrrd.write(str(folder / "a.nrrd"), DATA)
    item = write_series(folder / "d", slices()[:1]) / "im000.dcm"
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(item)
    files = {"NIfTI": folder / "a.nii", "NIfTI gzipped": folder / "a.nii.gz", "NRRD": folder / "a.nrrd", "DICOM": item}
    return files | {"DICOM zip": folder / "a.zip", "DICOM folder": folder / "d"}


@pytest.mark.parametrize("ending", ["", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".dcm", ".zip", ".txt"])
def test_the_content_counts_not_the_ending(tmp_path: Path, ending: str) -> None:
    for name, path in formats(tmp_path).items():
        known = [kind for kind, reader in READERS.items() if reader.recognises(path)]
        assert known == [name.split()[0]]
        if path.is_file():
            expected = open_image(path).array
            (tmp_path / name).mkdir()
            moved = path.rename(tmp_path / name / f"b{ending}")
            np.testing.assert_array_equal(open_image(moved).array, expected)


@pytest.mark.parametrize("ending", ["", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".dcm", ".zip", ".txt"])
@pytest.mark.parametrize("content", [b"", b"text " * 400, bytes(1000), b"\x1f\x8b" + bytes(50), b"PK\3\4" + bytes(900)])
def test_what_no_reader_knows_is_one_line(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"b{ending}"
    path.write_bytes(content)
    text = error_of(open_image, path)
    assert text.startswith(f"{path}: ") and "; " in text


def test_a_recogniser_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(path: Path) -> bool:
        raise zlib.error("Error -3 while decompressing data")

    monkeypatch.setitem(READERS, "made", Reader(torn, lambda path, series: make_image(path, DATA, np.eye(4), ()), (".made",)))
    (tmp_path / "a.made").write_bytes(bytes(400))
    for read in (open_image, partial(facts_of_file, how=PLAIN)):
        assert "a.made: cannot be read: while decompressing" in error_of(read, tmp_path / "a.made")


@pytest.mark.parametrize("ending", ["", ".nii.gz", ".mgz"])
def test_a_damaged_stream_is_one_line_where_mgh_is_known_too(mgh, tmp_path: Path, ending: str) -> None:
    content = bytearray(gzip.compress(np.random.default_rng(0).bytes(1000)))
    content[12:40] = bytes(28)
    (tmp_path / f"a{ending}").write_bytes(content)
    assert not is_mgh(tmp_path / f"a{ending}")
    assert f"a{ending}: " in error_of(open_image, tmp_path / f"a{ending}")


def test_what_the_source_says_stays_out_of_repr() -> None:
    image = make_image("a", DATA, np.eye(4), (), source={"PatientName": "Doe^Jane"})
    assert image.source["PatientName"] == "Doe^Jane" and "Doe" not in repr(image)


def test_endings_that_nobody_writes(tmp_path: Path) -> None:
    image = make_image("a", DATA, np.eye(4), ())
    for name in ("a.nrrd", "a", "a.gz", "nii.gz", "a.dcm"):
        assert f"{tmp_path / name}: the ending names no format" in error_of(save_image, tmp_path / name, image, 1, "")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def mgh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format that the documentation adds."""
    monkeypatch.setitem(READERS, "MGH", Reader(is_mgh, read_mgh, (".mgh", ".mgz")))
    monkeypatch.setitem(WRITERS, ".mgz", write_mgh)


@pytest.mark.parametrize("ending", [*WRITERS, ".mgz"])
@pytest.mark.parametrize("shape, step", [((3, 4, 5), None), ((3, 4, 5, 2), None), ((3, 4, 5, 2), 0.8), ((3, 4, 1, 3), 2.5)])
def test_what_is_written_comes_back(mgh, tmp_path: Path, ending: str, shape: tuple[int, ...], step: float | None) -> None:
    affine = np.array([[-0.8, 1.2, 0, -3], [0.6, 1.6, 0, 5], [0, 0, 4, 11], [0, 0, 0, 1.0]])
    image = make_image("a", np.random.default_rng(0).normal(size=shape), affine, (), "", time_step=step)
    save_image(tmp_path / f"A{ending.upper()}", image, 1, "a text")
    again = open_image(tmp_path / f"A{ending.upper()}")
    np.testing.assert_array_equal(again.array, image.array)
    np.testing.assert_allclose(again.affine, affine, atol=1e-6)
    assert again.time_step == step and again.description == ("" if ending in WITHOUT_TEXT else "a text")


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, mri_d3gm.io.open_image; "
    code += "assert not {'torch', 'pydicom', 'nibabel', 'nrrd'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
