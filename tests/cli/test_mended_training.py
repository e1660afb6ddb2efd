"""Defects of trainings that a user met, each shown by the command line, the files on disk or a training's log."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mended import TINY, command
from safetensors import safe_open
from scans import fft2c, phantom, write_scan

import mri_d3gm
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights


def overlay(folder: Path, name: str = "tiny", **changes: Any) -> Path:
    """A small configuration, in a folder with data for it."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    write_scan(folder / "data" / "a.h5", fft2c(phantom(2, 64, 64)))
    settings = {"sources": [{"glob": "*.h5"}], "network_def#options": TINY, "train#trainer#steps": 2}
    settings |= {f"train#simulate#{axis}": size for axis, size in (("rows", 16), ("cols", 48), ("crop", 24))}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(settings | changes))
    return path


def training(config: Path, *options: Any) -> list[Any]:
    """The arguments of a training."""
    return ["train", config, "--data", config.parent / "data", "--device", "cpu", *options]


def record_of(weights: Path) -> dict[str, Any]:
    with safe_open(str(weights), "pt") as file:
        return json.loads(file.metadata()["record"])


def test_weights_say_how_they_were_trained(mri, tmp_path: Path) -> None:
    config = overlay(tmp_path, seed=3, **{"train#trainer#lr": 0.004})
    code, _, error = mri(*training(config, "-o", tmp_path / "run"))
    assert code == 0, error
    record = record_of(tmp_path / "run" / "weights.safetensors")
    assert record.get("precision") in ("float32", "bfloat16")
    assert (record.get("seed"), record.get("lr")) == (3, 0.004)
    assert record.get("versions", {}).get("mri-d3gm") == mri_d3gm.__version__ and "torch" in record["versions"]


def test_weights_are_readable_by_colleagues(tmp_path: Path) -> None:
    usual = os.umask(0o022)
    try:
        save_weights(tmp_path / "w.safetensors", Denoiser(options=TINY), {"steps": 1})
    finally:
        os.umask(usual)
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) == 0o644


def test_a_training_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    code, text, error = command(*training(overlay(tmp_path), "-o", tmp_path / "taken" / "run"))
    assert "Traceback" not in error and code == 2 and text == "" and error.count("\n") == 1 and "taken" in error


@pytest.mark.parametrize("change", [{"train#trainer#lr": 0.02}, {"sources": [{"glob": "a.*"}]}, {"seed": 5}])
def test_a_folder_of_another_training_is_refused_and_not_continued(change: dict[str, Any], mri, tmp_path: Path) -> None:
    assert mri(*training(overlay(tmp_path), "-o", tmp_path / "run", "--max-minutes", 0))[0] == 0
    before = (tmp_path / "run" / "weights.safetensors").read_bytes()
    code, _, error = mri(*training(overlay(tmp_path, "other", **change), "-o", tmp_path / "run"))
    assert code == 2 and error.count("\n") == 1 and "another training" in error
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == before


def test_each_configuration_has_a_folder_of_its_own(mri, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        code, _, error = mri(*training(overlay(tmp_path, name)))
        assert code == 0, error
    assert len(list((tmp_path / "runs").glob("*/weights.safetensors"))) == 2


def test_the_end_of_a_training_says_where_the_weights_are_and_whether_it_stopped_early(mri, tmp_path: Path) -> None:
    config, run = overlay(tmp_path), tmp_path / "run"
    early, late = (mri(*training(config, "-o", run, *options))[1] for options in (["--max-minutes", 0], []))
    assert str(run / "weights.safetensors") in early and str(run / "weights.safetensors") in late
    assert "0 of 2 steps" in early and "goes on" in early and "2 of 2 steps" in late and "goes on" not in late


def test_the_progress_of_a_training_goes_to_stderr(mri, tmp_path: Path) -> None:
    code, text, _ = mri(*training(overlay(tmp_path), "-o", tmp_path / "run"))
    assert code == 0 and text.count("\n") <= 1 and "━" not in text and "2/2" not in text


def test_ctrl_c_saves_a_training(tmp_path: Path) -> None:
    config, run = overlay(tmp_path, **{"train#trainer#steps": 100_000}), tmp_path / "run"
    call = [sys.executable, "-m", "mri_d3gm", "train", config, "--data", tmp_path / "data", "-o", run, "--device", "cpu"]
    with subprocess.Popen(list(map(str, call)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        waited = time.monotonic()
        while not (run / "log.csv").exists() or (run / "log.csv").read_text().count("\n") < 4:
            assert process.poll() is None and time.monotonic() - waited < 120, "it did not train"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (run / "weights.safetensors").exists() and (run / "checkpoint.pt").exists()
    rows = len((run / "log.csv").read_text().splitlines()) - 1
    assert process.returncode == 130 and "interrupted" in error and record_of(run / "weights.safetensors")["steps"] == rows
