"""Ignite handlers that gather what a bundle's evaluator gives slice by slice and, at the end, write what the command writes."""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from mri_d3gm.io.pictures import read_picture
from mri_d3gm.methods.draws import Draws
from mri_d3gm.physics import Cartesian, Measurement, Truncation, Unknown
from mri_d3gm.physics.cartesian import COARSE_WEIGHT, WEIGHT
from mri_d3gm.physics.noise import NoiseEstimate
from mri_d3gm.pipeline import Prepared
from mri_d3gm.runs.names import Outputs, check_writable, whole
from mri_d3gm.settings import Recon, Restore, SuperResolve
from mri_d3gm.tasks import recon, restore, sr
from mri_d3gm.transforms.kspace import scan_of
from mri_d3gm.transforms.resolution import cached_volume

Batch = dict[str, Any]


def measurement_of(batch: Batch) -> Measurement:
    """The measurement of a batch that the transforms made."""
    if "kspace" not in batch:
        return Unknown(batch["zero_filled"], without_phase=batch["zero_filled"].is_complex())
    if "low_resolution" in batch:
        return Truncation(batch["kspace"], batch["mask"])
    weights = [COARSE_WEIGHT if source == "low-resolution" else WEIGHT for source in batch["coil_map_source"]]
    maps, outside = batch.get("coil_maps"), batch.get("outside")
    sigma = batch["noise"]["sigma"].float() if "noise" in batch else 0.0
    second = batch.get("second_maps")
    second = None if second is None or not second.any() else second
    return Cartesian(batch["kspace"], batch["mask"], maps, outside, sigma, torch.tensor(weights), second)


def prepare_batch(
    batch: Batch, device: Any, non_blocking: bool, **_: Any
) -> tuple[Tensor, Tensor | None, tuple[()], dict[str, Any]]:
    """A batch to (zero_filled, reference, (), what the inferer takes) for MONAI's evaluator."""
    indices = [int(index) for index in batch["index" if "index" in batch else "slice"]]
    kwargs = {"measurement": measurement_of(batch).to(device), "indices": indices}
    return batch["zero_filled"].to(device, non_blocking=non_blocking), batch.get("reference"), (), kwargs


class Gatherer(ABC):
    """Keeps what the evaluator gives; `result` after the run, written where an output was given."""

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
            check_writable(self.names())

    def keep(self, engine: Engine) -> None:
        """A batch, one after the other."""
        batch, draws = engine.state.batch, engine.state.output["pred"]  # type: ignore[index,call-overload]
        for index in range(len(draws.images)):
            self.add(_one(batch, index), draws.one(index))  # type: ignore[arg-type]

    def seconds(self) -> float:
        """Since the run was set up."""
        return time.monotonic() - self.started

    @abstractmethod
    def names(self) -> Outputs:
        """What will be written, as by the command."""

    @abstractmethod
    def add(self, batch: Batch, draws: Draws) -> None:
        """Keep a batch of one; an empty slice stays empty, whatever the network made of it."""

    @abstractmethod
    def end(self, _: Engine) -> None:
        """Assemble the result, and write it where an output was given."""


def _one(batch: Batch, index: int) -> Batch:
    """One of a collated batch, as a batch of one."""
    return {name: _one(value, index) if isinstance(value, dict) else value[index : index + 1] for name, value in batch.items()}


def _reference(batch: Batch) -> np.ndarray | None:
    return batch["reference"][0].numpy() if "reference" in batch else None


class ReconGatherer(Gatherer):
    """Slices of a reconstruction; `result` is a `tasks.recon.Reconstruction`."""

    settings: Recon

    def names(self) -> Outputs:
        return recon.names_of(self.path, str(self.output))

    def add(self, batch: Batch, draws: Draws) -> None:
        scan, reference = scan_of({"path": self.path}, self.settings.crop), _reference(batch)
        if not batch["kspace"].any():
            self.slices.append(recon.empty_slice(scan, reference))
            return
        noise = {name: value[0] for name, value in batch["noise"].items()}
        estimate = NoiseEstimate(float(noise["sigma"]), noise["source"], bool(noise["reliable"]))
        prepared = Prepared(measurement_of(batch), batch["scale"].numpy(), [estimate], batch["coil_map_source"])
        self.slices.append(recon.finished_slice(scan, prepared, draws, reference))

    def end(self, _: Engine) -> None:
        scan = scan_of({"path": self.path}, self.settings.crop)
        self.result = recon.assemble(scan, self.settings, self.slices, self.seconds())
        if self.output is not None:
            with whole(self.names()):
                recon.write(self.result, scan, self.names())


class SuperResolveGatherer(Gatherer):
    """Slices of a super-resolution; `result` is a `tasks.sr.SuperResolution`."""

    settings: SuperResolve

    def signed(self) -> bool:
        """Whether the volume has negative values."""
        return bool((cached_volume(self.path, self.settings.series).array < 0).any())

    def names(self) -> Outputs:
        return sr.names_of(self.path, str(self.output))

    def add(self, batch: Batch, draws: Draws) -> None:
        reference, image = _reference(batch), batch["image"][0]
        empty = None if image.any() else sr.empty_slice(image, self.settings.scale, reference)
        self.slices.append(empty or sr.finished_slice(batch["scale"].numpy(), draws, reference, self.signed()))

    def end(self, _: Engine) -> None:
        source = cached_volume(self.path, self.settings.series)
        self.result = sr.assemble(source, self.settings, self.slices, self.seconds())
        self.result.record["Input"]["File"] = Path(self.path).resolve().name
        if self.output is not None:
            with whole(self.names()):
                sr.write(self.result, source, self.names())


class RestoreGatherer(Gatherer):
    """The restored picture; `result` is a `tasks.restore.Restoration`."""

    settings: Restore

    def names(self) -> Outputs:
        return restore.names_of(self.path, str(self.output))

    def add(self, batch: Batch, draws: Draws) -> None:
        reference = batch["reference"][0] if "reference" in batch else None
        self.result = restore.assemble(self.settings, draws, batch["zero_filled"][0], reference, self.seconds())

    def end(self, _: Engine) -> None:
        if self.output is not None:
            with whole(self.names()):
                restore.write(self.result, self.path, read_picture(self.path), self.settings, self.names())
