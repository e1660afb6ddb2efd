from pathlib import Path

import pytest
from scans import fft2c, phantom, write_scan


def test_stability_writes_its_folder_and_says_what_grew(mri, tmp_path) -> None:
    path, out = write_scan(tmp_path / "a.h5"), tmp_path / "out"
    code, text, error = mri("stability", path, "--accel", 4, "-o", out, "--steps", 1, "--solver", "deterministic")
    assert code == 0, error
    assert all(Path(line).is_file() for line in text.splitlines()[:5])
    assert "(d3gm) deterministic, 1 evaluations: |delta x0| / |delta mu| = " in text.splitlines()[5]


def bad(folder: Path, kind: str) -> list[object]:
    if kind == "no such file":
        return [folder / "none.h5"]
    if kind == "its slices are":
        return [write_scan(folder / "a.h5"), "--slice", 7]
    if kind == "is empty":
        kspace = fft2c(phantom())
        kspace[0] = 0
        return [write_scan(folder / "a.h5", kspace), "--slice", 0]
    options = {
        "no weights there": ["--weights", folder / "none.safetensors"],
        "cannot be reached": ["--accel", 16],
        "unknown; one of": ["--solver", "magic"],
        "numbers separated": ["--steps", "ten"],
    }
    return [write_scan(folder / "a.h5"), *options[kind]]


@pytest.mark.parametrize(
    "kind",
    [
        *("no such file", "its slices are", "is empty", "no weights there", "cannot be reached"),
        *("unknown; one of", "numbers separated"),
    ],
)
def test_bad_input_to_stability_is_one_line_exit_2_and_nothing_written(kind: str, mri, tmp_path) -> None:
    arguments = bad(tmp_path, kind)
    code, text, error = mri(
        "stability", *arguments, *([] if "--accel" in arguments else ["--accel", 4]), "-o", tmp_path / "out"
    )
    assert code == 2 and text == "" and kind in error, error
    assert error.count("\n") == 1 and "Traceback" not in error and not (tmp_path / "out").exists()
