"""Defects that a user met, each shown by the command line, the files on disk, `mri_d3gm.reconstruct` or a training's log."""

import csv
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import sigpy.mri
from dicom_files import slices as dicom_slices
from photographs import photograph
from PIL import Image
from safetensors import safe_open
from scans import fft2c, four_coils, header, phantom, write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights

ONE = {"steps": 1, "samples": 1, "device": "cpu"}
LINES = {"accel": 4, "method": "zero-filled", "device": "cpu"}
TINY = {"blocks": 1, "features": 8, "embedding": 16}


def command(*arguments: Any, columns: int = 80, before: str = "") -> tuple[int, str, str]:
    """The command in a process of its own, after some Python: exit code, stdout, stderr."""
    call = ["-c", f"{before}\nfrom mri_d3gm.cli.main import main\nmain()"] if before else ["-m", "mri_d3gm"]
    environment = os.environ | {"COLUMNS": str(columns)}
    done = subprocess.run([sys.executable, *call, *map(str, arguments)], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def volume(path: Path, frames: np.ndarray) -> Path:
    """A volume of thick slices from (slices, rows, cols), or (t, slices, rows, cols)."""
    order = (2, 3, 1, 0) if frames.ndim == 4 else (1, 2, 0)
    image = nibabel.Nifti1Image(frames.transpose(order).astype(np.float32), np.diag([1, 1, 5, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def scan(path: Path, size: float = 1.0, slices: int = 2) -> Path:
    """A scan of one coil, fully sampled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.01, (2, slices, 48, 40))
    return write_scan(path, fft2c(size * (phantom(slices) + noise[0] + 1j * noise[1])))


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def attempt(work: Callable[[], Any]) -> Any:
    """What it gives, or the error."""
    try:
        return work()
    except Exception as error:
        return error


# what was measured, and its noise


def test_lines_outside_of_what_was_encoded_are_not_withheld(tmp_path: Path) -> None:
    """At 8x of 368 columns, 45 of which hold nothing, 40 lines are measured, and only those can be withheld."""
    rows, cols, first, end = 32, 368, 23, 346
    inside = (np.arange(cols) >= first) & (np.arange(cols) < end)
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 1, rows, cols))
    kspace = fft2c(phantom(1, rows, cols) + noise[0] + 1j * noise[1]) * inside
    xml = header(rows, cols, last=end - first - 1, centre=cols // 2 - first)
    record = mri_d3gm.reconstruct(write_scan(tmp_path / "a.h5", kspace, xml), accel=8, trust="full", **ONE).record
    measured = round((end - first) / record["Sampling"]["AccelerationAchieved"])
    centre = record["Sampling"]["CentreLines"][1]
    assert measured == pytest.approx(40, abs=2) and centre > 8
    assert 0 < record["Trust"]["WithheldSamples"] <= rows * (measured - centre)


def test_the_noise_of_large_slices_of_many_coils_is_found(tmp_path: Path) -> None:
    """2^24 samples of 64 coils, far above the noise."""
    coils, size, sigma = 64, 512, 0.05
    place = np.linspace(-1, 1, size)
    image = 500 / (1 + np.exp(40 * (np.hypot(place[:, None], place) - 0.5)))
    angle = np.exp(2j * np.pi * np.arange(coils) / coils).astype(np.complex64)[:, None, None] / coils**0.5
    generator = np.random.default_rng(0)
    kspace = angle * fft2c(image)
    kspace += np.float32(sigma) * generator.standard_normal((coils, size, 2 * size), np.float32).view(np.complex64)
    mask = (np.arange(size) % 4 == 0) | (abs(np.arange(size) - size // 2) < 12)
    path = write_scan(tmp_path / "a.h5", (kspace * mask)[None], mask=mask)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["coil_maps"] = np.broadcast_to(angle, kspace.shape)
    known = {"coil_maps": str(tmp_path / "maps.h5"), "method": "zero-filled", "device": "cpu"}
    assert mri_d3gm.reconstruct(path, **known).record["Noise"]["Sigma"] == pytest.approx(sigma, rel=0.3)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("coils", [1, 4])
def test_an_empty_slice_stays_empty_and_nothing_is_said_of_it(coils: int, zero: float, tmp_path: Path) -> None:
    """The slice in the middle, by which the noise of a volume must not be judged."""
    kspace = four_coils()[[0, 0, 1]]
    kspace = kspace if coils > 1 else kspace[:, 0]
    kspace[1] = complex(zero, zero)
    scored = {"accel": 4, **ONE, "samples": 2}
    result = mri_d3gm.reconstruct(write_scan(tmp_path / "a.h5", kspace), **scored)
    rest = mri_d3gm.reconstruct(write_scan(tmp_path / "b.h5", kspace[[0, 2]]), **scored)
    for array in (result.volume, result.std):
        assert not array[1].any() and array[0].any() and array[2].any() and np.isfinite(array).all()
    assert result.record["Warnings"] == rest.record["Warnings"]
    assert result.record["Noise"] == rest.record["Noise"]


# slices in space and time


@pytest.mark.parametrize(
    ("task", "slices"), [("recon", "0:7:2"), ("recon", "::-1"), ("recon", "2:4"), ("sr", "0:7:2"), ("sr", "::-1")]
)
def test_chosen_slices_stay_where_they_were_in_space(task: str, slices: str, mri, tmp_path: Path) -> None:
    if task == "recon":
        path, options = scan(tmp_path / "a.h5", slices=7), ["--method", "zero-filled", "--accel", 2]
    else:
        path, options = volume(tmp_path / "a.nii.gz", phantom(7, 16, 20)), ["--method", "cubic", "--scale", 2]
    images = []
    for name, chosen in (("full", []), ("part", ["--slices", slices])):
        code, _, error = mri(task, path, "-o", tmp_path / f"{name}.nii.gz", *options, *chosen)
        assert code == 0, error
        images.append(nibabel.load(tmp_path / f"{name}.nii.gz"))
    full, part = images
    indices = list(range(7))[slice(*(int(index) if index else None for index in slices.split(":")))]
    np.testing.assert_array_equal(np.asarray(part.dataobj), np.asarray(full.dataobj)[..., indices])
    for new, old in enumerate(indices):
        np.testing.assert_allclose(part.affine @ [5, 3, new, 1], full.affine @ [5, 3, old, 1], atol=1e-3)
    assert part.header.get_zooms()[2] == pytest.approx(np.linalg.norm(part.affine[:3, 2]))


def test_scores_of_frames_are_those_of_as_many_slices(mri, tmp_path: Path) -> None:
    """Columns and time were mixed, so that the SSIM of a series of frames came out too high."""
    random = np.random.default_rng(0)
    frames = 300 * phantom(3, 32, 40) * np.array([1, 0.6, 0.3])[:, None, None, None]
    frames = frames + random.normal(0, 20, frames.shape) + 100
    volume(tmp_path / "data" / "frames.nii.gz", frames)
    volume(tmp_path / "data" / "slices.nii.gz", frames.reshape(9, 32, 40))
    domains = [{"domain": name, "glob": f"{name}.nii.gz", "degrade": "truncation"} for name in ("frames", "slices")]
    (tmp_path / "two.json").write_text(json.dumps({"domains": domains}))
    options = ["--data", tmp_path / "data", "--protocol", tmp_path / "two.json", "--methods", "cubic"]
    code, _, error = mri("benchmark", "sr", *options, "-o", tmp_path / "out")
    assert code == 0, error
    one, two = table(tmp_path / "out")
    for name in ("psnr", "ssim", "ssim_body", "haarpsi", "nmse", "psnr_worst"):
        assert float(one[name]) == pytest.approx(float(two[name]), abs=2e-4), name


def test_the_time_step_of_frames_stays(mri, tmp_path: Path) -> None:
    path = volume(tmp_path / "a.nii.gz", np.stack([100 * phantom(3, 16, 16)] * 3))
    code, _, error = mri("sr", path, "-o", tmp_path / "out.nii.gz", "--scale", 2, "--method", "cubic")
    assert code == 0, error
    written = nibabel.load(tmp_path / "out.nii.gz").header
    assert written.get_zooms()[3] == 2.5 and written.get_xyzt_units() == ("mm", "sec")


# files that were replaced


def other_lines(path: Path) -> None:
    """In the place of a full scan one that was undersampled."""
    mask = (np.arange(64) % 2 == 0) | (abs(np.arange(64) - 32) < 6)
    write_scan(path, 3 * four_coils()[:, 0] * mask, mask=mask)


REPLACED: dict[str, tuple[str, Callable[[Path], Any], Callable[[Path], Any], list[Any]]] = {
    "recon": ("a.h5", lambda p: write_scan(p, four_coils()[:, 0]), other_lines, ["--method", "zero-filled"]),
    "sr": (
        "a.nii.gz", lambda p: volume(p, phantom(2, 16, 20)), lambda p: volume(p, 3 * phantom(2, 16, 20)),
        ["--method", "cubic", "--scale", 2],
    ),
    "restore": (
        "a.png", photograph, lambda p: photograph(p, seed=1), ["--task", "derain", "--method", "median"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", REPLACED)
def test_a_file_replaced_between_two_runs_of_one_process_is_read_again(task: str, mri, tmp_path: Path) -> None:
    name, before, after, options = REPLACED[task]
    path, other = tmp_path / name, tmp_path / f"b{name}"
    results = []
    for number, (file, make) in enumerate(((path, before), (path, after), (other, after))):
        make(file)
        ending = ".nii.gz" if task != "restore" else ".png"
        result = tmp_path / f"out{number}{ending}"
        code, _, error = mri(task, file, "-o", result, *options)
        assert code == 0, error
        results.append(voxels(result) if task != "restore" else np.asarray(Image.open(result)))
    assert np.array_equal(results[1], results[2]) and not np.array_equal(results[0], results[1])


# benchmarks


def table(out: Path) -> list[dict[str, str]]:
    with open(out / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


def benchmark(mri: Callable[..., tuple[int, str, str]], data: Path, out: Path) -> list[str]:
    """The lines that `benchmark recon` says of what it measured."""
    options = ["--accels", "4", "--axes", "phase", "--methods", "zero-filled"]
    code, _, error = mri("benchmark", "recon", "--data", data, "-o", out, *options)
    assert code == 0, error
    return [line for line in error.splitlines() if "dB" in line]


def test_two_files_of_one_name_in_two_folders_are_two_rows_of_a_benchmark(mri, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    scan(data / "x" / "a.h5")
    assert len(benchmark(mri, data, out)) == 1
    scan(data / "y" / "a.h5", 2.0)
    assert len(benchmark(mri, data, out)) == 1 and table(out)[0]["files"] == "2"


def test_rows_of_two_benchmarks_in_one_folder_do_not_spoil_each_other(mri, tmp_path: Path) -> None:
    """Rows of other columns stood under the first one's header, and were measured again and again."""
    data, out = tmp_path / "data", tmp_path / "out"
    scan(data / "a.h5")
    volume(data / "a.nii.gz", 300 * phantom(3, 32, 32) + 50)
    overlay = tmp_path / "one.json"
    overlay.write_text(json.dumps({"domains": [{"domain": "brain", "glob": "a.nii.gz", "degrade": "truncation"}]}))
    sr = ["benchmark", "sr", "--data", data, "--protocol", overlay, "-o", out, "--methods", "cubic"]
    assert len(benchmark(mri, data, out)) == 1
    assert "dB" in mri(*sr)[2]
    first = table(out)
    assert "dB" not in mri(*sr)[2] and table(out) == first


def test_a_row_of_another_protocol_or_another_content_is_measured_again(mri, tmp_path: Path) -> None:
    data, out, overlay = tmp_path / "data", tmp_path / "out", tmp_path / "one.json"
    image = 300 * phantom(5, 32, 32) + np.random.default_rng(0).normal(100, 30, (5, 32, 32))
    psnr = []
    for central, size in ((5, 1.0), (1, 1.0), (1, np.linspace(1, 2, 32))):
        volume(data / "a.nii.gz", image * size)
        domain = {"domain": "brain", "glob": "a.nii.gz", "degrade": "truncation", "central": central}
        overlay.write_text(json.dumps({"domains": [domain]}))
        options = ["--protocol", overlay, "--methods", "cubic"]
        code, _, error = mri("benchmark", "sr", "--data", data, "-o", out, *options)
        assert code == 0, error
        psnr.append(table(out)[0]["psnr"])
    assert len(set(psnr)) == 3


def test_a_row_of_other_software_is_measured_again(tmp_path: Path) -> None:
    scan(tmp_path / "data" / "a.h5")
    options = ["--accels", "4", "--axes", "phase", "--methods", "zero-filled", "-o", tmp_path / "out"]
    measured = []
    for version in ("0.0.1", "0.0.2", "0.0.2"):
        before = f"import mri_d3gm; mri_d3gm.__version__ = '{version}'"
        code, _, error = command("benchmark", "recon", "--data", tmp_path / "data", *options, before=before)
        assert code == 0, error
        measured.append("dB" in error)
    assert measured == [True, True, False]


# draws and evaluations


def test_one_draw_with_a_foretold_error_has_a_std_map_that_is_not_zero(mri, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", Denoiser(options={**TINY, "foretell": True}), {"steps": 1})
    path = volume(tmp_path / "a.nii.gz", 300 * phantom(3, 16, 20))
    options = ["--scale", 2, "--samples", 1, "--device", "cpu", "--weights", tmp_path / "w.safetensors"]
    code, _, error = mri("sr", path, "-o", tmp_path / "out.nii.gz", *options)
    assert code == 0, error
    std = voxels(tmp_path / "out_std.nii.gz")
    assert std.max() > 0 and np.isfinite(std).all()


def test_evaluations_of_withheld_lines_are_counted(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", four_coils())
    counts = {
        trust: mri_d3gm.reconstruct(path, accel=4, trust=trust, slices="0", **ONE).record["Evaluations"]
        for trust in ("off", "fast", "full")
    }
    assert counts == {"off": 1, "fast": 2, "full": 5}


def test_the_mask_of_a_volume_is_drawn_once_and_not_for_each_slice(tmp_path: Path, monkeypatch) -> None:
    drawn, poisson = [], sigpy.mri.poisson

    def counted(*arguments: Any, **options: Any) -> Any:
        drawn.append(arguments)
        return poisson(*arguments, **options)

    monkeypatch.setattr(sigpy.mri, "poisson", counted)
    mri_d3gm.reconstruct(scan(tmp_path / "a.h5", slices=6), mask_kind="poisson-2d", seed=7, **LINES)
    assert len(drawn) == 1


# headers


def test_a_header_of_an_unknown_encoding_is_a_warning(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", xml='<?xml version="1.0" encoding="klingon"?><ismrmrdHeader/>')
    code, _, error = command("recon", path, "-o", tmp_path / "out", "--method", "zero-filled", "--accel", 4)
    assert code == 0 and "warning" in error and "header" in error and "Traceback" not in error


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_dicom_without_preamble_meta_and_ending_is_read(kind: str, mri, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for number, item in enumerate(dicom_slices()):
        del item.file_meta
        item.save_as(folder / f"IM{number}", implicit_vr=True, little_endian=True)
    path = folder if kind == "folder" else folder / "IM2"
    code, text, error = mri("sr", path, "-o", tmp_path / "out", "--method", "cubic", "--scale", 2)
    assert code == 0 and "to 16x12x5" in text, error


# runs

TASKS: dict[str, tuple[str, Callable[..., Path], list[Any]]] = {
    "recon": ("a.h5", scan, ["--method", "zero-filled", "--accel", 4]),
    "sr": ("a.nii.gz", lambda p, size=1.0: volume(p, 300 * size * phantom(3, 16, 20)), ["--method", "cubic", "--scale", 2]),
    "restore": ("a.png", lambda p, size=1.0: photograph(p, seed=int(size)), ["--task", "derain", "--method", "median"]),
}
each_task = pytest.mark.parametrize("task", TASKS)


@each_task
def test_an_output_that_cannot_be_written_is_said_before_the_work(task: str, mri, tmp_path: Path) -> None:
    """Before the weights are read, whose fault is found too."""
    name, make, _ = TASKS[task]
    for file in ("w.safetensors", "taken"):
        (tmp_path / file).write_text("no weights")
    options = ["--weights", tmp_path / "w.safetensors", *(["--task", "derain"] if task == "restore" else [])]
    code, _, error = mri(task, make(tmp_path / name), "-o", tmp_path / "taken" / "deeper", *options)
    assert code == 2 and str(tmp_path / "taken") in error and "w.safetensors" not in error and error.count("\n") == 1


@each_task
def test_inputs_of_one_name_in_two_folders_do_not_replace_each_other(task: str, mri, tmp_path: Path) -> None:
    name, make, options = TASKS[task]
    paths = []
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        paths.append(make(tmp_path / folder / name, 1.0 + number))
    code, text, error = mri(task, *paths, "-o", tmp_path / "out", *options, "--json", "--overwrite")
    assert code == 0, error
    written = {Path(json.loads(line)["output"]) for line in text.splitlines()}
    assert len(written) == 2 and len({file.read_bytes() for file in written}) == 2


def test_what_a_killed_run_left_behind_is_cleaned_by_the_next(tmp_path: Path) -> None:
    killed = "import nibabel, os, signal\nnibabel.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    arguments = ["recon", scan(tmp_path / "a.h5"), "-o", tmp_path / "out", *TASKS["recon"][2]]
    assert command(*arguments, before=killed)[0] == -signal.SIGKILL
    assert list((tmp_path / "out").glob(".writing-*"))
    code, _, error = command(*arguments)
    assert code == 0, error
    assert not list((tmp_path / "out").glob(".writing-*"))


@each_task
def test_json_answers_for_what_is_done_already(task: str, mri, tmp_path: Path) -> None:
    name, make, options = TASKS[task]
    arguments = [task, make(tmp_path / name), "-o", tmp_path / "out", *options, "--json"]
    _, first, _ = mri(*arguments)
    code, again, error = mri(*arguments)
    assert code == 0 and "already done" in error and json.loads(again or "null") == json.loads(first)


def test_ctrl_c_prints_its_line(mri, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(nibabel, "save", lambda *_: signal.raise_signal(signal.SIGINT))
    code, text, error = mri("recon", scan(tmp_path / "a.h5"), "-o", tmp_path / "out", *TASKS["recon"][2])
    assert code == 130 and text == "" and "mri-d3gm: interrupted; no half-written file is left" in error.splitlines()


def test_hdf5_is_an_ending_of_scans_in_folders(mri, tmp_path: Path) -> None:
    scan(tmp_path / "data" / "a.hdf5")
    code, _, error = mri("recon", tmp_path / "data", "-o", tmp_path / "out", *TASKS["recon"][2])
    assert code == 0 and (tmp_path / "out" / "a_recon.nii.gz").exists(), error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: 9 bytes")])
def test_memory_that_runs_out_is_one_line(error: Exception, mri, tmp_path: Path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(nibabel, "save", full)
    arguments = ["recon", scan(tmp_path / "a.h5"), "-o", tmp_path / "out", *TASKS["recon"][2]]
    said = attempt(lambda: mri(*arguments))
    assert isinstance(said, tuple), said
    code, text, line = said
    assert code == 2 and text == "" and "memory ran out" in line.splitlines()[-1]


# training


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


# Python


@pytest.mark.parametrize("wrong", [{"accel": "4"}, {"output": "folder"}, {"slices": 1.5}, {"seed": "x"}, {"crop": "no"}])
def test_a_wrong_argument_is_an_input_error(wrong: dict[str, Any], tmp_path: Path) -> None:
    caught = attempt(lambda: mri_d3gm.reconstruct(scan(tmp_path / "a.h5"), **(LINES | wrong)))
    assert isinstance(caught, InputError) and "\n" not in str(caught)


def test_the_number_of_a_slice_is_an_argument(tmp_path: Path) -> None:
    assert attempt(lambda: mri_d3gm.reconstruct(scan(tmp_path / "a.h5"), slices=1, **LINES).volume.shape) == (1, 48, 40)


def test_quality_is_a_keyword(tmp_path: Path) -> None:
    path = scan(tmp_path / "a.h5")
    assert attempt(lambda: mri_d3gm.reconstruct(path, quality="fast", accel=4).record["Draws"]) == 1


# the command line

COMMON = {"--output", "--method", "--solver", "--steps", "--samples", "--tau", "--seed", "--device", "--weights", "--overwrite"}
RECON = {"--accel", "--mask", "--axis", "--center-fraction", "--coil-maps", "--quality", "--trust", "--slices", "--json"}
SR = {"--scale", "--operator", "--series", "--slice-axis", "--slices", "--json"}
RESTORE = {"--task", "--tile", "--json"}


def words(*arguments: Any, columns: int) -> list[str]:
    code, text, error = command(*arguments, columns=columns)
    assert code == 0 and max(map(len, text.splitlines())) <= columns, error
    return [word.strip("[](),.;│") for word in text.split()]


@pytest.mark.parametrize(
    ("task", "options", "columns"), [("recon", RECON, 80), ("recon", RECON, 40), ("sr", SR, 40), ("restore", RESTORE, 40)]
)
def test_help_cuts_no_option_and_no_default(task: str, options: set[str], columns: int) -> None:
    found = words(task, "--help", columns=columns)
    assert COMMON | options <= {part for word in found for part in re.split("[/,]", word)}
    assert not [word for word in found if word.endswith(("…", "..")) and not word.isupper()]
    assert "posterior" in found and (task != "recon" or "equispaced-fraction" in found)


def test_the_command_says_its_version() -> None:
    assert command("--version") == (0, f"mri-d3gm {mri_d3gm.__version__}\n", "")


METHODS = {
    "recon": {"d3gm", "regression", "zero-filled", "pocs", "sense", "l1-wavelet", "tv"},
    "sr": {"d3gm", "regression", "sinc", "nearest", "linear", "cubic", "lanczos"},
    "restore": {"d3gm", "regression", "identity", "dark-channel", "median"},
}


@pytest.mark.parametrize("task", METHODS)
def test_solver_and_method_list_what_they_may_be(task: str) -> None:
    found = set(words(task, "--help", columns=80))
    assert found >= METHODS[task] | {"posterior", "deterministic", "multistep", "multistep-sde", "euler-maruyama"}


def test_an_option_has_one_name_in_all_commands(mri, tmp_path: Path) -> None:
    scan(tmp_path / "data" / "a.h5")
    named = ["--accel", "4", "--axis", "phase", "--method", "zero-filled"]
    code, _, error = mri("benchmark", "recon", "--data", tmp_path / "data", "-o", tmp_path / "out", *named)
    assert code == 0, error


def test_withheld_lines_that_were_not_predicted_are_said_in_words(mri, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 1, 96, 96))
    path = write_scan(tmp_path / "a.h5", (noise[0] + 1j * noise[1]).astype(np.complex64))
    torn = Denoiser(options=TINY)
    for parameter in torn.parameters():
        parameter.data = parameter.data + 0.2
    save_weights(tmp_path / "w.safetensors", torn, {"steps": 1})
    options = ["--accel", 4, "--device", "cpu", "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "out"]
    code, text, error = mri("recon", path, *options)
    assert code == 0, error
    assert json.loads((tmp_path / "out" / "a_recon.json").read_text())["Trust"]["WithheldError"] > 1.2
    assert "predicted" not in text and "no better than" in text


def test_std_and_error_of_a_preview_have_one_scale(mri, tmp_path: Path) -> None:
    """Of a network that knows nothing, whose draws differ little and are far from the truth."""
    save_weights(tmp_path / "w.safetensors", Denoiser(options=TINY), {"steps": 1})
    kspace = four_coils(192, 192)[:1, 0]
    options = ["--accel", 8, "--steps", 1, "--samples", 2, "--trust", "off", "--weights", tmp_path / "w.safetensors"]
    path = write_scan(tmp_path / "a.h5", kspace)
    code, _, error = mri("recon", path, "-o", tmp_path / "a.nii.gz", *options, "--device", "cpu")
    assert code == 0, error
    reference = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace[0]), norm="ortho")))
    found, std = (voxels(tmp_path / f"a{end}.nii.gz")[..., 0].T for end in ("", "_std"))
    picture = np.asarray(Image.open(tmp_path / "a_preview.png")).astype(float)
    width, count, gap = 192, 5, 4
    assert picture.shape[1] == count * (width + gap) - gap
    grey = [picture[25:256, place * (width + gap) :][:, :width].mean() for place in range(count)]
    gains = grey[2] / std.mean(), grey[4] / abs(found - reference).mean()
    assert gains[0] == pytest.approx(gains[1], rel=0.3)


def test_captions_of_a_wide_preview_can_be_read(mri, tmp_path: Path) -> None:
    """On a screen of 1200 pixels letters are higher than six."""
    path = write_scan(tmp_path / "a.h5", fft2c(phantom(1, 32, 2048)))
    code, _, error = mri("recon", path, "-o", tmp_path / "a.nii.gz", "--accel", 4, "--method", "zero-filled")
    assert code == 0, error
    picture = np.asarray(Image.open(tmp_path / "a_preview.png"))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (picture > 60).any(1), [0]])))
    heights = edges[1::2] - edges[::2]
    label, note = heights[0], heights[-1]
    assert len(heights) == 4 and min(label, note) * 1200 / picture.shape[1] > 6


def test_a_benchmarks_table_fits_the_terminal_and_has_no_interval_of_one_file(tmp_path: Path) -> None:
    scan(tmp_path / "data" / "a.h5")
    options = ["--accels", "4", "--axes", "phase,readout", "--methods", "zero-filled,sense"]
    code, text, error = command("benchmark", "recon", "--data", tmp_path / "data", "-o", tmp_path / "out", *options)
    assert code == 0, error
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    assert not [name for name in table(tmp_path / "out")[0] if name.endswith("_95")]
