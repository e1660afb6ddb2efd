"""Training: opens the train.json of the bundle that an overlay names and runs its trainer."""

import math
import shlex
import sys
from pathlib import Path
from typing import Any

from mri_d3gm.compute import resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.networks.weights import metadata_of
from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import named_causes, open_bundle, overlay_file, overlay_files, overlay_keys
from mri_d3gm.training.checkpoint import check_folder
from mri_d3gm.training.engine import StepProgress, Trained
from mri_d3gm.training.processes import leads, own_device, process_group, together


def default_folder(config: str) -> Path:
    """Where a configuration trains unless told otherwise: runs/train-NAME."""
    return Path("runs") / f"train-{overlay_file(config).stem}"


def train(
    config: str,
    data: str,
    output: str | None = None,
    device: str = "auto",
    max_minutes: float | None = None,
    *,
    progress: StepProgress | None = None,
    **keys: object,
) -> Trained:
    """Train by `config`, a file or a name in configs/; weights, log and checkpoint go to the folder `output`.

    output: `default_folder` if None. progress: called after each step with the steps done, those of the schedule and the loss.
    keys: what else to change in the configuration. Keys of their own in an overlay: `pipeline`, the bundle
    (reconstruction), and `extends`, an overlay to apply first. InputError for what cannot be used, before anything is trained.
    Processes that a launcher has started train together, whichever the configuration.
    """
    folder = default_folder(config) if output is None else Path(output)

    def opened() -> Any:
        if not Path(data).is_dir():
            raise InputError(f"{data}: no such folder for --data")
        if leads():
            check_folder(folder)
        return open_bundle(
            shipped("pipelines", overlay_keys(config).get("pipeline", "reconstruction")),
            ["train.json", *map(str, overlay_files(config))],
            "train",
            dataset_dir=data,
            output=str(folder),
            device=own_device(resolve_device(device)),
            max_minutes=math.inf if max_minutes is None else max_minutes,
            command=shlex.join(["mri-d3gm", *sys.argv[1:]]),
            **keys,
        )

    with process_group(), named_causes():
        return together(opened).trainer.run(progress)


def training_record(weights: Path) -> dict[str, Any]:
    """The record inside a weights file: steps, of (length of the schedule), seconds, command, sources, precision, seed, lr,
    versions; zeros without a file. InputError for one that is damaged.
    """
    return {"steps": 0, "of": 0, "seconds": 0} | (metadata_of(weights)[1] if weights.is_file() else {})
