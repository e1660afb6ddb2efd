"""Trainings in two processes are those of one."""

import csv
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from scans import fft2c, phantom, write_scan

from mri_d3gm.cli.main import main
from mri_d3gm.errors import InputError
from mri_d3gm.networks.weights import load_weights
from mri_d3gm.training.checkpoint import claimed, load_checkpoint
from mri_d3gm.training.engine import Trainer
from mri_d3gm.training.grow import seeded_denoiser
from mri_d3gm.training.processes import leads, mean_of_parts, process_group, rank, share
from mri_d3gm.training.simulate import draw_scene
from mri_d3gm.training.sources import Example

FORKS = "fork" in multiprocessing.get_all_start_methods() and torch.distributed.is_available()
pytestmark = pytest.mark.skipif(not FORKS, reason="needs processes that fork, and torch.distributed")
STEPS, STOP = 30, 15
SLICES = [Example(torch.from_numpy(image).float() / 3, 1.0, str(index)) for index, image in enumerate(phantom(3, 80, 70))]


def trainer(folder: Path, parts: int = 3, slices: list[Example] = SLICES) -> Trainer:
    """A tiny one of three parts a step, of which two processes have one and two."""
    settings = {"simulate": partial(draw_scene, batch=1, rows=16, cols=48, crop=24), "precision": "float32"}
    denoiser = seeded_denoiser(0, options={"blocks": 1, "features": 8, "embedding": 16})
    settings |= {"validate_every": 10, "spread_after": 0.5, "steps": STEPS, "parts": parts}
    return Trainer(denoiser, slices, SLICES[:1], str(folder), **settings)


def stopped(folder: Path, number: signal.Signals, by: int) -> None:
    """A training that a signal to one of its processes stops after STOP steps."""
    one = trainer(folder)
    usual = one._state_at_time

    def told(case, step: int, part: int):
        if step == STOP - 1 and rank() == by:
            os.kill(os.getpid(), number)
        return usual(case, step, part)

    one._state_at_time = told  # type: ignore[method-assign]
    try:
        one.run()
    except KeyboardInterrupt:
        assert leads()
    except SystemExit as end:
        assert not leads() and end.code == 130


def refused(training: Trainer, said: str) -> None:
    """The first process says why, the others leave."""
    try:
        training.run()
    except InputError as error:
        assert leads() and said in str(error), error
    except SystemExit as end:
        assert not leads() and end.code == 2
    else:
        raise AssertionError(f"not refused: {said}")


def each_of_two(folder: Path) -> None:
    """What each of two processes does."""
    with process_group():
        refused(trainer(folder / "held"), "another training is at work here")
        refused(trainer(folder / "few", parts=1), "train#trainer#parts: 1, too few for 2 processes")
        refused(trainer(folder / "other", slices=SLICES[rank() :]), "different data or options")
        told: list[int] = []
        done = trainer(folder / "two").run(lambda step, steps, loss: told.append(step))
        assert done.steps == STEPS and len(told) == (STEPS if leads() else 0)
        trainer(folder / "one-two").run()
        stopped(folder / "two-one", signal.SIGTERM, by=1)
    one = trainer(folder / "time")  # in a group of its own
    one.max_minutes = 0.0 if leads() else 9.0
    assert one.run().stopped_early and rank() == 0


def rows(folder: Path) -> list[tuple[float, float]]:
    """Loss and gain of each step."""
    with open(folder / "log.csv", newline="") as file:
        return [(float(row["loss"]), float(row["gain_db"] or 0)) for row in csv.DictReader(file)]


def as_one_of_two(number: int, port: int, work: Callable[..., None], *arguments: object) -> None:
    """work(*arguments) as a launcher would start it."""
    given = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items()})
    torch.set_num_threads(1)
    work(*arguments)


