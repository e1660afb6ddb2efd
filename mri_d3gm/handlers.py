"""Ignite handler that gathers a volume slice by slice while a bundle's evaluator runs."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor


def prepare_batch(
    batch: dict[str, Any], device: Any, non_blocking: bool, **options: Any
) -> tuple[Tensor, Tensor | None, tuple[()], dict[str, Any]]:
    """A batch of one slice to (zero_filled, reference, (), physics) for MONAI's evaluator."""
    names = [key for key in ("kspace", "mask", "coil_maps") if key in batch]
    moved: dict[str, Any] = {key: batch[key].to(device, non_blocking=non_blocking) for key in names}
        )
        if self.on_slice is not None:
            self.on_slice(len(self.volume))


def zero_filled_magnitude(batch: dict[str, Any], scale: float) -> np.ndarray:
    """RSS of the zero-filled coil images in the file's units, (rows, cols) float32."""
    from mri_d3gm.physics.fft import ifft2c
    from mri_d3gm.physics.operators import rss

    return (rss(ifft2c(batch["kspace"][0])).cpu().double().numpy() * scale).astype(np.float32)
