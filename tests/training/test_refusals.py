"""Trainings that are refused, or end, in one line, and what they leave."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from scans import fft2c, phantom, write_scan

from mri_d3gm.errors import InputError, place
from mri_d3gm.networks.denoiser import NETWORKS
from mri_d3gm.networks.weights import load_weights
from mri_d3gm.tasks.train import train
from mri_d3gm.training.checkpoint import load_checkpoint
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.simulate import draw_scene
from mri_d3gm.training.sources import Example, digest, load_slices, select_files

SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]
TINY = {"blocks": 1, "features": 8, "embedding": 16}
SIZES = {"batch": 1, "rows": 16, "cols": 48, "crop": 24}


def trainer(folder: Path, **changes: object) -> Trainer:
    settings = {"denoiser": seeded_denoiser(0, options=TINY), "slices": SLICES, "validation": [], "folder": str(folder)}
    settings |= {"simulate": partial(draw_scene, **SIZES), "steps": 4, "precision": "float32", "checkpoint_seconds": 0.0}
    return Trainer(**(settings | changes))


def overlay(folder: Path, **changes: object) -> str:
    """A small configuration in a folder with data for it."""
    write_scan(folder / "a.h5", fft2c(phantom(2, 64, 64)))
    settings = {"sources": [{"glob": "*.h5"}], "network_def#options": TINY, "train#trainer#steps": 2}
    settings |= {f"train#simulate#{name}": size for name, size in SIZES.items()}
    (folder / "tiny.json").write_text(json.dumps(settings | changes))
    return str(folder / "tiny.json")


def refusal(work: Callable[[], object]) -> str:
    """The one line of an InputError."""
    with pytest.raises(InputError) as refused:
        work()
    said = str(refused.value)
    assert "\n" not in said and "tensor(" not in said and len(said) < 600
    return said


def test_a_training_that_diverges_ends_without_weights(tmp_path: Path) -> None:
    said = refusal(trainer(tmp_path, lr=1e8, steps=6).run)
    assert "diverged" in said and "another -o" not in said and "checkpoint" not in said
    assert not list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("weights_too", [False, True])
def test_a_training_that_diverges_keeps_its_last_good_checkpoint(weights_too: bool, tmp_path: Path, monkeypatch) -> None:
    """Whether the loss says it, or the weights alone as a checkpoint is due."""
    run = trainer(tmp_path)
    usual = run._step

    def step(parts, number, *others):
        row = usual(parts, number, *others)
        if number == 2 and weights_too:
            next(run.denoiser.parameters()).data.fill_(torch.nan)
        elif number == 2:
            row["loss"] = torch.tensor(torch.inf)
        return row

    monkeypatch.setattr(run, "_step", step)
    said = refusal(run.run)
    assert f"diverged by step 3, its {'weights are' if weights_too else 'loss is'} not finite" in said
    assert "another -o (the checkpoint from before is kept)" in said
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert state["step"] == 2 and all(value.isfinite().all() for value in state["denoiser"].values())
    assert load_weights(tmp_path / "weights.safetensors")[1]["steps"] == 2


def test_weights_that_float16_cannot_hold_are_not_written(tmp_path: Path) -> None:
    run = trainer(tmp_path, ema=0.0, lr=0.0)
    next(run.denoiser.parameters()).data.fill_(1e6)
    said = refusal(run.run)
    assert "float16" in said and "not finite" not in said
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("constant", [-torch.inf, 1e5])
def test_buffers_are_no_weights_that_diverge(constant: float, tmp_path: Path, monkeypatch) -> None:
    """Masks and frequencies of a network of one's own, which float16 may not hold; they come back as they were."""

    class Masked(NETWORKS["consistent"]):  # type: ignore[misc]
        def __init__(self, blocks: int, features: int, embedding: int) -> None:
            super().__init__(blocks=blocks, features=features, embedding=embedding)
            self.register_buffer("constant", torch.tensor([1.0, constant]))

    monkeypatch.setitem(NETWORKS, "masked", Masked)
    run = trainer(tmp_path, denoiser=seeded_denoiser(0, network="masked", options=TINY), steps=1)
    kept = load_weights(run.run().weights)[0].net.constant
    assert kept.tolist() == [1.0, constant]


