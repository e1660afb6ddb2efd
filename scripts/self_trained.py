"""A rival for super-resolution through the slices: a network of the SMORE kind, trained on the volume's own slices.

In plane the volume is sharp: patches of its slices are thickened along one axis by the slice profile, and a small network of
wide residual blocks learns what that took away (Zhao et al., IEEE Trans Med Imaging 2021; Remedios et al., SASHIMI 2023).
It is then applied along the slices in both views, which are averaged. `scripts/isotropic.py` measures it.

Usage: python scripts/self_trained.py SLICES.nii.gz OUT.nii.gz [--thickness MM] [--profile box] [--seconds 120]

The axis through the slices is found from the spacing; voxels become as high as the narrower in-plane side.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.save_image import save_image
from mri_d3gm.physics.interpolation import slice_weights
from mri_d3gm.physics.slice_stack import PROFILES, fine_count, slice_profiles
from mri_d3gm.settings import SuperResolve
from mri_d3gm.tasks.isotropic import grid, stack_of

FEATURES, BLOCKS, WIDER = 32, 4, 4
PATCH, BATCH, RATE = 48, 4, 3e-3  # more at a time learns less in equal time
APPLIED = 16  # planes at a time


class Wide(nn.Module):
    """x + a change through WIDER times as many features."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = (
            nn.Conv2d(FEATURES, WIDER * FEATURES, 3, padding=1),
            nn.Conv2d(WIDER * FEATURES, FEATURES, 3, padding=1),
        )
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.up(x).relu())


class Rival(nn.Module):
    """(batch, rows, slices) to (batch, rows, cols): cubic interpolation and a change that is computed on the grid of slices."""

    def __init__(self, spacing: float, thickness: float) -> None:
        super().__init__()
        self.spacing, self.thickness, self.steps = spacing, thickness, max(2, round(spacing))
        self.first, self.blocks = nn.Conv2d(1, FEATURES, 3, padding=1), nn.Sequential(*(Wide() for _ in range(BLOCKS)))
        self.last = nn.Conv2d(FEATURES, self.steps, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, slices: Tensor) -> Tensor:
        count = slices.shape[-1]
        cols = fine_count(count, self.spacing, self.thickness)
        cubic = torch.from_numpy(slice_weights(count, self.spacing, cols, "cubic").copy())
        finer = torch.from_numpy(slice_weights(count * self.steps, self.spacing / self.steps, cols, "linear").copy())
        change = self.last(self.blocks(self.first(slices[:, None])))
        return slices @ cubic.T + change.movedim(1, -1).flatten(2) @ finer.T


def patch(slices: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A patch of a slice of (rows, cols, slices), turned at random; of two the one with more in it."""
    found = []
    for _ in range(2):
        image = slices[..., int(torch.randint(slices.shape[-1], (), generator=generator))]
        image = image.T if torch.rand((), generator=generator) < 0.5 else image
        starts = [int(torch.randint(n - side + 1, (), generator=generator)) for n, side in zip(image.shape, shape, strict=True)]
        found.append(image[starts[0] : starts[0] + shape[0], starts[1] : starts[1] + shape[1]])
    best = max(found, key=lambda part: float(part.std()))
    return best.flip([axis for axis in (0, 1) if torch.rand((), generator=generator) < 0.5])


def patches(slices: Tensor, profile: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """BATCH patches of slices (rows, cols, slices), thickened along their last axis, and as they were."""
    shape = min(PATCH, *slices.shape[:2]), profile.shape[1]
    sharp = torch.stack([patch(slices, shape, generator) for _ in range(BATCH)])
    return sharp @ profile.T, sharp


def self_trained(slices: np.ndarray, spacing: float, thickness: float, kind: str, seconds: float) -> tuple[np.ndarray, int]:
    """The volume (a, b, cols) of slices (a, b, slices), and the steps of training; spacing and thickness in voxels.

    seconds: of this process's CPU for all of it; applying the network to both views is measured first, and left over.
    """
    torch.manual_seed(0)
    started, scale = time.process_time(), float(np.percentile(slices, 99.5))
    known, rival, generator = (
        torch.from_numpy(slices / scale).float(),
        Rival(spacing, thickness),
        torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        before = time.process_time()
        rival(known[:APPLIED])
        left_over = (time.process_time() - before) / APPLIED * sum(known.shape[:2]) * 1.1
    length = min(2 * PATCH, *known.shape[:2])
    profile = slice_profiles(int((length - thickness) / spacing) + 1, spacing, thickness, kind)
    optimiser, steps = torch.optim.Adam(rival.parameters(), RATE), 0
    end = started + seconds - left_over
    begun = time.process_time()
    while (now := time.process_time()) < end:
        done = (now - begun) / (end - begun)
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, 20 * done + 0.05) * (1 - done)
        thick, sharp = patches(known, profile, generator)
        loss = (rival(thick) - sharp).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    with torch.no_grad():
        views = [torch.cat([rival(part) for part in view.split(APPLIED)]) for view in (known, known.transpose(0, 1))]
    return ((views[0] + views[1].transpose(0, 1)) / 2).clamp_min(0).numpy() * scale, steps


def main() -> None:
    """One volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--thickness", type=float)
    parser.add_argument("--profile", choices=PROFILES, default="box")
    parser.add_argument("--seconds", type=float, default=120, help="of CPU, training and all")
    given = parser.parse_args()
    image = open_image(given.slices)
    stack = stack_of(image, SuperResolve(isotropic=True, thickness=given.thickness))
    _, spacing, thickness = stack.in_voxels
    volume, steps = self_trained(np.moveaxis(image.array, stack.axis, -1), spacing, thickness, given.profile, given.seconds)
    finer = replace(image, array=np.moveaxis(volume, -1, stack.axis), affine=grid(image.affine, stack))
    save_image(given.output, finer, 1, f"self-trained, {steps} steps")
    print(f"{given.output}: {volume.shape[-1]} voxels of {stack.slices} slices, {steps} steps")


if __name__ == "__main__":
    main()
