"""Restoration: settings and a picture to a clean one; a file to a picture and its sidecar."""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mri_d3gm import pipeline
from mri_d3gm.compute import Progress, resolve_device
from mri_d3gm.errors import InputError
from mri_d3gm.io.images.pictures import FORMATS, SHORTEST_SIDE, Picture, read_picture
from mri_d3gm.io.images.write_picture import format_of, write_or_copy
from mri_d3gm.io.sidecar import write_sidecar
from mri_d3gm.methods.draws import Draws
from mri_d3gm.networks.denoiser import Denoiser
from mri_d3gm.runs.model import load
from mri_d3gm.runs.names import Outputs, picture_names
from mri_d3gm.runs.record import files_hash, once, provenance
from mri_d3gm.settings import LEARNED, SAMPLED, Restore
from mri_d3gm.weather.degrade import degraded
from mri_d3gm.weather.view import View, view_of

SCORED = 19  # pixels that a side needs for SSIM's window and the border that one protocol removes


class Restoration(NamedTuple):
    """Pictures (rows, cols, 3) float32 in [0, 1], and the record that the sidecar holds; reference None if unknown."""

    image: np.ndarray
    degraded: np.ndarray
    reference: np.ndarray | None
    record: dict[str, Any]


def restore(
    picture: np.ndarray,
    settings: Restore,
    *,
    visible: np.ndarray | None = None,
    network: Denoiser | None = None,
    progress: Progress | None = None,
) -> Restoration:
    """Remove rain or haze from one photograph (rows, cols, 1 or 3) float in [0, 1].

    visible: (rows, cols) bool, false where it is transparent and stays as it is. network: loaded already. progress(done, total)
    counts tiles. settings.target: the clean picture, to score against; settings.degrade: applied first, by seed and index.
    InputError for what cannot be used.
    """
    started = time.monotonic()
    image, reference = colour(picture), None
    if settings.target is not None:
        reference = colour(read_picture(settings.target).array)
        if reference.shape != image.shape:
            raise InputError(f"{settings.target}: {tuple(reference.shape[1:])} pixels, the picture has others; pair them")
    if settings.degrade is not None:
        reference, seed = image, settings.seed * 2**20 + settings.index
        image = degraded(image, settings.degrade, seed)
    if reference is not None:
        check_scored(*image.shape[1:])
    network = load(settings) if network is None and settings.method in LEARNED else network
    view = view_of(image, settings.task, None if visible is None else torch.from_numpy(visible))
    prepared = pipeline.prepare_picture(view.seen[None])
    measurement = prepared.measurement.to(resolve_device(settings.device))
    draws = pipeline.solve(measurement, network, settings, [settings.index], progress=progress)
    return assemble(settings, draws, image, view, reference, time.monotonic() - started)


def assemble(
    settings: Restore, draws: Draws, image: torch.Tensor, view: View, reference: torch.Tensor | None, seconds: float
) -> Restoration:
    """A solved view of a picture, scored where the clean one is known, and its record; pictures (3, rows, cols)."""
    restored = view.put_back(image, draws.images[0].mean(0).clamp(0, 1).cpu())
    after, before, clean = (None if one is None else one.numpy().transpose(1, 2, 0) for one in (restored, image, reference))
    assert after is not None and before is not None
    record: dict[str, Any] = {
        "Method": settings.method,
        "Task": settings.task,
        "Pixels": list(image.shape[1:]),
        "Evaluations": draws.evaluations,
        "Draws": settings.samples if settings.method in SAMPLED else 1,
        "Seconds": round(seconds, 2),
        "Removed": round(float((restored - image).square().mean().sqrt()), 4),
        "Unchanged": torch.equal(restored, image),
    }
    made = provenance(settings, [])
    record = {"Input": {"File": None, "SHA256": made.pop("InputSHA256")}} | made | record
    if clean is not None:
        record["Metrics"], record["MetricsDegraded"] = scores(clean, after), scores(clean, before)
    return Restoration(after, before, clean, record)


def colour(picture: np.ndarray) -> torch.Tensor:
    """(3, rows, cols) float32 of a picture (rows, cols, 1 or 3); InputError for others."""
    array = np.asarray(picture)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3) or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InputError(f"picture: {array.dtype} of shape {array.shape}; finite floats (rows, cols, 1 or 3) are needed")
    if min(array.shape[:2]) < SHORTEST_SIDE:
        raise InputError(
            f"picture: {array.shape[0]} x {array.shape[1]} pixels; at least {SHORTEST_SIDE} on each side is needed"
        )
    if array.min() < 0 or array.max() > 1:
        raise InputError(f"picture: values from {array.min():g} to {array.max():g}; floats in [0, 1] are needed")
    return torch.from_numpy(np.ascontiguousarray(array.astype(np.float32).transpose(2, 0, 1))).expand(3, -1, -1).contiguous()


def scores(reference: np.ndarray, image: np.ndarray) -> dict[str, dict[str, float]]:
    """Metrics by protocol name of pictures (rows, cols, 3), rounded to 8 bits first as published tables are.

    InputError for pictures smaller than SSIM's window and the border that one protocol removes.
    """
    from mri_d3gm.metrics.restoration import RESTORATION_METRICS

    check_scored(*reference.shape[:2])
    pair = [np.round(255 * np.clip(picture, 0, 1).astype(np.float64)) / 255 for picture in (reference, image)]
    return {name: metric(*pair) for name, metric in RESTORATION_METRICS.items()}


def check_scored(rows: int, cols: int) -> None:
    """InputError where pictures of that size cannot be scored."""
    if min(rows, cols) < SCORED:
        raise InputError(f"a picture of {rows} x {cols} pixels cannot be scored; {SCORED} on each side at least")


def restore_file(
    path: str | Path, settings: Restore, names: Outputs, *, overwrite: bool = False, progress: Progress | None = None
) -> tuple[dict[str, Any], bool]:
    """Restore a file and write what `names` says; the record, and whether it was there already.

    InputError for input that cannot be used, for names that cannot be written, and for files of another run.
    """
    source = read_picture(path)
    format_of(names.result, source)
    work = partial(restore, source.array, settings, visible=source.visible, progress=progress)
    return once(names, settings, [path], work, lambda result: write(result, source, names), overwrite)


def write(result: Restoration, source: Picture, names: Outputs) -> dict[str, Any]:
    """Write the picture in the depth, channels and profile of its source, or a copy of its file where nothing changed.

    Last, the sidecar; the record that it holds.
    """
    record = result.record | {"Input": {"File": Path(source.path).name, "SHA256": files_hash([source.path])}}
    grey = source.array.shape[2] == 1
    image = result.image.mean(2, np.float64, keepdims=True) if grey else result.image  # of equal channels the same, to the bit
    write_or_copy(names.result, image, source)
    write_sidecar(names.sidecar, record)
    return record


def names_of(path: str | Path, output: str | Path) -> Outputs:
    """The picture to write, in a folder under the input's name or under the name given, and its sidecar."""
    return picture_names(path, output, tuple(FORMATS))
