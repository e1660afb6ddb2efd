import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from scans import fft2c, phantom, write_scan

from mri_d3gm.cli.main import COMMANDS, Commands

QUICK = ["--method", "zero-filled", "--accel", "4"]


def test_recon_writes_four_files_skips_what_is_done_and_refuses_the_rest(mri, tmp_path) -> None:
    path, out = write_scan(tmp_path / "a.h5"), tmp_path / "out"
    code, text, _ = mri("recon", path, "-o", out, "--accel", 4, "--steps", 1, "--samples", 2, "--json")
    record = json.loads(text)
    assert code == 0 and record["Draws"] == 2 and Path(record["output"]).exists()
    written = {f"a_recon{end}" for end in (".nii.gz", "_std.nii.gz", ".json", "_preview.png")}
    assert {file.name for file in out.iterdir()} == written
    code, text, error = mri("recon", path, "-o", out, "--accel", 4, "--steps", 1, "--samples", 2)
    assert code == 0 and "already done" in error and text == ""
    code, _, error = mri("recon", path, "-o", out, *QUICK)
    assert code == 2 and "--overwrite" in error
    code, text, _ = mri("recon", path, "-o", out, *QUICK, "--overwrite")
    assert code == 0 and "over zero-filled" in text
    assert not (out / "a_recon_std.nii.gz").exists(), "a std map of other draws must not stay beside the volume"


