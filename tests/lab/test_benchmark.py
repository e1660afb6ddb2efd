"""Benchmark rows: named by their file's place, measured once for what decides them, in a table that fits the terminal."""

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from photographs import photograph
from scans import fft2c, phantom, write_scan

from mri_d3gm.cli.benchmark import RECON, numbers
from mri_d3gm.cli.compare import COMMAND as COMPARE
from mri_d3gm.errors import InputError
from mri_d3gm.io.image import Image
from mri_d3gm.lab import benchmark
from mri_d3gm.lab.benchmark import (
    central_slices,
    folder_protocol,
    protocol_of,
    restoration_jobs,
    run_benchmark,
    summarise,
)
from mri_d3gm.lab.compare import over_seeds
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights
from mri_d3gm.runs import record
from mri_d3gm.shipped import shipped

ONE = folder_protocol([4.0], ["phase"])


def scans(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_scan(folder / name, fft2c(phantom(1, 32, 32) * (1 + index) + 0.01))
    return folder


def measured(data: Path, out: Path, protocol: dict = ONE, methods: tuple[str, ...] = ("zero-filled",), **options) -> list[dict]:
    """The rows that a benchmark measures and does not find."""
    rows: list[dict] = []
    run_benchmark("reconstruction", data, out, protocol, methods, options, on_row=rows.append)
    return rows


def test_tables_are_written_and_rows_are_not_repeated(tmp_path) -> None:
    data, out = scans(tmp_path / "data", "a.h5", "b.h5"), tmp_path / "out"
    methods = ("zero-filled", "regression")
    assert [row["method"] for row in measured(data, out, methods=methods)] == [*methods, *methods]
    assert all((out / name).exists() for name in ("rows.jsonl", "table.md", "table.csv"))
    with open(out / "table.csv", newline="") as file:
        first = list(csv.DictReader(file))
    assert [row["method"] for row in first] == list(methods) and {row["files"] for row in first} == {"2"}
    assert measured(data, out, methods=methods) == []
    with open(out / "table.csv", newline="") as file:
        assert list(csv.DictReader(file)) == first


def test_files_of_one_name_in_two_folders_are_two_rows(tmp_path) -> None:
    data = scans(tmp_path / "data", "x/a.h5", "y/a.h5", "a.h5")
    rows = measured(data, tmp_path / "out")
    assert [row["file"] for row in rows] == ["a.h5", "x/a.h5", "y/a.h5"]
    assert measured(data / "a.h5", tmp_path / "single")[0]["file"] == "a.h5"
    pictures = tmp_path / "pictures"
    for name in ("x", "y"):
        (pictures / name).mkdir(parents=True)
        photograph(pictures / name / "a.png", seed=ord(name))
    found: list[dict] = []
    domains = [{"domain": "rain", "degrade": "rain-light", "glob": "*/a.png"}]
    table = run_benchmark(
        "restoration", pictures, tmp_path / "r", {"task": "derain", "domains": domains}, ["identity"], {}, on_row=found.append
    )
    assert [row["file"] for row in found] == ["x/a.png", "y/a.png"] and table[0]["files"] == 2


def test_copies_of_a_file_are_one_subject_and_count_once(tmp_path) -> None:
    data = scans(tmp_path / "data", "a.h5", "b.h5")
    (data / "copy.h5").write_bytes((data / "a.h5").read_bytes())
    rows = measured(data, tmp_path / "out", methods=("zero-filled", "sense"))
    assert [row["file"] for row in rows] == ["a.h5", "a.h5", "b.h5", "b.h5"]
    (data / "b.h5").unlink()
    table = run_benchmark("reconstruction", data, tmp_path / "out", ONE, ["zero-filled"], {})
    assert table[0]["files"] == 1 and "psnr_95" not in table[0]


def test_a_file_that_is_asked_for_twice_counts_once(tmp_path) -> None:
    data = scans(tmp_path / "data", "a.h5", "b.h5")
    one = {"glob": "*.h5", "accel": 4, "axes": ["phase", "phase"]}
    protocol = {"domains": [one, one | {"accel": 4.0}, one | {"glob": ["b.h5", "*.h5"], "axes": "phase"}]}
    methods = ["zero-filled", "zero-filled"]
    (line,) = run_benchmark("reconstruction", data, tmp_path / "out", protocol, methods, {})
    assert line["files"] == 2 and len((tmp_path / "out" / "rows.jsonl").read_text().splitlines()) == 2
    volume = nibabel.Nifti1Image(phantom(3, 32, 32).transpose(1, 2, 0).astype(np.float32), np.eye(4))
    nibabel.save(volume, data / "a.nii.gz")
    ways = [{"domain": "brain", "glob": "*.nii.gz", "degrade": "truncation", "operator": way} for way in ("auto", "unknown")]
    with pytest.raises(InputError, match=r"a\.nii\.gz: is measured in two ways under one name"):
        run_benchmark("super_resolution", data, tmp_path / "sr", {"domains": ways}, ["linear"], {})
    assert not (tmp_path / "sr").exists()


def test_a_list_that_is_given_twice_is_one_list() -> None:
    def parsed(*arguments: str) -> dict:
        return RECON.make_context("recon", ["--data", "d", *arguments]).params

    assert parsed("--method", "a", "--methods", "b,c")["method"] == "a,b,c"
    assert parsed("--accel", "4,8,4")["accel"] == "4,8" and numbers("--accel", "4,4.0", float) == [4]
    assert parsed()["method"].startswith("zero-filled,") and parsed()["accel"] == "8,16"
    assert COMPARE.make_context("compare", ["c", "--data", "d"]).params["seed"] is None


def weights(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    save_weights(folder / "any.safetensors", Denoiser(options={"blocks": 1, "features": 8}), {"steps": 1})
    return folder / "any.safetensors"


CHANGES: dict[str, Callable[..., dict]] = {
    "content": lambda data, _: write_scan(data / "a.h5", fft2c(phantom(2, 32, 32) + 0.01)) and {},
    "software": lambda _, monkeypatch: monkeypatch.setattr(record, "_installed", lambda name: "99") or {},
    "weights": lambda data, _: {"weights": weights(data.parent, 1)},
    "options": lambda *_: {"center_fraction": 0.2},
    "protocol": lambda *_: {"protocol": folder_protocol([2.0], ["phase"])},
    "axis": lambda *_: {"protocol": folder_protocol([4.0], ["readout"])},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_a_figure_has_it_measured_again_and_its_old_row_kept(change: str, tmp_path, monkeypatch) -> None:
    data, out = scans(tmp_path / "data", "a.h5"), tmp_path / "out"
    same = {"methods": ["regression"], "weights": weights(tmp_path, 0)}
    assert len(measured(data, out, **same)) == 1
    os.utime(data / "a.h5", ns=(1, 1))
    assert measured(data, out, **same, device="cpu", threads=1) == [], "neither a file's time nor where it is done decides"
    changed = same | CHANGES[change](data, monkeypatch)
    assert len(measured(data, out, **changed)) == 1 and measured(data, out, **changed) == []
    assert len((out / "rows.jsonl").read_text().splitlines()) == 2


def test_the_clean_picture_and_the_degradation_decide_a_row_too(tmp_path) -> None:
    for name in ("rain-1.png", "norain-1.png"):
        photograph(tmp_path / name)
    entry = {"domain": "rain", "glob": "rain-*.png", "target": [".*/rain-", f"{tmp_path.name}/norain-"]}

    def count(entry: dict) -> int:
        rows: list[dict] = []
        run_benchmark(
            "restoration",
            tmp_path,
            tmp_path / "out",
            {"task": "derain", "domains": [entry]},
            ["identity"],
            {},
            on_row=rows.append,
        )
        return len(rows)

    assert [count(entry), count(entry)] == [1, 0]
    photograph(tmp_path / "norain-1.png", seed=1)
    assert [count(entry), count(entry)] == [1, 0]
    made = {"domain": "rain", "glob": "rain-*.png", "degrade": "rain-light"}
    assert [count(made), count(made | {"degrade": "rain-heavy"}), count(made)] == [1, 1, 0]


def test_new_figures_never_stand_under_an_old_header(tmp_path, monkeypatch) -> None:
    data, out = scans(tmp_path / "data", "a.h5"), tmp_path / "out"
    measured(data, out)
    plain = benchmark.volume_figures
    monkeypatch.setattr(benchmark, "volume_figures", lambda record: {"new psnr": 1.0} | plain(record))
    measured(data, out, folder_protocol([2.0], ["phase"]))
    old, new = (json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines())
    assert "new psnr" not in old and new["new psnr"] == 1.0
    assert old["accel"] == 4 and new["accel"] == 2 and 5 < old["psnr"] < 60 and 5 < new["psnr"] < 60


def test_a_line_that_was_cut_short_is_measured_again(tmp_path) -> None:
    data, out = scans(tmp_path / "data", "a.h5", "b.h5"), tmp_path / "out"
    measured(data, out)
    text = (out / "rows.jsonl").read_text()
    (out / "rows.jsonl").write_text(text[:-40])
    assert [row["file"] for row in measured(data, out)] == ["b.h5"]
    assert measured(data, out) == []


def test_evaluations_are_all_of_a_slice_and_slices_those_around_the_middle(tmp_path) -> None:
    options = {"steps": 2, "samples": 3, "weights": weights(tmp_path, 0)}
    (row,) = measured(scans(tmp_path / "data", "a.h5"), tmp_path / "out", ONE, ("d3gm",), trust="fast", **options)
    assert row["evaluations"] == 2 * 3 + 1
    source = Image(np.zeros((8, 8, 7), np.float32), np.diag([1.0, 1, 4, 1]), (), "")
    assert [central_slices(source, count) for count in (3, 4, 9)] == ["2:5", "1:5", "0:9"]


def test_an_interval_needs_two_files() -> None:
    rows = [{"file": name, "method": "tv", "psnr": psnr, "psnr_worst": psnr - 3} for name, psnr in (("a", 30.0), ("b", 32.0))]
    assert summarise(rows[:1], ["method"]) == [{"method": "tv", "files": 1, "psnr": 30.0, "psnr_worst": 27.0}]
    (line,) = summarise(rows, ["method"])
    assert line["psnr"] == 31 and line["psnr_95"] == "30.00 to 32.00" and line["psnr_worst"] == 27


def test_a_file_that_comes_back_exactly_is_counted_and_not_averaged() -> None:
    figures = {"a": 30.0, "b": math.inf, "c": 32.0}
    rows = [{"file": file, "method": "d3gm", "psnr": psnr, "ssim": 1.0, "rgb psnr": math.inf} for file, psnr in figures.items()]
    (line,) = summarise(rows, ["method"])
    assert line["psnr"] == 31 and line["psnr_exact"] == 1 and line["psnr_95"] == "30.00 to 32.00"
    assert line["rgb psnr"] == math.inf and line["rgb psnr_exact"] == 3
    names = {"dynamics": "d3gm", "evaluations": 1}
    (table,) = over_seeds([line | names | {"seed": seed} for seed in (0, 1)])
    assert table["psnr"] == 31 and table["psnr_exact"] == 2 and table["psnr_std"] == 0 and table["rgb psnr_exact"] == 6


def test_memory_is_that_of_the_process_and_not_of_the_one_that_started_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("mri_d3gm.lab.benchmark.peak_memory", lambda process: 7.0 if process == os.getpid() else 0.0)
    (row,) = measured(scans(tmp_path / "data", "a.h5"), tmp_path / "out")
    assert row["rss_mb"] == 7


def test_what_cannot_be_measured_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="nothing matches"):
        measured(tmp_path, tmp_path / "out")
    write_scan(tmp_path / "a.h5", fft2c(phantom(1, 32, 32)) * ([1, 0] * 16))
    with pytest.raises(InputError, match=r"a\.h5: undersampled"):
        measured(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="no domains"):
        protocol_of("weights-derain")
    with pytest.raises(InputError, match="open-sr: has no task"):
        run_benchmark("restoration", tmp_path, tmp_path / "out", protocol_of("open-sr"), ["identity"], {})


@pytest.mark.parametrize(("task", "left"), [("derain", "median"), ("dehaze", "dark-channel")])
def test_methods_of_the_other_task_are_left_out(task: str, left: str, tmp_path) -> None:
    photograph(tmp_path / "a.png")
    protocol = {"task": task, "domains": [{"domain": "any", "glob": "a.png", "degrade": "haze"}]}
    jobs = restoration_jobs(tmp_path, protocol, ["identity", "median", "dark-channel", "d3gm"], {})
    assert [job.settings.method for job in jobs] == ["identity", left, "d3gm"]


BUNDLES = {
    "reconstruction": {"method": "regression", "accels": [4.0], "axes": ["phase"]},
    "super_resolution": {"method": "linear", "protocol": "tiny.json"},
    "restoration": {"method": "median", "protocol": "tiny.json"},
}


@pytest.mark.parametrize("pipeline", BUNDLES)
def test_every_bundle_evaluates_one_method_beside_the_simplest(pipeline: str, tmp_path, monkeypatch) -> None:
    scans(tmp_path, "a.h5")
    photograph(tmp_path / "a.png")
    nibabel.save(
        nibabel.Nifti1Image(phantom(3, 32, 32).transpose(1, 2, 0).astype(np.float32), np.eye(4)), tmp_path / "a.nii.gz"
    )
    entry = {"domain": "any", "glob": "a.png", "degrade": "rain-light"}
    if pipeline == "super_resolution":
        entry |= {"glob": "a.nii.gz", "degrade": "truncation"}
    (tmp_path / "tiny.json").write_text(json.dumps({"task": "derain", "domains": [entry]}))
    monkeypatch.chdir(tmp_path)
    run = {"dataset_dir": str(tmp_path), "output": str(tmp_path / "out"), **BUNDLES[pipeline]}
    parser = ConfigParser(ConfigParser.load_config_file(shipped("pipelines", pipeline, "configs", "evaluate.json")))
    parser.update(run)
    parser.get_parsed_content("run")
    with open(tmp_path / "out" / "table.csv", newline="") as file:
        assert BUNDLES[pipeline]["method"] in [row["method"] for row in csv.DictReader(file)]
