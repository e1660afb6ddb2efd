"""Defects that a user met in files and runs, each shown by the command line, the files on disk or `mri_d3gm.reconstruct`."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
import sigpy.mri
from dicom_files import slices as dicom_slices
from mended import LINES, ONE, TINY, attempt, command, scan, table, volume, voxels
from photographs import photograph
from PIL import Image
from scans import fft2c, four_coils, header, phantom, write_scan

import mri_d3gm
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import save_weights

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
    assert counts == {"off": 2, "fast": 3, "full": 6}  # one of each calibrates again, since the centre has five lines


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
