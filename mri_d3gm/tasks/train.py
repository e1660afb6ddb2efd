"""Training: opens the train.json of the bundle that an overlay names and runs its trainer."""

import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.tasks.bundles import named_causes, open_bundle, overlay_files, overlay_keys, resolve_device, shipped


def train(config: str, data: str, output: str, device: str = "auto", max_minutes: float | None = None, **keys: object) -> None:
    """Train by `config`, a file or a name in configs/; weights, log and checkpoint go to the folder `output`.

    keys: what else to change in the configuration. Keys of their own in an overlay: `pipeline`, the bundle
    (reconstruction), and `extends`, an overlay to apply first.
    """
    if not Path(data).is_dir():
        raise InputError(f"{data}: no such folder for --data")
    overlays = overlay_files(config)
    pipeline = overlay_keys(config).get("pipeline", "reconstruction")
    root = shipped("pipelines", pipeline)
    command = shlex.join(["mri-d3gm", *sys.argv[1:]])
    workflow = open_bundle(
        root,
        ["train.json", *map(str, overlays)],
        "train",
        dataset_dir=data,
        output=output,
        device=resolve_device(device),
        max_minutes=math.inf if max_minutes is None else max_minutes,
        command=command,
        **keys,
    )
    with named_causes():
        workflow.run()


def training_record(weights: Path) -> dict[str, Any]:
    """The record inside a weights file: steps, of (length of the schedule), seconds, command, sources; zeros without a file."""
    from safetensors import safe_open

    if not weights.is_file():
        return {"steps": 0, "of": 0, "seconds": 0}
    with safe_open(str(weights), "pt") as file:
        return json.loads(file.metadata()["record"])
