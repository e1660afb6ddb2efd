"""LPIPS where its package and weights are on this machine; nothing is ever downloaded."""

from pathlib import Path

import numpy as np


def lpips(reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """lpips (AlexNet), mean over slices (slices, rows, cols) scaled to [-1, 1]; empty where it cannot load."""
    import torch

    cached = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    if not cached.exists():
        return {}
    try:
        from lpips import LPIPS

        network = LPIPS(net="alex", verbose=False)
    except (ImportError, RuntimeError):
        return {}
    peak = float(reference.max())
    tensors = [torch.from_numpy(2 * v / peak - 1).float()[:, None].expand(-1, 3, -1, -1) for v in (reference, image)]
    with torch.no_grad():
        return {"lpips": float(network(*tensors).mean())}
