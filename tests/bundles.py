"""What holds for every bundle."""

import json
from pathlib import Path

import torch
from jsonschema import validate

from mri_d3gm.shipped import shipped
from mri_d3gm.tasks.bundles import open_bundle

SCHEMA = Path(__file__).parent / "data" / "metadata.schema.json"


def checked(pipeline: str, path: Path, channels: int) -> Path:
    """A bundle's folder, after its metadata and its configurations for a file and for training on it were checked."""
    root = shipped("pipelines", pipeline)
    validate(json.loads((root / "configs" / "metadata.json").read_text()), json.loads(SCHEMA.read_text()))
    workflow = open_bundle(root, "inference.json", "inference", dataset_dir=str(path))
    assert not workflow.check_properties()
    assert workflow.network_def(torch.randn(1, channels, 32, 32)).shape == (1, channels, 32, 32)
    sources = [{"glob": path.name}]
    overrides = {"dataset_dir": str(path.parent), "sources": sources, "validation_sources": sources}
    assert not open_bundle(root, "train.json", "train", **overrides).check_properties()
    return root