@pytest.mark.parametrize("change", [lambda image: image.flip(0), lambda image: image * 0.999, lambda image: image.roll(1, 1)])
def test_other_pixels_are_another_training(change: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path) -> None:
    trainer(tmp_path, max_minutes=0).run()
    changed = [*SLICES[:2], Example(change(SLICES[2].image), 1.0, "2")]
    assert "differs in pixels of the data" in refusal(trainer(tmp_path, slices=changed).run)
    assert trainer(tmp_path).run().steps == 4


def test_the_digest_of_pixels_sees_pairs_and_no_rounding() -> None:
    one = Example(SLICES[0].image, 1.0, "a", SLICES[1].image)
    assert digest([one]) != digest([Example(SLICES[0].image, 1.0, "a", SLICES[2].image)])
    assert digest(SLICES) != digest([SLICES[1], SLICES[0], SLICES[2]])
    rounded = [Example(item.image * (1 + 1e-7 * torch.randn(item.image.shape)), 1.0, item.name) for item in SLICES]
    assert digest(rounded) == digest(SLICES)


def test_the_digest_of_many_slices_takes_no_time_and_sees_a_few_pixels() -> None:
    many = [Example(image, 1.0, "a") for image in torch.rand(10, 320, 320, generator=torch.Generator().manual_seed(0))] * 40
    fastest, whole = float("inf"), ""
    for _ in range(3):
        start = time.perf_counter()
        whole = digest(many)
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 0.6  # a pass that draws its weights anew takes 1.7 s
    for row in range(0, 320, 80):
        changed = many[7].image.clone()
        changed[row : row + 4, 50:54] += 0.5
        assert digest([*many[:200], Example(changed, 1.0, "a"), *many[201:]]) != digest([*many[:200], many[7], *many[201:]])
    assert whole == digest(many)


IMPOSSIBLE = {
    "train#trainer#lr": (-1, "0.01", float("nan"), None),
    "train#trainer#weight_decay": (-1,),
    "train#trainer#steps": (-3, "5", 2.5, True),
    "train#trainer#validate_every": (0,),
    "train#trainer#ema": (2,),
    "train#trainer#early": (2, -0.1),
    "train#trainer#spread_after": (2,),
    "train#trainer#parts": (0, 1.5),
    "train#trainer#checkpoint_seconds": (-1, float("nan")),
    "train#simulate#batch": (0, "2"),
    "train#simulate#rows": (2,),
    "train#simulate#accel": (-4, 0, 100),
    "train#simulate#rough": (1.5,),
    "seed": (2**32, -1),
    "max_minutes": (-1, float("nan")),
    "sigma_r": (-1, 0, "x"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in IMPOSSIBLE.items() for value in values])
def test_an_impossible_number_is_named_before_anything_is_made(name: str, value: object, tmp_path: Path) -> None:
    own = name.rpartition("#")[2]

    def work() -> None:
        if name == "sigma_r":
            trainer(tmp_path / "run", denoiser=seeded_denoiser(0, options=TINY, sigma_r=value)).run()
        elif "simulate" in name:
            trainer(tmp_path / "run", simulate=partial(draw_scene, **SIZES | {own: value})).run()
        else:
            trainer(tmp_path / "run", **{own: value}).run()

    said = refusal(work)
    assert said.startswith(name) and str(value) in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [TINY | {"blocks": 0}, TINY | {"features": 7}])
def test_a_network_that_cannot_take_the_first_step_is_one_line(options: dict, tmp_path: Path) -> None:
    said = refusal(lambda: trainer(tmp_path, denoiser=seeded_denoiser(0, options=options)).run())
    assert "the first step fails" in said and "network_def" in said


def test_checkpoints_may_be_put_off_to_the_end(tmp_path: Path) -> None:
    assert trainer(tmp_path, steps=1, checkpoint_seconds=float("inf")).run().steps == 1


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_fault_of_ones_own_simulator_is_named_with_its_line(wrapped: bool, tmp_path: Path) -> None:
    def simulate(slices: object, seed: int) -> None:
        if wrapped:
            raise RuntimeError("no scene") from KeyError("mine")
        {}["mine"]

    with pytest.raises(InputError, match="KeyError: 'mine'") as refused:
        trainer(tmp_path, simulate=simulate).run()
    line = simulate.__code__.co_firstlineno + (2 if wrapped else 3)
    assert f"({__file__}, line {line})" in str(refused.value) and refused.value.__cause__ is not None


