"""LPIPS where its package and weights are on this machine; nothing is ever downloaded."""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

ALEXNET = "alexnet-owt-7be5be79.pth"


def load_network() -> Callable[..., Any] | None:
    """The AlexNet network of the lpips package, None where the package or its backbone's cached weights do not load."""
    import torch

    if not (Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET).is_file():
        return None
    try:
        from lpips import LPIPS

        return LPIPS(net="alex", verbose=False)
    except (ImportError, RuntimeError, OSError, EOFError, UnpicklingError):
        return None


def lpips(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """lpips, mean over slices (slices, rows, cols), 0 to the reference volume's maximum scaled to [-1, 1]; empty where
    the network cannot load (Zhang et al., CVPR 2018).
    """
    import torch

    network = load_network()
    if network is None:
        return {}
    scale = 2 / float(reference.max())
    with torch.no_grad():
        pairs = (
            [torch.from_numpy(scale * slice_ - 1).float().expand(1, 3, -1, -1) for slice_ in pair]
            for pair in zip(reference, image, strict=True)
        )
        return {"lpips": float(np.mean([float(network(*pair)) for pair in pairs]))}