def in_two(work: Callable[..., None], *arguments: object) -> list[int | None]:
    """The exit codes of two processes, within a minute or two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=as_one_of_two, args=(number, port, work, *arguments)) for number in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(120)
        one.kill()
        one.join()
    return [one.exitcode for one in both]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trainings of two processes in it, and the same of one."""
    folder = tmp_path_factory.mktemp("runs")
    trainer(folder / "one").run()
    with pytest.raises(KeyboardInterrupt):
        one = trainer(folder / "one-two")
        one.run(lambda step, steps, loss: os.kill(os.getpid(), signal.SIGINT) if step == STOP else None)
    assert len(rows(folder / "one-two")) == STOP
    with claimed(folder / "held"):
        assert in_two(each_of_two, folder) == [0, 0]
    assert load_checkpoint(folder / "two-one" / "checkpoint.pt")["step"] == len(rows(folder / "two-one")) == STOP
    assert trainer(folder / "two-one").run().steps == STEPS
    return folder


@pytest.mark.parametrize("name", ["two", "two-one", "one-two"])
def test_losses_gains_and_weights_do_not_depend_on_the_number_of_processes(name: str, runs: Path) -> None:
    assert len(rows(runs / name)) == STEPS
    torch.testing.assert_close(torch.tensor(rows(runs / name)), torch.tensor(rows(runs / "one")), rtol=0, atol=1e-5)
    assert sum(gain != 0 for _, gain in rows(runs / name)) == STEPS // 10
    assert load_weights(runs / name / "weights.safetensors")[1]["parts"] == 3


def test_the_first_process_alone_touches_folders(runs: Path) -> None:
    names = {path.name for path in (runs / "two").iterdir()} - {"tensorboard"}
    assert names == {".lock", "checkpoint.pt", "log.csv", "weights.safetensors"}
    assert not (runs / "few").exists() and rows(runs / "time") == []


def test_a_mean_of_parts_is_that_of_the_joint_batch() -> None:
    weight = torch.zeros(3)
    gradients, parts = [torch.zeros(3), torch.zeros(2, 2)], torch.randn(4, 8, generator=torch.Generator().manual_seed(0))

    def losses():
        for part in parts:
            gradients[0].copy_(part[:3]), gradients[1].copy_(part[3:7].view(2, 2))
            yield part[7]

    loss, weight = mean_of_parts(losses(), gradients, 4), parts.mean(0)
    torch.testing.assert_close(torch.cat([*(g.flatten() for g in gradients), loss.view(1)]), weight)
    assert list(share(3)) == [0, 1, 2] and leads()


def command(folder: Path, **changes: object) -> list[str]:
    """Training of the shipped configuration for several processes, made tiny, and its data."""
    write_scan(folder / "a.h5", fft2c(phantom(2, 64, 64)))
    settings = {"extends": "multi_process", "sources": [{"glob": "*.h5"}], "validation_sources": []}
    settings |= {f"train#simulate#{name}": size for name, size in (("rows", 16), ("cols", 48), ("crop", 24))}
    settings |= {"network_def#options": {"blocks": 1, "features": 8, "embedding": 16}, "train#trainer#steps": 2}
    (folder / "tiny.json").write_text(json.dumps(settings | changes))
    return ["train", str(folder / "tiny.json"), "--data", str(folder), "-o", str(folder / "run"), "--device", "cpu"]


def test_torchrun_trains_and_the_first_process_says_so(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mri_d3gm"]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*torchrun, *command(tmp_path)], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{tmp_path / 'run' / 'weights.safetensors'}: 2 of 2 steps"]


def told(stderr: Path, arguments: list[str]) -> None:
    """The command, with what it says in a file."""
    with open(stderr, "a", buffering=1) as sys.stderr:
        sys.argv = ["mri-d3gm", *arguments]
        main()


@pytest.mark.parametrize("problem", ["parts", "folder", "data"])
def test_what_cannot_be_trained_is_one_line_of_all_processes(problem: str, tmp_path: Path) -> None:
    arguments = command(tmp_path, **({"train#trainer#parts": 1} if problem == "parts" else {}))
    if problem == "folder":
        (tmp_path / "run").write_text("")
    if problem == "data":
        arguments[3] = str(tmp_path / "none")
    assert in_two(told, tmp_path / "said", arguments) == [2, 2]
    (line,) = (tmp_path / "said").read_text().splitlines()
    assert line.startswith("mri-d3gm: ") and {"parts": "too few for 2", "folder": "run", "data": "none"}[problem] in line
