import json
import os
import shutil
import sys

import pytest
from photographs import photograph
from scans import fft2c, phantom, write_scan

from mri_d3gm.cli.reproduce import NAMES
from mri_d3gm.io.atomic import write_text
from mri_d3gm.lab.reproduce import OVERLAYS


def test_a_dry_run_needs_no_data_and_a_real_one_does(mri, tmp_path) -> None:
    code, text, error = mri("reproduce", "rain100h", "--dry-run")
    assert code == 0 and "y-crop4" in text and "32.41" in text and error == ""
    for arguments in (["rain100h"], ["rain100h", "--data", tmp_path / "none"]):
        code, text, error = mri("reproduce", *arguments)
        assert code == 2 and text == "" and error.count("\n") == 1 and "--dry-run" in error
    code, _, error = mri("reproduce", "fastmri-32x", "--dry-run")
    assert code == 2 and "one of fastmri-8x" in error and error.count("\n") == 1
    code, _, error = mri("reproduce", "rain100h", "--data", tmp_path, "-o", tmp_path / "out")
    assert code == 2 and "nothing matches RainTrainH" in error


def test_help_names_every_reproduction() -> None:
    assert all(name in NAMES for name in OVERLAYS)


def test_compare_takes_its_settings_from_the_overlay_and_refuses_bad_ones(mri, tmp_path) -> None:
    code, _, error = mri("compare", "compare-recon", "--data", tmp_path, "--dynamics", "warp", "-o", tmp_path / "out")
    assert code == 2 and "unknown; one of" in error and error.count("\n") == 1
    code, _, error = mri("compare", "compare-recon", "--data", tmp_path, "-o", tmp_path / "out")
    assert code == 2 and "nothing matches bench/kspace/brain_mprage" in error
    code, _, error = mri("compare", "compare-recon", "--data", tmp_path, "--seeds", "a")
    assert code == 2 and "--seed a: write numbers" in error
    for bad, said in ((("--steps", "0"), "evaluations must be a list"), (("--seed", "-1"), "seeds must be a list")):
        code, _, error = mri("compare", "compare-recon", "--data", tmp_path, *bad, "-o", tmp_path / "out")
        assert code == 2 and error.startswith(f"mri-d3gm: {said}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_compare_writes_to_a_folder_of_the_configurations_name(mri, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mri_d3gm.lab.compare.compare_dynamics", lambda *asked, **_: write_text(asked[2] / "report.md", "x"))
    for name, folder in (("compare-recon", "compare-recon"), ("compare-derain.json", "compare-derain")):
        (tmp_path / "runs" / folder).mkdir(parents=True)
        assert mri("compare", name, "--data", tmp_path)[:2] == (0, "x\n")


def test_a_protocol_is_looked_at_before_its_training(mri, tmp_path) -> None:
    overlay = {"sources": [{"glob": "*.nii"}], "domains": [{"glob": "*.nii"}], "pipeline": "super_resolution"}
    (tmp_path / "a.nii").touch()
    (tmp_path / "bad.json").write_text(json.dumps(overlay))
    asked = ["--data", tmp_path, "--protocol", tmp_path / "bad.json", "--train", "-o", tmp_path / "out"]
    code, _, error = mri("benchmark", "sr", *asked)
    assert code == 2 and "has no degrade" in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("asked", [("--workers", "0"), ("--files", "1"), ("--coils", "a"), ("--device", "tpu")])
def test_throughput_refuses_what_cannot_be_measured(asked: tuple[str, str], mri, tmp_path) -> None:
    code, text, error = mri("benchmark", "throughput", "-o", tmp_path / "out", *asked)
    assert code == 2 and text == "" and error.count("\n") == 1 and " ".join(asked) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_benchmarks_table_fits_the_terminal_and_shows_all_that_fits(
    count: int, width: int, mri, tmp_path, monkeypatch
) -> None:
    (tmp_path / "data").mkdir()
    for name in "ab"[:count]:
        write_scan(tmp_path / "data" / f"{name}.h5", fft2c(phantom(1, 64, 64) * (ord(name) - 90)))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((width, 24)))
    asked = ["--accels", "4", "--axes", "phase,readout", "--methods", "zero-filled,sense"]
    code, text, error = mri("benchmark", "recon", "--data", tmp_path / "data", "-o", tmp_path / "out", *asked)
    heading, *rows = text.splitlines()[:5]
    assert code == 0 and [row.split()[2] for row in rows] == ["zero-filled", "sense"] * 2, error
    assert max(map(len, [heading, *rows])) <= width and ("95 %" in heading) == (count > 1 and width > 40)
    assert ("worst" in heading and "body" in heading) == (width >= 80) and ("rss_mb" in heading) == (width == 200)
    written = (tmp_path / "out" / "table.csv").read_text().splitlines()[0].split(",")
    assert ("psnr_95" in written) == (count > 1) and "slice-max psnr" in written and "table.csv" in text


def test_without_matplotlib_commands_write_their_tables_and_say_how_to_get_charts(mri, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = write_scan(tmp_path / "a.h5")
    asked = ["--accel", "4", "--axis", "phase", "--method", "zero-filled"]
    for arguments, table, chart in (
        (["benchmark", "recon", "--data", path, *asked], "table.md", "table.png"),
        (["stability", path, "--accel", 4, "--steps", 1, "--solver", "posterior"], "discrepancy.md", "discrepancy.png"),
    ):
        out = tmp_path / table
        code, text, error = mri(*arguments, "-o", out)
        assert code == 0 and (out / table).exists() and not (out / chart).exists() and chart not in text
        assert error.splitlines()[-1].endswith("pip install 'mri-d3gm[lab]'") and "Traceback" not in error


@pytest.mark.parametrize("protocol", ["y-crop4", "rgb", None])
def test_the_protocols_own_metric_leads(protocol: str | None, tmp_path, mri) -> None:
    for seed in (1, 2):
        photograph(tmp_path / f"{seed}.png", seed=seed)
    domain = {"domain": "any", "glob": "*.png", "degrade": "rain-light"}
    overlay = {"task": "derain", "pipeline": "restoration", "domains": [domain], "sampling": {"steps": 100, "samples": 1}}
    (tmp_path / "mine.json").write_text(json.dumps(overlay | ({"protocol": protocol} if protocol else {})))
    asked = ["--data", tmp_path, "--protocol", tmp_path / "mine.json", "-o", tmp_path / "out", "--device", "cpu"]
    code, text, error = mri("benchmark", "restore", *asked, "--method", "median,d3gm", "--samples", "2")
    leading = protocol or "y-uint8"
    assert code == 0 and all(line.endswith(f" dB {leading}") for line in error.splitlines() if " dB" in line), error
    header = (tmp_path / "out" / "table.csv").read_text().splitlines()[0].split(",")
    assert header[3:5] == [f"{leading} psnr", f"{leading} psnr_95"]
    meant = f"{tmp_path / 'mine.json'} is meant for 100 evaluations a draw, 1 draw"
    assert f"\nd3gm: 1 evaluation a draw, 2 draws; {meant}\n" in text
