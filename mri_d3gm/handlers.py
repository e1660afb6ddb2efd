"""Ignite handlers that gather what a bundle's evaluator gives slice by slice and, at the end, write what the command writes."""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from mri_d3gm.compute import one_thread
from mri_d3gm.io.image import Image
from mri_d3gm.io.images.pictures import Picture
from mri_d3gm.io.scan import Scan
from mri_d3gm.methods.draws import Draws
from mri_d3gm.physics import Cartesian, Measurement, Truncation, Unknown
from mri_d3gm.physics.cartesian import weight_of
from mri_d3gm.physics.noise import NoiseEstimate
from mri_d3gm.pipeline import Prepared
from mri_d3gm.runs.names import Outputs, check_writable, whole
from mri_d3gm.settings import Recon, Restore, SuperResolve
from mri_d3gm.tasks import recon, restore, sr
from mri_d3gm.tasks.operator import settled
from mri_d3gm.transforms.kspace import scan_of
from mri_d3gm.transforms.pictures import cached_picture
from mri_d3gm.transforms.resolution import cached_choice, cached_sign, cached_volume
from mri_d3gm.weather.view import view_of

Batch = dict[str, Any]


def measurement_of(batch: Batch) -> Measurement:
    """The measurement of a batch that the transforms made."""
    if "kspace" not in batch:
        return Unknown(batch["zero_filled"], without_phase=batch["zero_filled"].is_complex())
    if "low_resolution" in batch:
        return Truncation(batch["kspace"], batch["mask"], float(batch["doubt"][0]))
    weights = [weight_of(source) for source in batch["coil_map_source"]]
    maps, outside = batch.get("coil_maps"), batch.get("outside")
    sigma = batch["noise"]["sigma"].float() if "noise" in batch else 0.0
    second = batch.get("second_maps")
    second = None if second is None or not second.any() else second
    known = batch["kspace"], batch["mask"], maps, outside, sigma, torch.tensor(weights)
    with one_thread():
        return Cartesian(*known, second, rest=batch.get("rest"), short_centre=batch.get("short_centre", False))


def prepare_batch(
    batch: Batch, device: Any, non_blocking: bool, **_: Any
) -> tuple[Tensor, Tensor | None, tuple[()], dict[str, Any]]:
    """A batch to (zero_filled, reference, (), what the inferer takes) for MONAI's evaluator.

    Draws depend on its `index`, or else `slice`, or else the place in the batch.
    """
    name = next((name for name in ("index", "slice") if name in batch), None)
    indices = [*range(len(batch["zero_filled"]))] if name is None else [int(index) for index in batch[name]]
    kwargs = {"measurement": measurement_of(batch).to(device), "indices": indices}
    return batch["zero_filled"].to(device, non_blocking=non_blocking), batch.get("reference"), (), kwargs


class Gatherer(ABC):
    """Keeps what the evaluator gives; `result` after the run, written as by the command where an output was given."""

    task: ModuleType

    def __init__(self, path: str, settings: Any, output: str | None = None) -> None:
        self.path, self.settings, self.output, self.started = str(path), settings, output, time.monotonic()
        self.slices: list[Any] = []
        self.result: Any = None

    def attach(self, engine: Engine) -> None:
        """Called by MONAI for every handler of an evaluator."""
        engine.add_event_handler(Events.STARTED, self.check)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.keep)
        engine.add_event_handler(Events.COMPLETED, self.end)

    def check(self, _: Engine) -> None:
        """A run begins: whether its output can be written is known before the work."""
        self.slices, self.started = [], time.monotonic()
        if self.output is not None:
            check_writable(self.task.names_of(self.path, self.output))

    def keep(self, engine: Engine) -> None:
        """A batch, one after the other."""
        batch, draws = engine.state.batch, engine.state.output["pred"]  # type: ignore[index,call-overload]
        for index in range(len(draws.images)):
            self.add(_one(batch, index), draws.one(index))  # type: ignore[arg-type]

    def seconds(self) -> float:
        """Since the work began."""
        return time.monotonic() - self.started

    def end(self, _: Engine) -> None:
        """Assemble the result, and write it where an output was given."""
        source = self.source()
        self.result = self.assembled(source)
        if self.output is not None:
            names = self.task.names_of(self.path, self.output)
            with whole(names):
                self.write(source, names)

    def write(self, source: Any, names: Outputs) -> None:
        """Write the result."""
        self.task.write(self.result, source, names, self.settings)

    @abstractmethod
    def add(self, batch: Batch, draws: Draws) -> None:
        """Keep a batch of one; an empty slice stays empty, whatever the network made of it."""

    @abstractmethod
    def source(self) -> Any:
        """What was read."""

    @abstractmethod
    def assembled(self, source: Any) -> Any:
        """The result of all that was kept."""


