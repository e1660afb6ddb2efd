"""The network of settings."""

import json
import shlex
from functools import cache
from typing import Any

from mri_d3gm.compute import resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.networks.weights import check_channels, load_network, metadata_of
from mri_d3gm.runs.bounds import bounds_of
from mri_d3gm.runs.record import weights_file
from mri_d3gm.settings import Recon, Restore, Settings, SuperResolve
from mri_d3gm.shipped import shipped

TRAINING = ("train", "compare", "reproduce")  # commands that train by the configuration that they name


def load(settings: Settings) -> Denoiser:
    """The network of the settings' weights on their device; kept while the file stays as it is.

    InputError for weights of another task, and for a bound beside the weights that cannot be used, which would be met after the
    work.
    """
    name = weights_file(settings)
    check_task(name, settings)
    network = load_network(name, resolve_device(settings.device), settings.tau)
    check_channels(name, network, 3 if isinstance(settings, Restore) else 2)
    if isinstance(settings, Recon):
        bounds_of(settings, 1)
    return network


def check_task(name: str, settings: Settings) -> None:
    """InputError for a weights file that says that it was trained for another task than that of the settings."""
    trained, asked = trained_for(metadata_of(name)[1]), task_of(settings)
    if trained not in (None, asked):
        raise InputError(f"{name}: weights of another task ({trained}), and those of {asked} are needed")


def task_of(settings: Settings) -> str:
    """The task of settings, as a command line names it."""
    if isinstance(settings, Restore):
        return f"restore --task {settings.task}"
    if isinstance(settings, SuperResolve):
        return "sr --isotropic" if settings.isotropic else "sr"
    return "recon"


def trained_for(record: dict[str, Any]) -> str | None:
    """The task of the shipped configuration that a training record's command names; None for other commands and files."""
    try:
        program, command, *rest = shlex.split(str(record.get("command")))
    except ValueError:
        return None
    if program != "mri-d3gm" or command not in TRAINING:
        return None
    words = iter(rest)
    for word in words:
        if not word.startswith("-"):
            return _configured(word)
        if "=" not in word:
            next(words, None)  # an option's value
    return None


@cache
def _configured(name: str) -> str | None:
    keys: dict[str, Any] = {}
    config: str | None = name
    while config is not None:
        path = shipped("configs") / f"{config}.json"
        if path.parent != shipped("configs") or not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        keys, config = found | keys, found.get("extends")
    if keys.get("pipeline") == "restoration":
        return f"restore --task {keys.get('task', 'derain')}"
    if keys.get("pipeline") == "super_resolution":
        return "sr --isotropic" if "simulate_slices" in str(keys.get("train#simulate")) else "sr"
    return "recon"
