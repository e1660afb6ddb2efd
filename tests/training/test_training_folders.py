"""What a training leaves in its folder, and which folders it refuses."""

import csv
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scans import fft2c, phantom, write_scan

from mri_d3gm import __version__
from mri_d3gm.errors import InputError
from mri_d3gm.networks.weights import load_weights, save_weights
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import overlay_keys
from mri_d3gm.tasks.train import default_folder, train, training_record
from mri_d3gm.training.checkpoint import claimed, load_checkpoint, save_checkpoint
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.simulate import draw_scene, simulate
from mri_d3gm.training.sources import Example, load_slices, select_files

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
TINY = {"blocks": 1, "features": 8, "embedding": 16}
SIZES = {"batch": 2, "rows": 16, "cols": 48, "crop": 24}


def trainer(folder: Path, network: dict | None = None, **changes) -> Trainer:
    settings = {"denoiser": seeded_denoiser(0, **(network or {"options": TINY})), "slices": SLICES, "validation": []}
    settings |= {"folder": str(folder), "simulate": partial(draw_scene, **SIZES), "steps": 4, "precision": "float32"}
    return Trainer(**(settings | changes))


def losses(folder: Path) -> list[float]:
    with open(folder / "log.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def overlay(folder: Path, **changes) -> str:
    """A small configuration in a folder with data for it."""
    write_scan(folder / "a.h5", fft2c(phantom(2, 64, 64)))
    settings = {"sources": [{"glob": "*.h5"}], "network_def#options": TINY, "train#trainer#steps": 2}
    settings |= {f"train#simulate#{name}": size for name, size in SIZES.items()}
    (folder / "tiny.json").write_text(json.dumps(settings | {"train#trainer#precision": "float32"} | changes))
    return str(folder / "tiny.json")


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_the_record_says_what_the_weights_were_trained_with(precision: str, tmp_path) -> None:
    trainer(tmp_path, steps=1, precision=precision, seed=3, lr=0.004, max_minutes=0).run()
    trainer(tmp_path, steps=1, precision=precision, seed=3, lr=0.004).run()
    record = training_record(tmp_path / "weights.safetensors")
    assert record["precision"] in (("float32", "bfloat16") if precision == "auto" else (precision,))
    assert record["precision"] == load_checkpoint(tmp_path / "checkpoint.pt")["precision"]
    assert (record["seed"], record["lr"], record["steps"], record["of"]) == (3, 0.004, 1, 1)
    assert record["versions"] == {"mri-d3gm": __version__, "torch": torch.__version__}


def test_the_record_of_damaged_or_foreign_weights_is_refused_in_one_line(tmp_path) -> None:
    """Comparisons and reproductions ask for it before they train what is missing."""
    weights, other = tmp_path / "weights.safetensors", tmp_path / "other.safetensors"
    assert training_record(weights)["steps"] == 0
    save_weights(weights, seeded_denoiser(0, options=TINY), {"command": "train"})
    assert training_record(weights) == {"steps": 0, "of": 0, "seconds": 0, "command": "train"}
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    other.write_bytes(whole.replace(b'{\\"command\\": \\"train\\"}', b"[" * 24))
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    for path in tmp_path.glob("*.safetensors"):
        with pytest.raises(InputError, match=path.name):
            training_record(path)


OTHERS = {
    "network_def#network": {"network": {"network": "unet", "options": {"features": 8, "embedding": 16}}},
    "network_def#options#blocks": {"network": {"options": TINY | {"blocks": 2}}},
    "network_def#dynamics": {"network": {"options": TINY, "dynamics": "i2sb"}},
    "network_def#path_options#tau": {"network": {"options": TINY, "path_options": {"tau": 3.0}}},
    "network_def#sigma_r": {"network": {"options": TINY, "sigma_r": 0.2}},
    "train#simulate": {"simulate": partial(simulate, **SIZES)},
    "train#simulate#rows": {"simulate": partial(draw_scene, **SIZES | {"rows": 24})},
    "train#simulate#accel": {"simulate": partial(draw_scene, **SIZES, accel=4.0)},
    "train#trainer#steps": {"steps": 6},
    "train#trainer#lr": {"lr": 0.02},
    "train#trainer#weight_decay": {"weight_decay": 0.0},
    "train#trainer#objective": {"objective": "eps"},
    "train#trainer#squared": {"squared": True},
    "train#trainer#spread_after": {"spread_after": 0.1},
    "train#trainer#early": {"early": 0.1},
    "train#trainer#ema": {"ema": 0.9},
    "train#trainer#precision": {"precision": "bfloat16"},
    "seed": {"seed": 1},
    "sources": {"sources": [{"glob": "b*"}]},
    "data": {"slices": SLICES[:2]},
}


@pytest.mark.parametrize("steps_done", [0, 4])
def test_a_folder_of_another_run_is_refused_and_stays_as_it_is(steps_done: int, tmp_path) -> None:
    trainer(tmp_path, max_minutes=0 if steps_done == 0 else 1e9).run()
    kept = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for name, change in OTHERS.items():
        with pytest.raises(InputError) as refusal:
            trainer(tmp_path, **change).run()
        message = str(refusal.value)
        assert f"differs in {name}" in message and str(tmp_path) in message and "-o" in message and "\n" not in message
    assert kept == {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_other_first_weights_are_another_run(tmp_path) -> None:
    files = [tmp_path / name / "first.safetensors" for name in ("a", "b")]
    for seed, file in enumerate(files):
        file.parent.mkdir()
        save_weights(file, seeded_denoiser(seed, options=TINY), {"steps": 1})
    given = [{"network": {"initial": str(file)}, "initial": str(file)} for file in files]
    trainer(tmp_path / "run", **given[0], max_minutes=0).run()
    for other in (given[1], {}):
        with pytest.raises(InputError, match="differs in initial"):
            trainer(tmp_path / "run", **other).run()
    assert trainer(tmp_path / "run", **given[0]).run().steps == 4


def test_what_does_not_change_the_numbers_may_differ(tmp_path) -> None:
    assert trainer(tmp_path, max_minutes=0, command="first").run().stopped_early
    changes = {"max_minutes": 5.0, "command": "second", "validation": SLICES[:1], "validate_every": 2}
    assert not trainer(tmp_path, **changes, checkpoint_seconds=1.0).run().stopped_early


def test_a_checkpoint_of_an_older_version_is_continued(tmp_path) -> None:
    trainer(tmp_path, max_minutes=0).run()
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    del state["options"]
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    with pytest.raises(InputError, match="another network"):
        trainer(tmp_path, network={"options": TINY | {"features": 16}}).run()
    assert trainer(tmp_path).run().steps == 4
    assert load_checkpoint(tmp_path / "checkpoint.pt")["options"]


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "run"


def a_file(folder: Path) -> Path:
    (folder / "run").write_text("")
    return folder / "run"


def with_a_folder_for_weights(folder: Path) -> Path:
    (folder / "run" / "weights.safetensors").mkdir(parents=True)
    return folder / "run"


def without_permission(folder: Path) -> Path:
    (folder / "run").mkdir(mode=0o555)
    if os.access(folder / "run", os.W_OK):
        pytest.skip("this user may write everywhere")
    return folder / "run"


@pytest.mark.parametrize("make", [below_a_file, a_file, with_a_folder_for_weights, without_permission])
def test_a_folder_that_cannot_be_written_is_one_line_before_anything_is_read(make, tmp_path, monkeypatch) -> None:
    folder, config = make(tmp_path), overlay(tmp_path)
    with pytest.raises(InputError, match=str(tmp_path)):
        trainer(folder, simulate=None).run()
    monkeypatch.setattr("mri_d3gm.training.sources._volume", lambda path: pytest.fail("data were read"))
    with pytest.raises(InputError, match=str(tmp_path)) as refusal:
        train(config, str(tmp_path), str(folder), "cpu")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("method", ["_state_at_time", "validate"])
def test_an_interrupt_in_a_step_waits_for_its_end_saves_and_is_raised(method: str, tmp_path, monkeypatch) -> None:
    settings = {"validation": SLICES[:1], "validate_every": 2, "spread_after": 0.5}
    trainer(tmp_path / "whole", **settings).run()
    stopped = trainer(tmp_path / "parts", **settings)
    usual, handler = getattr(stopped, method), signal.getsignal(signal.SIGINT)

    def pressed(*arguments: object) -> object:
        if method == "validate" or arguments[1] == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(*arguments)

    monkeypatch.setattr(stopped, method, pressed)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert signal.getsignal(signal.SIGINT) is handler
    assert load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"] == 2 == len(losses(tmp_path / "parts"))
    assert training_record(tmp_path / "parts" / "weights.safetensors")["steps"] == 2
    trainer(tmp_path / "parts", **settings).run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    first, second = (load_weights(tmp_path / name / "weights.safetensors")[0] for name in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.skipif(os.name != "posix", reason="needs locks")
def test_one_training_a_folder_and_a_killed_one_does_not_count(tmp_path) -> None:
    hold = "import sys; from pathlib import Path; from mri_d3gm.training.checkpoint import claimed\n"
    hold += "with claimed(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another training is at work"):
            trainer(tmp_path).run()
        other.kill()
    assert trainer(tmp_path).run().steps == 4
    with claimed(tmp_path), pytest.raises(InputError, match="another training is at work"):
        trainer(tmp_path).run()


def test_progress_counts_the_steps_of_the_schedule(tmp_path, capfd) -> None:
    told: list[tuple[int, int, float]] = []
    trainer(tmp_path).run(lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [step[2] for step in told] == losses(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_task_says_where_the_weights_are_and_whether_it_stopped_early(tmp_path, monkeypatch) -> None:
    config = overlay(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = train(config, str(tmp_path), device="cpu", max_minutes=0)
    assert done == (Path("runs/train-tiny/weights.safetensors"), 0, 2, True)
    told: list[int] = []
    done = train(config, str(tmp_path), device="cpu", progress=lambda step, steps, loss: told.append(step))
    assert done == (done.weights, 2, 2, False) and told == [1, 2] and done.weights.is_file()
    assert training_record(done.weights)["sources"] == [{"glob": "*.h5"}]
    with pytest.raises(InputError, match="differs in train#trainer#steps: 2 there, 3 here"):
        train(config, str(tmp_path), device="cpu", **{"train#trainer#steps": 3})


def test_every_configuration_has_a_folder_of_its_own() -> None:
    names = [path.stem for path in shipped("configs").glob("*.json")]
    assert len({default_folder(name) for name in names}) == len(names) > 20
    assert default_folder("weights-sr") == default_folder("weights-sr.json") == Path("runs/train-weights-sr")


def own_nifti(path: Path, number: int) -> None:
    volume = np.moveaxis((1000 * phantom(4, 64, 60) + number).astype(np.int16), 0, 2)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 1, 5, 1])), path.with_suffix(".nii.gz"))


def own_kspace(path: Path, _: int) -> None:
    write_scan(path.with_suffix(".h5"), fft2c(phantom(2, 64, 64)))


def own_picture(path: Path, _: int) -> None:
    Image.fromarray((phantom(1, 64, 60)[0] * 80).astype(np.uint8)).save(path.with_suffix(".png"))


KINDS = (own_nifti, own_kspace, own_picture)
QUICK = {f"train#simulate#{name}": size for name, size in SIZES.items()} | {"network_def#options": TINY}


@pytest.mark.parametrize("makers", [*((kind,) for kind in KINDS), KINDS * 4])
def test_ones_own_folder_trains_whatever_kinds_of_files_it_holds(makers, tmp_path) -> None:
    data, own = tmp_path / "data", overlay_keys("own")
    for number, make in enumerate(makers):
        (data / f"patient {number}").mkdir(parents=True)
        make(data / f"patient {number}" / f"image{number}", number)
        (data / f"patient {number}" / f"._image{number}.nii.gz").write_text("left by a file manager")
    chosen = [set(select_files(data, own[key][0])) for key in ("sources", "validation_sources")]
    assert len(chosen[0] | chosen[1]) == len(makers) == len(chosen[0]) + len(chosen[1])
    assert bool(chosen[1]) == (len(makers) > 5)
    done = train("own", str(data), str(tmp_path / "run"), "cpu", **QUICK, **{"train#trainer#steps": 1})
    assert done.steps == 1 and bool(losses(tmp_path / "run"))


def test_ones_own_folder_with_nothing_to_train_on_is_refused(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"nothing matches .*nii\.gz.*h5"):
        train("own", str(tmp_path), str(tmp_path / "run"), "cpu", **QUICK)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objective": "l2"}, "train#trainer#objective: must be one of x0"),
        ({"precision": "float8"}, "train#trainer#precision: must be one of auto"),
        ({"slices": []}, "no training slices"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_is(change, said: str, tmp_path) -> None:
    with pytest.raises(InputError, match=said):
        trainer(tmp_path / "run", **change).run()
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_another_task_is_refused_and_a_right_one_recorded(tmp_path) -> None:
    options = {"network": "nafnet", "options": {"features": 8, "channels": 3}}
    save_weights(tmp_path / "photographs.safetensors", seeded_denoiser(0, **options), {"steps": 1})
    save_weights(tmp_path / "slices.safetensors", seeded_denoiser(0, options=TINY), {"steps": 1})
    with pytest.raises(InputError, match="weights of another task: 3 channels"):
        trainer(tmp_path / "run", teacher=str(tmp_path / "photographs.safetensors")).run()
    trainer(tmp_path / "run", teacher=str(tmp_path / "slices.safetensors"), steps=1).run()
    assert training_record(tmp_path / "run" / "weights.safetensors")["teacher"].startswith("slices.safetensors (")


def test_an_unknown_network_and_a_source_without_a_glob_are_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="must be one of consistent"):
        seeded_denoiser(0, network="nope")
    with pytest.raises(InputError, match="a source needs a glob"):
        load_slices(tmp_path, [{"weight": 2}])