def test_one_bad_file_does_not_stop_a_folder(mri, tmp_path) -> None:
    write_scan(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_text("hello")
    write_scan(tmp_path / "c.h5")
    code, text, error = mri("recon", tmp_path, "-o", tmp_path / "out", *QUICK)
    assert code == 1 and text.count("PSNR") == 2 and "b.h5: not an HDF5 file" in error
    code, _, error = mri("recon", str(tmp_path / "[ac].h5"), "-o", tmp_path / "one.nii.gz", *QUICK)
    assert code == 2 and "must be a folder" in error


def bad_inputs(folder: Path) -> dict[str, list[object]]:
    kspace = fft2c(phantom())
    nan = kspace.copy()
    nan[0, 1, 1] = np.nan
    truncated = write_scan(folder / "truncated.h5")
    truncated.write_bytes(truncated.read_bytes()[:-1000])
    (folder / "text.h5").write_text("hello")
    (folder / "weights.safetensors").write_text("hello")
    (folder / "empty").mkdir()
    good = write_scan(folder / "good.h5")
    return {
        "no such file": [folder / "none.h5"],
        "not an HDF5 file": [folder / "text.h5"],
        "truncated": [truncated],
        "complex": [write_scan(folder / "real.h5", np.abs(kspace))],
        "needed": [write_scan(folder / "rank.h5", kspace[0])],
        "NaN or Inf": [write_scan(folder / "nan.h5", nan)],
        "all zeros": [write_scan(folder / "zeros.h5", 0 * kspace)],
        "mask": [write_scan(folder / "mask.h5", mask=np.ones(7))],
        "must be 1 or more": [good, "--accel", "0.5"],
        "cannot be reached": [good, "--accel", "16"],
        "files in this folder": [folder / "empty"],
        "no file matches": [folder / "*.nothing"],
        "no weights there": [good, "--accel", 4, "--weights", folder / "none.safetensors"],
        "not a safetensors file": [good, "--accel", 4, "--weights", folder / "weights.safetensors"],
        "no GPU": [good, "--accel", 4, "--device", "cuda"],
        "unknown; one of": [good, "--accel", 4, "--method", "magic"],
        "-o takes a folder": [good, "--accel", 4, "-o", folder / "x.nii"],
        "no such file for --coil-maps": [good, "--accel", 4, "--coil-maps", folder / "none.h5"],
    }


MESSAGES = [
    *("no such file", "not an HDF5 file", "truncated", "complex", "needed", "NaN or Inf", "all zeros", "mask"),
    *("must be 1 or more", "cannot be reached", "files in this folder", "no file matches", "no weights there"),
    *("not a safetensors file", "no GPU", "unknown; one of", "-o takes a folder", "no such file for --coil-maps"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_bad_input_is_one_line_exit_2_and_nothing_written(message: str, mri, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments, out = bad_inputs(tmp_path)[message], tmp_path / "out"
    if "-o" not in arguments:
        arguments = [*arguments, "-o", out]
    code, text, error = mri("recon", *arguments)
    assert code == 2 and text == "" and message in error
    assert error.count("\n") == 1 and "Traceback" not in error and "Usage" not in error
    assert not out.exists()


def test_full_disk_leaves_nothing(mri, tmp_path, monkeypatch) -> None:
    import nibabel

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nibabel, "save", full)
    code, _, error = mri("recon", write_scan(tmp_path / "a.h5"), "-o", tmp_path / "out", *QUICK)
    assert code == 2 and "No space left" in error
    assert not list((tmp_path / "out").iterdir())


def test_interruption_leaves_no_half_file(mri, tmp_path, monkeypatch) -> None:
    from mri_d3gm.tasks import recon

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recon, "write_sidecar", stop)
    code, _, _ = mri("recon", write_scan(tmp_path / "a.h5"), "-o", tmp_path / "out", *QUICK)
    assert code == 130
    assert not [file for file in (tmp_path / "out").iterdir() if file.name.startswith(".writing")]


def test_train_runs_a_shipped_configuration_and_refuses_bad_ones(mri, tmp_path) -> None:
    write_scan(tmp_path / "a.h5", fft2c(phantom(2, 64, 64)))
    overlay = tmp_path / "tiny.json"
    network = {"options": {"blocks": 1, "features": 8}, "_target_": "mri_d3gm.training.grow.seeded_denoiser", "seed": 0}
    settings = {"sources": [{"glob": "*.h5"}], "network_def": network, "train#trainer#steps": 2}
    overlay.write_text(json.dumps(settings | {"train#simulate#rows": 16, "train#simulate#cols": 48, "train#simulate#crop": 24}))
    code, _, error = mri("train", overlay, "--data", tmp_path, "-o", tmp_path / "run", "--device", "cpu")
    assert code == 0, error
    assert (tmp_path / "run" / "weights.safetensors").exists() and (tmp_path / "run" / "log.csv").exists()
    code, _, error = mri("train", tmp_path / "none.json", "--data", tmp_path)
    assert code == 2 and "no such configuration" in error
    code, _, error = mri("train", overlay, "--data", tmp_path / "none")
    assert code == 2 and "no such folder" in error


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("arguments", [[], ["-h"], ["a"], ["--dicom"], ["a", "--dicom", "enhanced"], ["--dicom", "a"]])
def test_every_command_takes_few_arguments_or_says_which_it_needs(name: str, arguments: list[str]) -> None:
    command = Commands("mri-d3gm").get_command(click.Context(click.Command("mri-d3gm")), name)
    try:
        found = command.make_context(name, list(arguments)).params
    except (click.UsageError, click.exceptions.Exit):
        return
    if "dicom" in found:
        assert found["dicom"] == {1: None, 3: "enhanced"}.get(len(arguments), "classic")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; import mri_d3gm.cli.main; print([m for m in ('torch', 'monai', 'sigpy', 'nibabel') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert output.stdout.strip() == "[]"


def test_written_files_have_the_users_permissions(mri, tmp_path) -> None:
    mri("recon", write_scan(tmp_path / "a.h5"), "-o", tmp_path / "out", *QUICK)
    mode = stat.S_IMODE((tmp_path / "out" / "a_recon.nii.gz").stat().st_mode)
    assert mode & stat.S_IRUSR and mode & stat.S_IRGRP


def test_quality_sets_what_is_not_given(mri, tmp_path) -> None:
    path = write_scan(tmp_path / "a.h5")
    code, text, _ = mri("recon", path, "-o", tmp_path / "fast", "--accel", 4, "--quality", "fast", "--json")
    record = json.loads(text)
    assert code == 0 and record["Draws"] == 1 and record["Trust"]["Mode"] == "fast"
    code, text, _ = mri("recon", path, "-o", tmp_path / "best", "--accel", 4, "--quality", "best", "--samples", 2, "--json")
    record = json.loads(text)
    assert code == 0 and record["Draws"] == 2 and record["Trust"]["Mode"] == "full"
    code, _, error = mri("recon", path, "-o", tmp_path / "none", "--quality", "superb")
    assert code == 2 and "one of fast, default, best" in error and not (tmp_path / "none").exists()


def test_a_fault_of_the_software_has_a_code_of_its_own(mri, tmp_path, monkeypatch) -> None:
    """1 says that some inputs could not be used, after which a workflow goes on."""
    from mri_d3gm.runs import manifest

    monkeypatch.setattr(manifest, "read_frozen", None)
    code, text, error = mri("batch", "--status", tmp_path)
    assert (code, text) == (3, "") and error.startswith("Traceback") and "TypeError" in error


def test_a_fault_of_the_software_in_one_of_many_does_not_stop_the_rest(mri, tmp_path, monkeypatch) -> None:
    """It is one line that names its kind; the same input alone shows where it is."""
    from mri_d3gm.tasks import recon

    def reconstruct(path: Any, *arguments: Any, **options: Any) -> Any:
        if Path(path).name == "a.h5":
            raise ZeroDivisionError("by\nzero")
        return work(path, *arguments, **options)

    work = recon.reconstruct_file
    monkeypatch.setattr(recon, "reconstruct_file", reconstruct)
    options = ["-o", tmp_path / "out", "--method", "zero-filled"]
    write_scan(tmp_path / "a.h5")
    write_scan(tmp_path / "b.h5")
    code, text, error = mri("recon", tmp_path, *options)
    assert code == 1 and text.count("b_recon") == 1 and "Traceback" not in error
    assert f"{tmp_path / 'a.h5'}: a fault of the software, ZeroDivisionError: by zero" in error and error.count("\n") == 3
    code, text, error = mri("recon", tmp_path / "a.h5", *options)
    assert (code, text) == (3, "") and error.startswith("Traceback")
