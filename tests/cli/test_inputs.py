"""Which files of folders and globs are inputs, and which outputs are folders, for all three tasks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write_series
from mended import scan, volume
from photographs import photograph
from scans import phantom

from mri_d3gm.cli.many import input_files
from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import FORMATS
from mri_d3gm.io.open_image import volume_endings
from mri_d3gm.io.open_scan import scan_endings
from mri_d3gm.io.sidecar import is_result, write_sidecar
from mri_d3gm.runs.names import Outputs
from mri_d3gm.tasks import recon, restore, sr

TASKS: dict[str, tuple[Callable[[Path], Path], str, str, list[Any]]] = {
    "recon": (scan, "a.h5", "a_recon.nii.gz", ["--method", "zero-filled", "--accel", 4, "--slices", 0]),
    "sr": (lambda p: volume(p, 300 * phantom(3, 16, 20)), "a.nii.gz", "a_sr.nii.gz", ["--method", "cubic", "--scale", 2]),
    "restore": (photograph, "a.png", "a.png", ["--task", "derain", "--method", "median"]),
}
each_task = pytest.mark.parametrize("task", TASKS)
OURS, THEIRS = {"Software": {"mri-d3gm": "0.2.0"}, "Options": {}}, {"Software": "dcm2niix", "EchoTime": 0.01}


def written(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@each_task
def test_a_second_run_over_a_folder_takes_no_results_of_the_first(task: str, mri, tmp_path: Path) -> None:
    make, name, result, options = TASKS[task]
    make(tmp_path / name)
    output = tmp_path / f"other-{result}" if task == "restore" else tmp_path
    command = [task, tmp_path, "-o", output, *options]
    assert mri(*command)[0] == 0
    before = written(tmp_path)
    code, text, error = mri(*command)
    assert code == 0 and text == "" and error.count("already done") == 1 and written(tmp_path) == before
    code, text, error = mri(task, f"{tmp_path}/*{''.join(Path(name).suffixes)}", "-o", output, *options)
    assert code == 0 and text == "" and error.count("already done") == 1 and written(tmp_path) == before


@pytest.mark.parametrize("task", ["sr", "restore"])
def test_a_result_is_taken_by_its_name_and_a_folder_of_results_alone_is_said(task: str, mri, tmp_path: Path) -> None:
    make, name, result, options = TASKS[task]
    assert mri(task, make(tmp_path / name), "-o", tmp_path / "out", *options)[0] == 0
    for place in (tmp_path / "out", f"{tmp_path}/out/*{''.join(Path(name).suffixes)}"):
        code, text, error = mri(task, place, "-o", tmp_path / "more", *options)
        assert code == 2 and text == "" and error.count("\n") == 1 and f"{place}: holds results of mri-d3gm alone" in error
    code, _, error = mri(task, tmp_path / "out" / result, "-o", tmp_path / "more", *options)
    assert code == 0, error


@pytest.mark.parametrize("output", [".", "x.nii.gz", "sub-1_desc-recon_T1w.nii.gz"])
@pytest.mark.parametrize("part", ["", "echo-1"])
@pytest.mark.parametrize("task", [recon, sr])
def test_all_that_a_run_writes_is_a_result_by_its_sidecar(task: Any, part: str, output: str, tmp_path: Path) -> None:
    names: Outputs = task.names_of(tmp_path / "a.h5", tmp_path / output).of_part(part)
    images = [file for file in names.files() if file != names.sidecar]
    assert not any(is_result(file) for file in (*images, names.sidecar))
    for record, ours in ((THEIRS, False), (OURS, True)):
        write_sidecar(names.sidecar, record)
        assert [is_result(file) for file in (*images, names.sidecar)] == [ours] * (len(images) + 1)


def test_a_result_of_another_command_goes_on(tmp_path: Path) -> None:
    """But no map of it."""
    write_sidecar(recon.names_of(tmp_path / "a.h5", tmp_path).sidecar, OURS | {"Options": {"accel": 4}})
    for name in ("a_recon.nii.gz", "a_recon_std.nii.gz", "a_recon_phase.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    assert input_files([str(tmp_path)], [".nii.gz"], option="scale") == [str(tmp_path / "a_recon.nii.gz")]
    with pytest.raises(InputError, match="holds results"):
        input_files([str(tmp_path)], [".nii.gz"], option="accel")


def test_of_a_picture_its_own_sidecar_and_the_previews_of_volumes_say_it(tmp_path: Path) -> None:
    write_sidecar(restore.names_of("a.png", tmp_path).sidecar, OURS)
    write_sidecar(sr.names_of("b.nii.gz", tmp_path).sidecar, OURS)
    assert is_result(tmp_path / "a.png") and is_result(tmp_path / "b_sr_preview.png")
    for other in ("a.jpg", "b_sr.png", "b_sr.h5", "b_sr.nii", "b_sr_t1.nii.gz", "b.nii.gz"):
        assert not is_result(tmp_path / other), other


def test_results_are_told_of(mri, tmp_path: Path) -> None:
    make, name, _, options = TASKS["sr"]
    make(tmp_path / name)
    mri("sr", tmp_path, "-o", tmp_path, *options)
    code, text, error = mri("info", tmp_path, "--json")
    told = {Path(json.loads(line)["file"]).name for line in text.splitlines()}
    assert code == 0 and {"a.nii.gz", "a_sr.nii.gz", "a_sr_preview.png"} <= told, error


@pytest.mark.parametrize("name", ["._a.nii.gz", ".a.nii.gz"])
def test_hidden_files_of_a_folder_are_no_volumes(name: str, tmp_path: Path) -> None:
    for file in (name, "a.nii.gz"):
        (tmp_path / file).write_bytes(b"\0\5\x16\7")
    assert input_files([str(tmp_path)], [".nii.gz"]) == [str(tmp_path / "a.nii.gz")]
    assert input_files([str(tmp_path / name)], [".nii.gz"]) == [str(tmp_path / name)]


KINDS = {"pictures": tuple(FORMATS), "volumes": volume_endings(), "scans": scan_endings()}


@pytest.mark.parametrize("kind", KINDS)
def test_folders_and_globs_give_the_files_of_a_kind_each_once(kind: str, tmp_path: Path) -> None:
    endings = KINDS[kind]
    first, last = endings[0], endings[-1]
    for name in (f"b{first}", f"a{last.upper()}", f".hidden{first}", "d.txt", f"b{first}.json", f"inner/e{last}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = f"{tmp_path}/"

    def found(*patterns: str) -> list[str]:
        return [name.removeprefix(root) for name in input_files([root + pattern for pattern in patterns], endings)]

    assert found("") == found("*") == found("[ab]*", "") == [f"a{last.upper()}", f"b{first}"]
    assert found(f"b{first}", f"inner/../b{first}", "b*", "") == [f"b{first}", f"a{last.upper()}"]
    assert found(f"**/*{last}") == sorted({f"inner/e{last}", *([f"b{first}"] if first == last else [])})
    assert found("d.txt") == found("*.txt") == ["d.txt"], "what else is named is left to the readers"
    assert found("none", "b*", "none") == ["none", f"b{first}"]
    for pattern in ("*.gif", "none/*"):
        with pytest.raises(InputError, match="no file matches"):
            found(pattern)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="files in this folder"):
        found("empty")


def test_a_glob_may_give_folders_of_series(tmp_path: Path) -> None:
    for name in ("a.nii", "one", "two", "notes.txt"):
        (tmp_path / name).touch() if "." in name else (tmp_path / name).mkdir()
    names = [Path(name).name for name in input_files([f"{tmp_path}/*"], [".nii"], folders_too=True)]
    assert names == ["a.nii", "one", "two"] and input_files([f"{tmp_path}/*"], [".nii"]) == [f"{tmp_path}/a.nii"]


@pytest.mark.parametrize("command", ["sr", "info"])
def test_files_of_one_series_are_one_input(command: str, mri, tmp_path: Path) -> None:
    """In one folder; other files stay, those that are not there as well."""
    data = np.random.default_rng(0).integers(1, 900, (3, 12, 10)).astype(np.uint16)
    for folder in ("one", "two"):
        write_series(tmp_path / folder, data=data)
    write_series(tmp_path / "one", name="other{}.dcm", data=data, SeriesInstanceUID="1.2.4")
    options = ["-o", tmp_path / "out", "--json", *TASKS["sr"][3]] if command == "sr" else ["--json"]
    code, text, error = mri(command, f"{tmp_path}/*/*.dcm", tmp_path / "none.nii", *options, columns=80)
    assert code == 1 and len(text.splitlines()) == 3 and "none.nii: no such file" in error
    assert error.count("6 of 10 files belong to a DICOM series that another one stands for") == 1
    code, text, error = mri(command, f"{tmp_path}/two/*.dcm", *options)
    assert code == 0 and len(text.splitlines()) == 1 and "2 of 3 files" in error


@each_task
def test_a_folder_that_cannot_be_read_is_one_line(task: str, mri, tmp_path: Path, monkeypatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    code, text, error = mri(task, tmp_path, "-o", tmp_path / "out", *TASKS[task][3])
    assert code == 2 and text == "" and error == f"mri-d3gm: {tmp_path}: Permission denied\n"


def test_a_sidecar_that_is_no_json_says_nothing(tmp_path: Path) -> None:
    for file in ("a.png", "b.png"):
        photograph(tmp_path / file)
    (tmp_path / "a.png.json").write_text("[1]")
    (tmp_path / "b.png.json").write_bytes(np.random.default_rng(0).bytes(99))
    assert len(input_files([str(tmp_path)], [".png"])) == 2


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["out.v2", "2024.11.30", "a.b/c.d"])
@each_task
def test_a_new_folder_may_have_a_dot_in_its_name(task: str, name: str, count: int, mri, tmp_path: Path) -> None:
    make, file, _, options = TASKS[task]
    paths = [make(tmp_path / f"{number}{file}") for number in range(count)]
    code, _, error = mri(task, *paths, "-o", tmp_path / name, *options)
    assert code == 0, error
    results = [file for file in written(tmp_path / name) if file.endswith(TASKS[task][2][1:])]
    assert len(results) == count


@pytest.mark.parametrize("name", ["x.nii", "x.h5", "x.json", "x.jpg", "x.cfl", "x.bmp", "x.html"])
@pytest.mark.parametrize("count", [1, 2])
@each_task
def test_the_name_of_a_file_is_no_new_folder(task: str, count: int, name: str, mri, tmp_path: Path) -> None:
    make, file, _, options = TASKS[task]
    paths = [make(tmp_path / f"{number}{file}") for number in range(count)]
    if task == "restore" and name == "x.jpg" and count == 1:
        pytest.skip("a picture's name")
    code, _, error = mri(task, *paths, "-o", tmp_path / name, *options)
    assert code == 2 and "folder" in error and not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], ""),
        ([".hidden", "a_restored.json"], ""),
        (["a.json", "a.bval", "a.png.json"], ""),
        (["a.b.txt", "a.json"], "1 other file left out"),
        (["b.gif"], "1 other file left out"),
        (["b.gif", "c.bmp", "d/e.png"], "1 sub-folder and 2 other files left out; give the names"),
        (["d/e.png", "f/g.txt"], "2 sub-folders left out; give the names"),
    ],
)
def test_what_a_folder_leaves_out_is_said(more: list[str], said: str, tmp_path: Path, capsys) -> None:
    for name in ("a.png", *more):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            '{"Software": {"mri-d3gm": "1"}, "Options": {}}' if name.endswith("_restored.json") else ""
        )
    assert input_files([str(tmp_path)], [".png"]) == [str(tmp_path / "a.png")]
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == bool(said)


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch, capsys) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("mri_d3gm.cli.many.is_result", lambda path: bool(asked.append(path)))
    hashed: list[str] = []

    class Name(str):
        def __hash__(self) -> int:
            hashed.append(self)
            return super().__hash__()

    names = [Name(tmp_path / f"{number}.png") for number in range(20)]
    monkeypatch.setattr("mri_d3gm.cli.many.with_endings", lambda *_: names)
    for name in (*names, tmp_path / "a.gif", tmp_path / "b.gif"):
        Path(name).touch()
    input_files([str(tmp_path)], [".png"], results_too=True)
    assert "2 other files" in capsys.readouterr().err and len(asked) == 2 and len(hashed) <= 3 * len(names)
