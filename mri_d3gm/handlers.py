"""Ignite handler that gathers a volume slice by slice while a bundle's evaluator runs."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor

from mri_d3gm.inferers import Draws
from mri_d3gm.metrics.calibration import calibrated_std

LOW_RESOLUTION_WEIGHT = 0.1


def prepare_batch(
    batch: dict[str, Any], device: Any, non_blocking: bool, **options: Any
) -> tuple[Tensor, Tensor | None, tuple[()], dict[str, Any]]:
    """A batch of one slice to (zero_filled, reference, (), what the inferer takes) for MONAI's evaluator."""
    names = [key for key in ("kspace", "mask", "coil_maps", "low_resolution") if key in batch]
    moved: dict[str, Any] = {key: batch[key].to(device, non_blocking=non_blocking) for key in names}
    moved["index"] = int(batch["index"][0] if "index" in batch else batch["slice"][0])
    if "noise" in batch:
        moved["sigma"] = float(batch["noise"]["sigma"][0])
    if batch.get("coil_map_source") == ["low-resolution"]:
        moved["map_weight"] = LOW_RESOLUTION_WEIGHT
    return batch["zero_filled"].to(device), batch.get("reference"), (), moved


class VolumeGatherer:
    """Keeps each slice's magnitudes in the file's units: mean and std over draws, zero-filled, reference, facts.

    calibration: keywords of `metrics.calibration.calibrated_std`, which the std map goes through; None leaves it.

    After the run `volume`, `std`, `zero_filled` (empty unless wanted) and `reference` are lists of (rows, cols) float32 and
    `facts` a list of dictionaries; std is empty where there is one draw and the network foretells no error. on_slice is
    called with the number of slices done.
    """

    def __init__(self, with_zero_filled: bool = True, calibration: dict[str, float] | None = None) -> None:
        self.with_zero_filled, self.calibration = with_zero_filled, calibration
        self.on_slice: Callable[[int], None] | None = None
        self.started = time.monotonic()
        self.volume: list[np.ndarray] = []
        self.std: list[np.ndarray] = []
        self.zero_filled: list[np.ndarray] = []
        self.reference: list[np.ndarray] = []
        self.facts: list[dict[str, Any]] = []

    def seconds(self) -> float:
        """Since the run was set up."""
        return time.monotonic() - self.started

    def attach(self, engine: Engine) -> None:
        """Called by MONAI for every handler of an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        batch, draws = engine.state.batch, engine.state.output["pred"]  # type: ignore[index,call-overload]
        scale = float(batch["scale"][0])  # type: ignore[index]
        magnitudes = draws.images.abs().cpu().double().numpy() * scale
        self.volume.append(magnitudes.mean(0).astype(np.float32))
        if len(magnitudes) > 1 or draws.error is not None:
            error = None if draws.error is None else draws.error.cpu().numpy() * scale
            noise = float(batch["noise"]["sigma"][0]) * scale if "noise" in batch else 0.0  # type: ignore[index,operator]
            withheld = None if draws.support is None else draws.support.error()
            std = magnitudes.std(0).astype(np.float32)
            if self.calibration is not None:
                std = calibrated_std(std, error, noise, withheld, **self.calibration)
            self.std.append(std)
        if self.with_zero_filled:
            self.zero_filled.append(zero_filled_magnitude(batch, scale))  # type: ignore[arg-type]
        if "reference" in batch:  # type: ignore[operator]
            self.reference.append(batch["reference"][0].numpy())  # type: ignore[index]
        self.facts.append(facts_of(batch, draws, scale))  # type: ignore[arg-type]
        if self.on_slice is not None:
            self.on_slice(len(self.volume))


def facts_of(batch: dict[str, Any], draws: Draws, scale: float) -> dict[str, Any]:
    """What the sidecar tells of one slice; noise and residual in the file's units."""
    facts: dict[str, Any] = {
        "slice": int(batch["slice"][0]),
        "evaluations": draws.evaluations,
        "residual": None if draws.residual is None else draws.residual * scale,
        "support": draws.support,
    }
    if "coil_map_source" in batch:
        facts["coil_maps"] = batch["coil_map_source"][0]
    if "noise" in batch:
        noise = batch["noise"]
        facts["noise"] = {
            "Sigma": float(noise["sigma"][0]) * scale,
            "Source": noise["source"][0],
            "Reliable": bool(noise["reliable"][0]),
        }
    return facts


def zero_filled_magnitude(batch: dict[str, Any], scale: float) -> np.ndarray:
    """RSS of the zero-filled coil images in the file's units, (rows, cols) float32."""
    from mri_d3gm.physics.fft import ifft2c
    from mri_d3gm.physics.operators import rss

    return (rss(ifft2c(batch["kspace"][0])).cpu().double().numpy() * scale).astype(np.float32)


class PictureGatherer:
    """Keeps the restored picture (3, rows, cols) float32 in [0, 1], the degraded one, and the clean one where it is known."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.restored = self.degraded = self.reference = None
        self.evaluations = 0
        self.on_slice: Callable[[int], None] | None = None

    def seconds(self) -> float:
        """Since the run was set up."""
        return time.monotonic() - self.started

    def attach(self, engine: Engine) -> None:
        """Called by MONAI for every handler of an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        batch, draws = engine.state.batch, engine.state.output["pred"]  # type: ignore[index,call-overload]
        self.restored = draws.images[0].clamp(0, 1).cpu().numpy()
        self.degraded = batch["zero_filled"][0].numpy()  # type: ignore[index]
        self.reference = batch["reference"][0].numpy() if "reference" in batch else None  # type: ignore[index,operator]
        self.evaluations = draws.evaluations
        if self.on_slice is not None:
            self.on_slice(1)