def test_a_refusal_within_the_first_step_stays_itself(tmp_path: Path) -> None:
    def simulate(slices: object, seed: int) -> None:
        try:
            raise InputError("a.npy: no mask; give another")
        except InputError as error:
            raise ValueError("no scene") from error

    with pytest.raises(InputError, match="no mask; give another") as refused:
        trainer(tmp_path, simulate=simulate).run()
    assert refused.value.__cause__ is None  # no circle of causes


def test_a_fault_in_pytorch_is_named_by_the_line_that_called_it() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.nn.Conv2d(2, 2, 3)(torch.zeros(1))
    assert place(raised.value).startswith(__file__)
    told = RuntimeError('Caught KeyError\nTraceback\n  File "/own/draw.py", line 7, in draw\nKeyError')
    with pytest.raises(RuntimeError) as raised:
        raise told
    assert place(raised.value) == "/own/draw.py, line 7"


def test_a_later_fault_is_not_hidden(tmp_path: Path, monkeypatch) -> None:
    run = trainer(tmp_path)
    usual = run._step
    monkeypatch.setattr(run, "_step", lambda parts, number, *others: usual(parts, number, *others) if number < 2 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()


WRONG = {
    "step": ({"step": 3}, "did you mean train#trainer#steps?"),
    "validate_every": ({"validate_every": 0}, "did you mean train#trainer#validate_every?"),
    "validation_source": ({"validation_source": [{"glob": "*"}]}, "did you mean validation_sources?"),
    "train#trainer#stepz": ({"train#trainer#stepz": 2}, "did you mean train#trainer#steps?"),
    "trainr": ({"train#trainr#steps": 2}, "no such group of keys"),
    "train#simulate#rows": ({"pipeline": "super_resolution"}, "one of slices, seed, batch, crop"),
    "key of a source exlude": ({"sources": [{"glob": "*", "exlude": ["v*"]}]}, "did you mean key of a source exclude?"),
    "seeded_denoiser": ({"network_def#options": TINY | {"features": -8}}, "negative dimension -8"),
    "optional": ({"sources": [{"glob": "*", "optional": "no"}]}, "true or false"),
    "weight 0": ({"sources": [{"glob": "*.h5", "weight": 0}]}, "no training slices"),
    "seed": ({"seed": "a"}, "cannot be made"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_key_or_value_of_an_overlay_is_one_line_with_the_nearest_key(name: str, tmp_path: Path) -> None:
    change, hint = WRONG[name]
    said = refusal(lambda: train(overlay(tmp_path, **change), str(tmp_path), str(tmp_path / "run"), "cpu"))
    assert name in said and hint in said


def test_ids_of_ones_own_that_others_refer_to_are_no_mistake(tmp_path: Path) -> None:
    own = {"width": 8, "_comment": "narrow", "network_def#options": {"blocks": 1, "features": "@width"}, "notes": ["mine"]}
    assert train(overlay(tmp_path, **own), str(tmp_path), str(tmp_path / "run"), "cpu", max_minutes=0).steps == 0
    assert "did you mean" in refusal(lambda: train("own", str(tmp_path), str(tmp_path / "run"), "cpu", seeed=3))


REFERRED = {
    "a group's": {"train#mine": 8, "network_def#options#features": "@train#mine"},
    "with ::": {"train::mine": 8, "network_def#options#features": "@train::mine"},
    "in the group above": {"train#mine": 2, "train#trainer#steps": "@##mine"},
    "at the root": {"mine": 8, "network_def#options#features": "$@###mine"},
    "a macro": {"mine-2": 8, "network_def#options#features": "%mine-2"},
    "not ASCII": {"größe": 8, "network_def#options#features": "@größe"},
    "a part of": {"mine": {"width": 8}, "network_def#options#features": "@mine#width"},
    "torch.tensor": {"mine": {"_target_": "torch.tensor", "data": 8}, "network_def#options#features": "$int(@mine)"},
    "builtins.dict": {"mine": {"_target_": "builtins.dict", "width": 8}, "network_def#options#features": "$@mine['width']"},
    "MONAI's own": {"initialize": ["$0"], "run": ["$@train#trainer.run()"], "finalize": ["$0"], "+imports": ["$import math"]},
}


@pytest.mark.parametrize("name", REFERRED)
def test_ids_that_monai_finds_and_its_own_are_no_mistake(name: str, tmp_path: Path) -> None:
    keys = {"network_def#options#features": 8} | REFERRED[name]
    assert train(overlay(tmp_path, **keys), str(tmp_path), str(tmp_path / "run"), "cpu", max_minutes=0).steps == 0


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        ("mine", "mine: 5\nnotes: see @mine\n"),
        ("min", "min: 5\nmine: 3\ntrain#trainer#steps: '@mine'\n"),
        ("1", "1: 2\n"),
        ("train#trainer#3", "train#trainer#3: 2\n"),
        ("train#simulate#3", "train#simulate: {_target_: mri_d3gm.training.simulate.draw_scene, 3: 4}\n"),
        ("key of a source 3", "sources: [{glob: '*.h5', 3: 4}]\n"),
        ("train#trainer#steps", "train#trainer#steps: '@######mine'\n"),
        ("train#simulate#_target_", "train#simulate#_target_: own_broken.draw\n"),
    ],
)
def test_keys_of_any_kind_that_nothing_knows_are_one_line(said: str, keys: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_broken.py").write_text("1 +")
    monkeypatch.syspath_prepend(tmp_path)
    overlay(tmp_path)
    (tmp_path / "own.yaml").write_text(keys)
    with pytest.raises(InputError, match=f"^{said}: "):
        train(str(tmp_path / "own.yaml"), str(tmp_path), str(tmp_path / "run"), "cpu", max_minutes=0)


def test_overlays_that_extend_each_other_name_the_loop(tmp_path: Path) -> None:
    for name, other in (("a", "a"), ("b", "c"), ("c", "b")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"extends": str(tmp_path / f"{other}.json")}))
    for name in "ab":
        said = refusal(lambda name=name: train(str(tmp_path / f"{name}.json"), str(tmp_path)))
        assert f"{name}.json: extends itself" in said
    (tmp_path / "d.json").write_text(json.dumps({"extends": ["a", "b"]}))
    assert "d.json: extends must be" in refusal(lambda: train(str(tmp_path / "d.json"), str(tmp_path)))