def _one(batch: Batch, index: int) -> Batch:
    """One of a collated batch, as a batch of one."""
    return {name: _one(value, index) if isinstance(value, dict) else value[index : index + 1] for name, value in batch.items()}


def _reference(batch: Batch) -> np.ndarray | None:
    return batch["reference"][0].numpy() if "reference" in batch else None


class ReconGatherer(Gatherer):
    """Slices of a reconstruction; `result` is a `tasks.recon.Reconstruction`."""

    settings: Recon
    task = recon

    def add(self, batch: Batch, draws: Draws) -> None:
        scan, reference = self.source(), _reference(batch)
        if not batch["kspace"].any():
            self.slices.append(recon.empty_slice(scan, reference))
            return
        noise = {name: value[0] for name, value in batch["noise"].items()}
        estimate = NoiseEstimate(float(noise["sigma"]), noise["source"], bool(noise["reliable"]))
        fits = [tuple(float(share) for share in one if share == share) for one in batch["coil_map_fit"]]
        prepared = Prepared(measurement_of(batch), batch["scale"].numpy(), [estimate], batch["coil_map_source"], fits)
        self.slices.append(recon.finished_slice(scan, prepared, draws, reference))

    def source(self) -> Scan:
        return scan_of({"path": self.path}, self.settings.reading())

    def assembled(self, source: Scan) -> recon.Reconstruction:
        return recon.assemble(source, self.settings, self.slices, self.seconds())


class SuperResolveGatherer(Gatherer):
    """Slices of a super-resolution; `result` is a `tasks.sr.SuperResolution`."""

    settings: SuperResolve
    task = sr

    def add(self, batch: Batch, draws: Draws) -> None:
        reference, image = _reference(batch), batch["image"][0]
        if not image.any():
            self.slices.append(sr.empty_slice(image, self.settings.scale, reference))
            return
        choice, signed = cached_choice(self.path, self.settings), cached_sign(self.path, self.settings)
        draws = settled(draws, image, choice, float(batch["scale"][0]), self.settings.scale)
        self.slices.append(sr.finished_slice(draws, batch["scale"].numpy(), self.settings, choice, reference, signed))

    def source(self) -> Image:
        return cached_volume(self.path, self.settings.series)

    def assembled(self, source: Image) -> sr.SuperResolution:
        choice = cached_choice(self.path, self.settings)
        result = sr.assemble(source, self.settings, self.slices, self.seconds(), choice)
        result.record["Input"]["File"] = Path(self.path).resolve().name
        return result


class RestoreGatherer(Gatherer):
    """The restored picture; `result` is a `tasks.restore.Restoration`."""

    settings: Restore
    task = restore

    def add(self, batch: Batch, draws: Draws) -> None:
        reference = batch["reference"][0] if "reference" in batch else None
        image, visible = batch["image"][0], batch["visible"][0] if "visible" in batch else None
        view = view_of(image, self.settings.task, visible)
        self.slices.append(restore.assemble(self.settings, draws, image, view, reference, self.seconds()))

    def source(self) -> Picture:
        return cached_picture(self.path)

    def assembled(self, _: Picture) -> restore.Restoration:
        return self.slices[-1]

    def write(self, source: Picture, names: Outputs) -> None:
        restore.write(self.result, source, names)
