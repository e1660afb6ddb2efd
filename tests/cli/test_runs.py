"""What a run leaves and finds, for all three tasks."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest
from photographs import photograph
from scans import four_coils, phantom, write_scan

from mri_d3gm import settings
from mri_d3gm.errors import InputError
from mri_d3gm.networks.weights import load_weights, save_weights
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks import recon, restore, sr

FAST = ["--device", "cpu", "--steps", 1, "--samples", 1]


def scan(path: Path, size: float = 1.0) -> Path:
    return write_scan(path, (size * four_coils()).astype(np.complex64))


def volume(path: Path, size: float = 1.0) -> Path:
    image = 300 * size * phantom(3, 16, 20).transpose(1, 2, 0)
    nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), np.diag([1, 1, 5, 1])), path)
    return path


def picture(path: Path, size: float = 1.0) -> Path:
    return photograph(path, seed=int(10 * size))


TASKS: dict[str, tuple[Callable[..., Path], str, str, list[Any]]] = {
    "recon": (scan, "a.h5", "a_recon.nii.gz", ["--method", "zero-filled", "--accel", 4]),
    "sr": (volume, "a.nii.gz", "a_sr.nii.gz", ["--method", "cubic", "--scale", 2]),
    "restore": (picture, "a.png", "a.png", ["--task", "derain", "--method", "median"]),
}


def fail_if_called(*_: Any, **__: Any) -> None:
    raise AssertionError("the work began")


@pytest.fixture(params=TASKS)
def task(request) -> str:
    return request.param


def sidecar(result: Path, task: str) -> Path:
    return result.with_name(f"{result.name}.json" if task == "restore" else result.name.replace(".nii.gz", ".json"))


@pytest.mark.parametrize("obstacle", ["file", "permission", "folder of that name", "sidecar's name taken"])
def test_whether_the_output_can_be_written_is_known_before_the_work(
    task: str, obstacle: str, mri, tmp_path, monkeypatch
) -> None:
    make, name, result, options = TASKS[task]
    path, out = make(tmp_path / name), tmp_path / "out"
    monkeypatch.setattr("mri_d3gm.pipeline.solve", fail_if_called)
    if obstacle == "file":
        out.write_text("")
        out = out / "deeper"
    elif obstacle == "permission":
        monkeypatch.setattr("os.access", lambda *_, **__: False)
    else:
        taken = out / result if obstacle.startswith("folder") else sidecar(out / result, task)
        (taken / "in the way").mkdir(parents=True)
    code, text, error = mri(task, path, "-o", out, *options)
    assert code == 2 and text == "" and error.count("\n") == 1 and "choose another place" in error


def test_inputs_of_one_name_do_not_replace_each_other(task: str, mri, tmp_path) -> None:
    make, name, result, options = TASKS[task]
    paths = []
    for place, size in (("one", 1.0), ("two/deep", 2.0), ("two", 3.0)):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        paths.append(make(tmp_path / place / name, size))
    other = make(tmp_path / f"b{name[1:]}")
    code, text, error = mri(task, *paths, other, "-o", tmp_path / "out", *options, "--json")
    assert code == 0, error
    written = [json.loads(line)["output"] for line in text.splitlines()]
    assert len({Path(name).resolve() for name in written}) == 4 and Path(written[3]).parent == tmp_path / "out"
    alone = []
    for number, path in enumerate(paths):
        mri(task, path, "-o", tmp_path / f"alone{number}", *options)
        alone.append((tmp_path / f"alone{number}" / result).read_bytes())
    assert [Path(name).read_bytes() for name in written[:3]] == alone and len(set(alone)) == 3
    code, text, error = mri(task, paths[1], "-o", tmp_path / "alone0", *options)
    assert code == 2 and "--overwrite" in error and (tmp_path / "alone0" / result).read_bytes() == alone[0]


def test_inputs_whose_names_differ_in_the_ending_alone_do_not_replace_each_other(mri, tmp_path) -> None:
    scan(tmp_path / "a.h5")
    scan(tmp_path / "a.hdf5", 2.0)
    code, text, error = mri("recon", tmp_path, "-o", tmp_path / "out", *TASKS["recon"][3], "--json")
    assert code == 0, error
    names = [json.loads(line)["output"] for line in text.splitlines()]
    assert len(names) == len(set(names)) == 2
    volumes = [np.asarray(nibabel.load(name).dataobj) for name in names]
    np.testing.assert_allclose(2 * volumes[0], volumes[1], rtol=1e-4, atol=1e-4)


def test_both_endings_of_hdf5_are_found_in_folders(mri, tmp_path) -> None:
    for name in ("a.h5", "b.hdf5", "C.HDF5"):
        scan(tmp_path / name)
    code, text, _ = mri("recon", tmp_path, "-o", tmp_path / "out", *TASKS["recon"][3])
    assert code == 0 and text.count("PSNR") == 3
    assert {"a_recon.json", "b_recon.json", "C_recon.json"} <= {file.name for file in (tmp_path / "out").iterdir()}


def test_what_is_done_answers_as_it_did_and_nothing_is_worked_again(task: str, mri, tmp_path, monkeypatch) -> None:
    make, name, _, options = TASKS[task]
    command = [task, make(tmp_path / name), "-o", tmp_path / "out", *options, "--json"]
    _, first, _ = mri(*command)
    monkeypatch.setattr("mri_d3gm.pipeline.solve", fail_if_called)
    code, again, error = mri(*command)
    assert code == 0 and json.loads(again) == json.loads(first) and "already done" in error


def test_a_result_of_other_software_is_not_done(task: str, mri, tmp_path) -> None:
    make, name, result, options = TASKS[task]
    command = [task, make(tmp_path / name), "-o", tmp_path / "out", *options]
    assert mri(*command)[0] == 0
    place = sidecar(tmp_path / "out" / result, task)
    record = json.loads(place.read_text())
    record["Software"]["mri-d3gm"] = "0.0.1"
    place.write_text(json.dumps(record))
    code, _, error = mri(*command)
    assert code == 2 and "other software" in error and error.count("\n") == 1
    assert mri(*command, "--overwrite")[0] == 0 and mri(*command)[0] == 0


def replaced_input(task: str, folder: Path) -> tuple[list[Any], Callable[[], Any]]:
    make, name, _, options = TASKS[task]
    return options, lambda: make(folder / name, 2.0)


def replaced_weights(task: str, folder: Path) -> tuple[list[Any], Callable[[], Any]]:
    path = folder / "w.safetensors"
    shipped_name = "derain" if task == "restore" else "model"
    shutil.copy(shipped("pipelines", settings.TASKS[task].bundle, "models", f"{shipped_name}.safetensors"), path)
    options = ["--method", "regression", "--weights", path, "--device", "cpu"]

    def replace() -> None:
        network, record = load_weights(path)
        save_weights(path, network, record | {"steps": record["steps"] + 1})

    return options + (["--task", "derain"] if task == "restore" else ["--slices", 1]), replace


@pytest.mark.parametrize("replaced", [replaced_input, replaced_weights])
def test_a_file_of_the_same_name_and_other_content_is_not_done(replaced, task: str, mri, tmp_path) -> None:
    make, name, _, _ = TASKS[task]
    options, replace = replaced(task, tmp_path)
    command = [task, make(tmp_path / name), "-o", tmp_path / "out", *options]
    assert mri(*command)[0] == 0 and "already done" in mri(*command)[2]
    replace()
    code, _, error = mri(*command)
    assert code == 2 and "--overwrite" in error


def test_coil_maps_of_the_same_name_and_other_content_are_not_done(mri, tmp_path) -> None:
    path = scan(tmp_path / "a.h5")
    command = ["recon", path, "-o", tmp_path / "out", "--accel", 4, "--method", "pocs", "--coil-maps", tmp_path / "maps.h5"]
    for number, expected in ((0, 0), (0, 0), (1, 2)):
        with h5py.File(tmp_path / "maps.h5", "w") as file:
            file["coil_maps"] = four_coils()[number]
        code, _, error = mri(*command)
        assert code == expected
    assert "--overwrite" in error


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_is_one_line_and_leaves_nothing(threads: int, mri, tmp_path, monkeypatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.3)
        raise AssertionError("went on")

    monkeypatch.setattr("mri_d3gm.pipeline.solve", stop)
    code, text, error = mri("recon", scan(tmp_path / "a.h5"), "-o", tmp_path / "out", "--threads", threads, *FAST)
    assert code == 130 and text == "" and error.strip().count("\n") == 0 and "interrupted" in error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 9 bytes"),
    ],
)
def test_memory_that_runs_out_is_one_line(error: Exception, task: str, mri, tmp_path, monkeypatch) -> None:
    make, name, _, options = TASKS[task]

    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("mri_d3gm.pipeline.solve", full)
    code, text, said = mri(task, make(tmp_path / name), "-o", tmp_path / "out", *options)
    assert code == 2 and text == "" and said.count("\n") == 1 and "memory ran out" in said


def test_memory_that_runs_out_for_one_of_many_does_not_stop_the_rest(mri, tmp_path, monkeypatch) -> None:
    from mri_d3gm import pipeline

    scan(tmp_path / "a.h5")
    write_scan(tmp_path / "b.h5")
    solve = pipeline.solve

    def full(measurement: Any, *arguments: Any, **options: Any) -> Any:
        if measurement.prior_mean().shape[-1] == 64:
            raise MemoryError
        return solve(measurement, *arguments, **options)

    monkeypatch.setattr(pipeline, "solve", full)
    code, text, error = mri("recon", tmp_path, "-o", tmp_path / "out", *TASKS["recon"][3])
    assert code == 1 and text.count("PSNR") == 1 and "a.h5: memory ran out" in error


def test_a_run_that_fails_while_it_writes_leaves_the_results_of_the_one_before(task: str, mri, tmp_path, monkeypatch) -> None:
    make, name, _, options = TASKS[task]
    command = [task, make(tmp_path / name), "-o", tmp_path / "out", *options]
    assert mri(*command)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_: object) -> None:
        raise InputError("no space left")

    for module in (recon, sr, restore):
        monkeypatch.setattr(module, "write_sidecar", full)
    assert mri(*command, "--seed", 1, "--overwrite")[0] == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    monkeypatch.undo()
    assert mri(*command, "--seed", 1, "--overwrite")[0] == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after.keys() == before.keys() and after != before
