"""Ignite handler that gathers a volume slice by slice while a bundle's evaluator runs."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor

LOW_RESOLUTION_WEIGHT = 0.3


def prepare_batch(
    batch: dict[str, Any], device: Any, non_blocking: bool, **options: Any
) -> tuple[Tensor, Tensor | None, tuple[()], dict[str, Any]]:
    """A batch of one slice to (zero_filled, reference, (), physics) for MONAI's evaluator."""
    names = [key for key in ("kspace", "mask", "coil_maps") if key in batch]
    moved: dict[str, Any] = {key: batch[key].to(device, non_blocking=non_blocking) for key in names}
    moved["index"] = int(batch["slice"][0])
    moved["map_weight"] = LOW_RESOLUTION_WEIGHT if batch["coil_map_source"][0] == "low-resolution" else 0.0
    moved["sigma"] = float(batch["noise"]["sigma"][0])
    return batch["zero_filled"].to(device), batch.get("reference"), (), moved


class VolumeGatherer:
    """Keeps each slice's magnitudes in the file's units: mean and std over draws, zero-filled, reference, facts.

    After the run `volume`, `std`, `zero_filled` and `reference` are lists of (rows, cols) float32 and `facts` a list of
    dictionaries. on_slice is called with the number of slices done.
    """

    def __init__(self, on_slice: Callable[[int], None] | None = None) -> None:
        self.on_slice = on_slice
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
        self.std.append(magnitudes.std(0).astype(np.float32))
        self.zero_filled.append(zero_filled_magnitude(batch, scale))  # type: ignore[arg-type]
        if "reference" in batch:  # type: ignore[operator]
            self.reference.append(batch["reference"][0].numpy())  # type: ignore[index]
        self.facts.append(
            {
                "slice": int(batch["slice"][0]),  # type: ignore[index]
                "scale": scale,
                "noise": {
                    "Sigma": float(batch["noise"]["sigma"][0]) * scale,  # type: ignore[index]
                    "Source": batch["noise"]["source"][0],  # type: ignore[index]
                    "Reliable": bool(batch["noise"]["reliable"][0]),  # type: ignore[index]
                },
                "evaluations": draws.evaluations,
                "residual": None if draws.residual is None else draws.residual * scale,
                "coil_maps": batch["coil_map_source"][0],  # type: ignore[index]
            }
        )
        if self.on_slice is not None:
            self.on_slice(len(self.volume))


def zero_filled_magnitude(batch: dict[str, Any], scale: float) -> np.ndarray:
    """RSS of the zero-filled coil images in the file's units, (rows, cols) float32."""
    from mri_d3gm.physics.fft import ifft2c
    from mri_d3gm.physics.operators import rss

    return (rss(ifft2c(batch["kspace"][0])).cpu().double().numpy() * scale).astype(np.float32)
