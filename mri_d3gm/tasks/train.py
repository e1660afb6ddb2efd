"""Training: opens the reconstruction bundle's train.json with an overlay and runs its trainer."""

import math
import shlex
import sys
from pathlib import Path

from mri_d3gm.errors import InputError
from mri_d3gm.tasks.bundles import named_causes, open_bundle, shipped
from mri_d3gm.tasks.recon import resolve_device


def run(config: str, data: str, output: str, device: str = "auto", max_minutes: float | None = None) -> None:
    """Train by `config`, a file or a name in configs/; weights, log and checkpoint go to the folder `output`."""
    if not Path(data).is_dir():
        raise InputError(f"{data}: no such folder for --data")
    overlay = Path(config)
    if not overlay.is_file():
        overlay = shipped("configs") / (overlay.name if overlay.suffix else f"{overlay.name}.json")
    if not overlay.is_file():
        raise InputError(f"{config}: no such configuration, here or among those shipped")
    root = shipped("pipelines", "reconstruction")
    command = shlex.join(["mri-d3gm", *sys.argv[1:]])
    workflow = open_bundle(
        root,
        ["train.json", str(overlay)],
        "train",
        dataset_dir=data,
        output=output,
        device=resolve_device(device),
        max_minutes=math.inf if max_minutes is None else max_minutes,
        command=command,
    )
    with named_causes():
        workflow.run()
