"""Restoration: opens the bundle, runs it on one photograph, writes the picture and its sidecar."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.pictures import FORMATS, Picture, write_picture
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.tasks import outputs
from mri_d3gm.tasks.bundles import infer, shipped
from mri_d3gm.tasks.outputs import fingerprint_options, make_folder, software, weights_record

PIPELINE = "restoration"
TASKS = ("derain", "dehaze")
DEFAULTS: dict[str, Any] = {
    "task": "derain",
    "target": None,
    "degrade": None,
    "index": 0,
    "seed": 0,
    "method": "d3gm",
    "solver": "posterior",
    "steps": 1,
    "samples": 1,
    "tile": 512,
    "tau": None,
    "weights": None,
    "device": "cpu",
}


class Restoration(NamedTuple):
    """Pictures (rows, cols, 3) float32 in [0, 1], and the record that the sidecar holds; reference None if unknown."""

    image: np.ndarray
    degraded: np.ndarray
    reference: np.ndarray | None
    record: dict[str, Any]


def restore(
    path: str | Path,
    *,
    output: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Restoration:
    """Remove rain or haze from one photograph; options are the keys of DEFAULTS.

    output: the picture to write, its sidecar beside it; None writes nothing. progress(done, total) counts tiles. target: the
    clean picture, to score against; degrade: one of `transforms.pictures.DEGRADATIONS`, applied first by seed and index.
    InputError for every input that cannot be used.
    """
    chosen = DEFAULTS | options
    if chosen["task"] not in TASKS:
        raise InputError(f"--task {chosen['task']}: one of {', '.join(TASKS)}")
    return infer(
        PIPELINE, DEFAULTS, path, options | {"weights": weights_of(chosen)}, None if output is None else [output], progress
    )


def weights_of(options: dict[str, Any]) -> str:
    """The weights file: the one given, else the shipped one of the task."""
    return str(options["weights"] or shipped("pipelines", PIPELINE, "models", f"{options['task']}.safetensors"))


def finish(gatherer: Any, path: str, options: dict[str, Any], output: list[str] | str | None) -> Restoration:
    """Score, describe, and write a finished run; the bundle's last expression."""
    from mri_d3gm.transforms.pictures import cached_picture

    images = [
        None if image is None else image.transpose(1, 2, 0)
        for image in (gatherer.restored, gatherer.degraded, gatherer.reference)
    ]
    restored, degraded, reference = images
    assert restored is not None and degraded is not None
    source = cached_picture(path)
    record = describe(source, path, options, gatherer, restored, degraded, reference)
    if output is not None:
        write(restored, source, record, output_name(path, output) if isinstance(output, str) else Path(output[0]))
    return Restoration(restored, degraded, reference, record)


def describe(
    source: Picture,
    path: str,
    options: dict[str, Any],
    gatherer: Any,
    restored: np.ndarray,
    degraded: np.ndarray,
    reference: np.ndarray | None,
) -> dict[str, Any]:
    """The sidecar: provenance and, where the clean picture is known, metrics of the restored and of the degraded one."""
    from mri_d3gm.networks.weights import file_hash

    record: dict[str, Any] = {
        "Method": options["method"],
        "Task": options["task"],
        "Input": {"File": Path(path).name, "SHA256": file_hash(path)},
        "Options": fingerprint_options(options),
        "Weights": weights_record(options["method"], options["weights"]),
        "Software": software(),
        "Pixels": list(source.array.shape[:2]),
        "Evaluations": gatherer.evaluations,
        "Draws": options["samples"] if options["method"] == "d3gm" else 1,
        "Seconds": round(gatherer.seconds(), 2),
    }
    if reference is not None:
        record["Metrics"], record["MetricsDegraded"] = scores(reference, restored), scores(reference, degraded)
    return record


def scores(reference: np.ndarray, image: np.ndarray) -> dict[str, dict[str, float]]:
    """Metrics by protocol name of pictures (rows, cols, 3), rounded to 8 bits first as published tables are.

    InputError for pictures smaller than SSIM's window and the border that one protocol removes.
    """
    from mri_d3gm.metrics.restoration import RESTORATION_METRICS

    if min(reference.shape[:2]) < 19:
        raise InputError(
            f"a picture of {reference.shape[0]} x {reference.shape[1]} pixels cannot be scored; 19 on each side at least"
        )
    pair = [np.round(255 * np.clip(picture, 0, 1).astype(np.float64)) / 255 for picture in (reference, image)]
    return {name: metric(*pair) for name, metric in RESTORATION_METRICS.items()}


def write(restored: np.ndarray, source: Picture, record: dict[str, Any], name: Path) -> None:
    """Write the picture in the depth, channels and profile of its source and, last, the sidecar."""
    make_folder(name)
    array = restored if source.array.shape[2] == 3 else restored.mean(2, keepdims=True)
    write_picture(name, array, source)
    write_sidecar(sidecar_name(name), record)


def output_name(path: str | Path, output: str | Path) -> Path:
    """The picture to write: in a folder under the input's name, or the name given, which ends as a picture does."""
    target = Path(output)
    if target.suffix.lower() in FORMATS:
        return target
    if target.suffix and not target.is_dir():
        raise InputError(f"{output}: -o takes a folder or a name that ends in one of {', '.join(FORMATS)}")
    return target / Path(path).name


def sidecar_name(name: Path) -> Path:
    """X.png to X.png.json, so that X.png and X.jpg do not share one."""
    return name.with_name(f"{name.name}.json")


def already_done(path: str | Path, name: Path, options: dict[str, Any]) -> bool:
    """Whether `name` holds the result of this input, these options and these weights; other files are refused."""
    from mri_d3gm.networks.weights import file_hash

    if name.exists() and name.resolve() == Path(path).resolve():
        raise InputError(f"{name}: is the input itself; give another folder to -o")
    chosen = DEFAULTS | options
    sidecar = sidecar_name(name)
    return outputs.already_done([name, sidecar], sidecar, file_hash(path), chosen, weights_of(chosen))
