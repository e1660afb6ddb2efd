import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import save, slices, stack, write_enhanced, write_series
from pydicom.uid import JPEG2000Lossless
from scans import phantom

QUICK = ["--method", "cubic", "--scale", "2"]


def volume(path: Path, array: np.ndarray | None = None) -> Path:
    array = 200 * phantom(3, 20, 24).transpose(1, 2, 0) if array is None else array
    nibabel.save(nibabel.Nifti1Image(array.astype(np.float32), np.diag([1, 1, 4, 1])), path)
    return path


def test_sr_writes_four_files_skips_what_is_done_and_refuses_the_rest(mri, tmp_path) -> None:
    path, out = volume(tmp_path / "a.nii.gz"), tmp_path / "out"
    options = ["--scale", 2, "--steps", 1, "--samples", 2]
    code, text, error = mri("sr", path, "-o", out, *options, "--json")
    assert code == 0, error
    record = json.loads(text)
    assert record["Matrix"] == [40, 48, 3] and Path(record["output"]).exists()
    assert {file.name for file in out.iterdir()} == {"a_sr.nii.gz", "a_sr_std.nii.gz", "a_sr.json", "a_sr_preview.png"}
    code, text, error = mri("sr", path, "-o", out, *options)
    assert code == 0 and "already done" in error and text == ""
    code, _, error = mri("sr", path, "-o", out, *QUICK)
    assert code == 2 and "--overwrite" in error
    code, text, _ = mri("sr", path, "-o", out, *QUICK, "--overwrite")
    assert code == 0 and "20x24x3 to 40x48x3" in text and not (out / "a_sr_std.nii.gz").exists()


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_the_input_is_never_replaced(options: list[str], mri, tmp_path) -> None:
    path = volume(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(path)
    before = path.read_bytes()
    for name in ("a.nii.gz", "b.nii.gz"):
        code, _, error = mri("sr", path, "-o", tmp_path / name, *QUICK, *options)
        assert code == 2 and "is the input itself" in error and error.count("\n") == 1
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", ["folder", "file", "enhanced"])
def test_dicom_goes_in(kind: str, mri, tmp_path) -> None:
    source = tmp_path / "series"
    path = write_enhanced(tmp_path / "e.dcm") if kind == "enhanced" else write_series(source)
    if kind == "file":
        path = sorted(source.iterdir())[2]
    code, text, error = mri("sr", path, "-o", tmp_path / "out", *QUICK)
    assert code == 0 and "to 16x12x5" in text, error


def test_several_series_are_listed_and_one_is_chosen(mri, tmp_path) -> None:
    write_series(tmp_path / "s", slices())
    write_series(tmp_path / "s", slices(SeriesInstanceUID="1.2.9", SeriesNumber=9, SeriesDescription="flair"), "x{:03d}.dcm")
    code, _, error = mri("sr", tmp_path / "s", "-o", tmp_path / "out", *QUICK)
    assert code == 2 and "t2_tse" in error and "flair" in error and "--series" in error and error.count("\n") == 1
    code, text, _ = mri("sr", tmp_path / "s", "-o", tmp_path / "out", "--series", 9, *QUICK)
    assert code == 0 and "s_sr.nii.gz" in text


def bad(folder: Path, kind: str) -> list[object]:
    items = slices()
    if kind == "missing slice":
        return [write_series(folder / "s", items[:2] + items[3:])]
    if kind == "mixed series":
        return [write_series(folder / "s", items[:4] + slices(data=stack()[:, :, :4])[4:])]
    if kind == "truncated":
        write_series(folder / "s")
        victim = sorted((folder / "s").iterdir())[0]
        victim.write_bytes(victim.read_bytes()[:-40])
        return [folder / "s"]
    if kind == "compressed":
        items[0].file_meta.TransferSyntaxUID = JPEG2000Lossless
        items[
            0
        ].PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00abcd\xfe\xff\xdd\xe0\x00\x00\x00\x00"
        items[0]["PixelData"].VR, items[0]["PixelData"].is_undefined_length = "OB", True
        for number, item in enumerate(items):
            save(item, folder / "s" / f"{number}.dcm")
        return [folder / "s"]
    if kind == "empty folder":
        (folder / "s").mkdir()
        return [folder / "s"]
    if kind == "not finite":
        array = np.ones((8, 8, 2))
        array[3, 4, 1] = np.nan
        return [volume(folder / "a.nii.gz", array)]
    good = volume(folder / "a.nii.gz")
    return {
        "missing": [folder / "none.nii.gz"],
        "text": [Path(__file__)],
        "scale": [good, "--scale", 3],
        "operator": [good, "--operator", "magic"],
        "method": [good, "--method", "magic"],
        "slices": [good, "--slices", "9"],
        "slice axis": [good, "--slice-axis", 5],
        "series": [good, "--series", 3],
        "weights": [good, "--weights", folder / "none.safetensors"],
        "tau": [good, "--tau", -1],
        "large tau": [good, "--tau", "1e300"],
        "large": [volume(folder / "b.nii.gz", 3.4e38 * (np.indices((8, 8, 2)).sum(0) % 5 > 2)), "--method", "sinc"],
    }[kind]


MESSAGES = {
    "missing slice": "after", "mixed series": "differ", "truncated": "pixel", "compressed": "im", "empty folder": "DICOM",
    "not finite": "NaN", "missing": "no such file", "text": "not an image", "scale": "one of 2, 4", "operator": "unknown",
    "method": "unknown; one of", "slices": "leaves none", "slice axis": "one of 0, 1, 2", "series": "--series 3",
    "weights": "no weights there", "tau": "tau", "large tau": "tau", "large": "too large for float32",
}  # fmt: skip


@pytest.mark.parametrize("kind", MESSAGES)
def test_bad_volumes_are_one_line_exit_2_and_nothing_written(kind: str, mri, tmp_path) -> None:
    code, text, error = mri("sr", *bad(tmp_path, kind), "-o", tmp_path / "out")
    assert code == 2 and text == "" and MESSAGES[kind] in error, error
    assert error.count("\n") == 1 and "Traceback" not in error and "Usage" not in error
    assert not (tmp_path / "out").exists()


def test_folders_of_volumes_globs_and_folders_of_dicom_go_in(mri, tmp_path) -> None:
    (tmp_path / "many").mkdir()
    for name in ("a.nii.gz", "b.nii"):
        volume(tmp_path / "many" / name)
    (tmp_path / "many" / "notes.txt").write_text("")
    write_series(tmp_path / "series")
    code, text, error = mri("sr", tmp_path / "many", tmp_path / "series", "-o", tmp_path / "one", *QUICK)
    assert code == 0 and text.count(" to ") == 3, error
    assert {"a_sr.nii.gz", "b_sr.nii.gz", "series_sr.nii.gz"} <= {file.name for file in (tmp_path / "one").iterdir()}
    code, text, error = mri("sr", tmp_path / "many" / "*.nii", "-o", tmp_path / "two", *QUICK)
    assert code == 0 and text.count(" to ") == 1, error
    code, _, error = mri("sr", tmp_path / "many" / "*.nrrd", "-o", tmp_path / "two", *QUICK)
    assert code == 2 and "no file matches" in error


def test_a_voxel_a_hair_below_zero_decides_nothing(mri, tmp_path) -> None:
    array = 200 * phantom(3, 40, 48).transpose(1, 2, 0)
    array[0, 0, 0] = 0
    nearly = np.where(np.arange(array.size).reshape(array.shape) == 0, -1e-4, array)
    found = []
    for name, values in (("a", array), ("b", nearly)):
        code, _, error = mri(
            "sr", volume(tmp_path / f"{name}.nii", values), "-o", tmp_path / "out", "--scale", 2, "--samples", 1
        )
        assert code == 0, error
        found.append(nibabel.load(tmp_path / "out" / f"{name}_sr.nii.gz").get_fdata())
    assert found[1].min() >= 0
    np.testing.assert_allclose(*found, atol=1e-3 * array.max())


def test_negative_values_keep_sign_and_range(mri, tmp_path) -> None:
    image = phantom(3, 20, 24).transpose(1, 2, 0)
    scored = (image - image.mean()) / image.std()
    few = np.where(np.arange(24)[:, None] % 7 == 0, image - 0.2, image)
    for name, array, near in (
        ("zscore", scored, 0.02),
        ("few", few, 1e-3),
    ):  # magnitudes above a background have their mean raised
        code, _, error = mri(
            "sr", volume(tmp_path / f"{name}.nii", array), "-o", tmp_path / "out", "--scale", 2, "--samples", 1,
            "--operator", "truncation",
        )  # fmt: skip
        assert code == 0, error
        found = nibabel.load(tmp_path / "out" / f"{name}_sr.nii.gz").get_fdata()
        assert found.min() < 0.8 * array.min() and found.mean() == pytest.approx(array.mean(), abs=near * np.ptp(array))
        blocks = found.reshape(20, 2, 24, 2, 3).mean((1, 3))
        assert np.corrcoef(blocks.ravel(), array.ravel())[0, 1] > 0.95
