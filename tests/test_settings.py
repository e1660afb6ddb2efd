"""Each option is written once, in settings: what shows or takes options agrees with it."""

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mri_d3gm
from mri_d3gm import settings
from mri_d3gm.cli.main import app
from mri_d3gm.errors import InputError
from mri_d3gm.io.sidecar import read_sidecar
from mri_d3gm.methods import METHODS
from mri_d3gm.physics.degrade import DEGRADATIONS
from mri_d3gm.physics.interpolation import FILTERS
from mri_d3gm.physics.masks import MASKS
from mri_d3gm.physics.slice_stack import PROFILES
from mri_d3gm.runs.record import provenance
from mri_d3gm.samplers import SOLVERS
from mri_d3gm.settings import INTERPOLATIONS, LEARNED, SAMPLED, TASKS, Recon, Restore, Settings, SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.weather.degrade import WEATHER

PYTHON = {"recon": mri_d3gm.reconstruct, "sr": mri_d3gm.superresolve, "restore": mri_d3gm.restore}
DOCS = Path(__file__).parent.parent / "docs"
OF_A_RUN = {"inputs", "output", "overwrite", "as_json"}


def choices(task: type[Settings], name: str) -> tuple[Any, ...]:
    return next(entry.metadata["choices"] for entry in fields(task) if entry.name == name)


def test_choices_are_what_is_registered() -> None:
    for task in (Recon, SuperResolve, Restore):
        assert choices(task, "method") == tuple(METHODS[task])
    assert set(choices(Settings, "solver")) == set(SOLVERS)
    assert set(choices(Recon, "mask_kind")) == set(MASKS)
    assert set(choices(SuperResolve, "degrade")) == set(DEGRADATIONS)
    assert set(choices(Restore, "degrade")) == set(WEATHER)
    assert choices(SuperResolve, "profile") == PROFILES
    assert set(FILTERS) == set(INTERPOLATIONS)
    assert set(SAMPLED) <= set(LEARNED)


@pytest.mark.parametrize(
    ("module", "method", "run"),
    [
        ("recon_record", "zero-filled", lambda **options: mri_d3gm.reconstruct(np.ones((32, 32), complex), accel=1, **options)),
        ("sr", "sinc", lambda **options: mri_d3gm.superresolve(np.ones((16, 16, 3), np.float32), **options)),
        ("restore", "identity", lambda **options: mri_d3gm.restore(np.ones((64, 64, 3), np.float32), **options)),
    ],
)
def test_the_sidecar_counts_the_draws_of_methods_that_are_sampled(module: str, method: str, run, monkeypatch) -> None:
    assert run(method=method, samples=3).record["Draws"] == 1
    monkeypatch.setattr(f"mri_d3gm.tasks.{module}.SAMPLED", (method,))
    assert run(method=method, samples=3).record["Draws"] == 3


@pytest.mark.parametrize("task", TASKS)
def test_the_command_has_the_options_of_the_settings(task: str) -> None:
    params = {param.name: param for param in app.get_command(None, task).params}
    shown = {entry.name: entry for entry in fields(TASKS[task]) if entry.metadata["shown"]}
    assert set(params) - OF_A_RUN == set(shown)
    for name, entry in shown.items():
        assert settings.flag_of(entry) in params[name].opts
        assert params[name].required or params[name].default == entry.default


@pytest.mark.parametrize("task", TASKS)
def test_keywords_of_python_do_not_hide_options(task: str) -> None:
    named = [p.name for p in inspect.signature(PYTHON[task]).parameters.values() if p.kind is not p.VAR_KEYWORD]
    assert set(named) & {entry.name for entry in fields(TASKS[task])} <= {"coil_maps"}
    with pytest.raises(InputError, match="unknown option colour; one of"):
        PYTHON[task](np.ones((16, 16, 3), np.float32), colour=1)


@pytest.mark.parametrize("task", TASKS)
def test_the_bundle_has_the_options_and_defaults_of_the_settings(task: str) -> None:
    config = json.loads(shipped("pipelines", TASKS[task].bundle, "configs", "inference.json").read_text())
    defaults = {entry.name: entry.default for entry in fields(TASKS[task])}
    assert {name: config[name] for name in defaults.keys() - {"weights", "device"}} == {
        name: value for name, value in defaults.items() if name not in ("weights", "device")
    }
    given = {name: value for name, value in config["settings"].items() if name != "_target_"}
    assert given == {name: f"@{name}" for name in defaults}


@pytest.mark.parametrize("task", TASKS)
def test_the_fingerprint_is_of_all_options_that_decide(task: str) -> None:
    options = provenance(TASKS[task](), [])["Options"]
    undecided = {"weights", "device", "threads", "quality"}  # weights by their content, quality by what it sets
    assert set(options) == {entry.name for entry in fields(TASKS[task])} - undecided


def test_the_sidecar_holds_the_fingerprint(tmp_path) -> None:
    from scans import write_scan

    from mri_d3gm.tasks.recon import names_of, reconstruct_file

    chosen = Recon(method="zero-filled", accel=4)
    names = names_of("a.h5", tmp_path)
    reconstruct_file(write_scan(tmp_path / "a.h5"), chosen, names)
    assert read_sidecar(names.sidecar)["Options"] == chosen.fingerprint()


@pytest.mark.parametrize("task", TASKS)
def test_the_table_in_the_docs_is_that_of_the_settings(task: str) -> None:
    text = (DOCS / f"{TASKS[task].bundle}.md").read_text()
    written = text.partition("<!-- options -->\n")[2].partition("\n<!-- /options -->")[0]
    assert written == settings.table(TASKS[task]), "run make tables"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "--steps 0: must be 1 or more"),
        ({"steps": 1.5}, "--steps 1.5: must be a whole number"),
        ({"steps": True}, "--steps True: must be a whole number"),
        ({"accel": "4"}, "--accel '4': must be a number"),
        ({"accel": float("nan")}, "--accel nan: must be 1 or more"),
        ({"crop": 1}, "--crop 1: must be True or False"),
        ({"quality": "superb"}, "--quality superb: unknown; one of fast, default, best"),
        ({"seed": None}, "--seed: a value is needed"),
        ({"tau": 1e300}, "--tau 1e.300: must be 1000000 or less"),
        ({"method": ["d3gm"]}, "--method"),
    ],
)
def test_values_that_an_option_cannot_have(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recon.of(options)


@pytest.mark.parametrize("task", TASKS)
def test_euler_maruyama_needs_more_than_a_few_steps(task: str) -> None:
    for few in (2, 9):
        with pytest.raises(InputError, match=f"--steps {few}: too few for --solver euler-maruyama"):
            TASKS[task].of({"solver": "euler-maruyama", "steps": few})
        assert TASKS[task].of({"steps": few})
    for steps in (1, 10):
        assert TASKS[task].of({"solver": "euler-maruyama", "steps": steps})
    assert TASKS[task].of({"solver": "euler-maruyama"})


def test_numbers_of_numpy_are_numbers() -> None:
    chosen = Recon(accel=np.float32(4), steps=np.int64(2), slices=3)
    assert (chosen.accel, chosen.steps, chosen.slices) == (4.0, 2, "3")
    assert type(chosen.accel) is float and type(chosen.steps) is int


def test_quality_sets_what_is_not_given() -> None:
    assert (Recon(quality="fast").samples, Recon(quality="best", samples=2).samples, Recon().trust) == (1, 2, "fast")