@pytest.mark.parametrize(
    "error", [RuntimeError("[enforce fail at inline_container.cc] . file write failed\nframe #0: ..."), None]
)
def test_a_full_disk_is_one_line_and_keeps_the_checkpoint(error: Exception | None, tmp_path: Path, monkeypatch) -> None:
    trainer(tmp_path, max_minutes=0).run()
    kept = {name: (tmp_path / name).read_bytes() for name in ("checkpoint.pt", "weights.safetensors")}

    def full(*_: object) -> None:
        raise error or SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("torch.save" if error else "safetensors.torch.save_file", full)
    said = refusal(trainer(tmp_path).run)
    assert str(tmp_path) in said and "is the disk full?" in said and "frame" not in said
    name = "checkpoint.pt" if error else "weights.safetensors"
    assert (tmp_path / name).read_bytes() == kept[name] and not list(tmp_path.glob(".writing*"))


def test_files_in_hidden_folders_are_left_out_and_endings_in_capitals_are_not(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "BIG.NII.GZ", "in/b.Nii", ".cache/old.nii.gz", "in/.ipynb_checkpoints/c.nii"):
        (tmp_path / ".data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".data" / name).touch()
    data = tmp_path / ".data"
    found = [path.relative_to(data).as_posix() for path in select_files(data, {"glob": ["**/*.nii.gz", "**/*.NII"]})]
    assert found == ["BIG.NII.GZ", "a.nii.gz", "in/b.Nii"]
    assert [path.name for path in select_files(data, {"glob": "**/*", "exclude": ["**/*.nii", "*.nii.GZ"]})] == ["in"]


@pytest.mark.parametrize("level", [-1.0, 0.0])
def test_slices_that_were_all_left_out_are_counted(level: float, tmp_path: Path) -> None:
    volume = np.full((16, 16, 3), level, np.float32)
    volume[0, 0] = 1 - (level < 0)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    said = refusal(lambda: load_slices(tmp_path, [{"glob": "*.nii"}]))
    assert "none of the 3 slices" in said and str(tmp_path) in said
