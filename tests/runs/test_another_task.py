from pathlib import Path

import pytest
from photographs import photograph
from scans import write_scan

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.lab import stability
from mri_d3gm.lab.benchmark import run_benchmark
from mri_d3gm.networks.weights import metadata_of
from mri_d3gm.runs.model import check_task, load, task_of, trained_for
from mri_d3gm.settings import Recon, Restore, Settings, SuperResolve
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import named_causes, open_bundle

OWN: dict[str, list[Settings]] = {
    "reconstruction/model": [Recon()],
    "reconstruction/model-smooth": [Recon()],
    "super_resolution/model": [SuperResolve()],
    "super_resolution/isotropic": [SuperResolve(isotropic=True)],
    "restoration/derain": [Restore(task="derain")],
    "restoration/derain-rain100h": [Restore(task="derain")],
    "restoration/dehaze": [Restore(task="dehaze")],
}
ALL = list({task_of(one): one for owners in OWN.values() for one in owners}.values())


def weights(name: str) -> str:
    bundle, stem = name.split("/")
    return str(shipped("pipelines", bundle, "models", f"{stem}.safetensors"))


@pytest.mark.parametrize("name", OWN)
def test_shipped_weights_are_for_their_own_task_alone(name: str) -> None:
    file = weights(name)
    for settings in ALL:
        if settings in OWN[name]:
            check_task(file, settings)
        else:
            with pytest.raises(InputError, match=r"safetensors: weights of another task \((recon|sr|restore)"):
                load(type(settings).of(settings.fingerprint() | {"weights": file}))


def test_they_are_refused_by_python_bundle_benchmark_and_laboratory(tmp_path: Path) -> None:
    path, dehaze = photograph(tmp_path / "a.png"), weights("restoration/dehaze")
    said = r"dehaze\.safetensors: weights of another task \(restore --task dehaze\), and those of restore --task derain"
    with pytest.raises(InputError, match=said):
        mri_d3gm.restore(path, task="derain", weights=dehaze)
    bundle = open_bundle(shipped("pipelines", "restoration"), "inference.json", "inference", weights=dehaze)
    with pytest.raises(InputError, match=said), named_causes():
        _ = bundle.network_def
    protocol = {"task": "derain", "domains": [{"domain": "a", "degrade": "rain-light", "glob": "*.png"}]}
    with pytest.raises(InputError, match=said):
        run_benchmark("restoration", tmp_path, tmp_path / "out", protocol, ["regression"], {"weights": dehaze})
    with pytest.raises(InputError, match=r"another task \(sr\), and those of recon"):
        stability.measure_stability(write_scan(tmp_path / "a.h5"), tmp_path, weights=[weights("super_resolution/model")])


@pytest.mark.parametrize(
    "command, task",
    [
        ("mri-d3gm train weights-dehaze --data DIR", "restore --task dehaze"),
        ("mri-d3gm train --data weights -o weights-sr --max-minutes=3 weights-derain", "restore --task derain"),
        ("mri-d3gm compare compare-recon --data DIR", "recon"),
        ("mri-d3gm reproduce o-haze --data DIR", "restore --task dehaze"),
        ("mri-d3gm train weights-sr-isotropic --data 'a b'", "sr --isotropic"),
        ("mri-d3gm train mine.json --data weights", None),
        ("mri-d3gm train configs/weights-dehaze.json --data DIR", None),  # a file that may have been changed
        ("mri-d3gm train ../configs/weights --data DIR", None),
        ("mri-d3gm benchmark restore --train --protocol rain100h --data DIR", None),
        ("mri-d3gm -q tests/weights", None),
        ("mri-d3gm train 'weights", None),
        ("mri-d3gm", None),
        (None, None),
    ],
)
def test_the_task_is_that_of_a_shipped_configuration(command: str | None, task: str | None) -> None:
    assert trained_for({} if command is None else {"command": command}) == task


def test_all_shipped_weights_say_what_they_were_trained_for() -> None:
    files = sorted(shipped("pipelines").glob("*/models/*.safetensors"))
    assert {f"{file.parent.parent.name}/{file.stem}" for file in files} == set(OWN)
    assert all(trained_for(metadata_of(file)[1]) for file in files)
