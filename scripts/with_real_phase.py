"""The twin of a scan whose phase is smooth, such as k-space made from magnitudes: the same magnitudes under a phase as real
scans have, as training draws it.

Usage: python scripts/with_real_phase.py IN.h5 OUT.h5 --seed N [--least 0.02] [--greatest 0.2]

IN.h5 is fully sampled, fastMRI layout; every coil is multiplied by the same phase factors, so that magnitudes, references and
the file's own noise stay. Phases are drawn from the seed until the mean share of `physics.phase.imaginary_share` at R = 4,
which is printed before and after, lies between --least and --greatest.
"""

import argparse
import shutil
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.physics.coil_maps import estimate_coil_maps
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.physics.masks import make_mask
from mri_d3gm.physics.operators import rss
from mri_d3gm.physics.phase import imaginary_share
from mri_d3gm.training.phases import draw_phase, phases

ACCEL, TRIES = 4, 200


def mean_share(kspace: Tensor) -> float:
    """The mean share over slices of kspace (slices, coils, rows, cols)."""
    mask = torch.from_numpy(make_mask((kspace.shape[-2], kspace.shape[-1]), ACCEL))[None]
    found = []
    for one in kspace:
        maps = estimate_coil_maps(one * mask[0], mask[0])[0][None] if len(one) > 1 else None
        found.append(float(imaginary_share(one[None], mask, maps)))
    return float(np.mean(found))


def under_phase(kspace: Tensor, numbers: Tensor, seed: int) -> Tensor:
    """The same images (slices, coils, rows, cols) under the phase of `draw_phase`'s numbers."""
    images = ifft2c(kspace)
    magnitude = rss(images)
    magnitude = magnitude / magnitude.flatten(1).quantile(0.995, 1)[:, None, None]
    angle = phases(numbers.expand(len(kspace), -1), magnitude, seed)
    return fft2c(images * torch.polar(torch.ones_like(angle), angle)[:, None])


def main() -> None:
    """Draw, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--least", type=float, default=0.02)
    parser.add_argument("--greatest", type=float, default=0.2)
    arguments = parser.parse_args()
    if open_scan(arguments.source).mask is not None:
        raise InputError(f"{arguments.source}: is undersampled; its phase can be changed only where all is measured")
    with h5py.File(arguments.source) as file:
        stored = file["kspace"][()]
    kspace = torch.from_numpy(stored.astype(np.complex64).reshape(len(stored), -1, *stored.shape[-2:]))
    generator = torch.Generator().manual_seed(arguments.seed)
    for _ in range(TRIES):
        twin = under_phase(kspace, draw_phase(generator), arguments.seed)
        share = mean_share(twin)
        if arguments.least <= share <= arguments.greatest:
            break
    else:
        raise InputError(f"no phase in {TRIES} has a share between {arguments.least:g} and {arguments.greatest:g}")
    shutil.copyfile(arguments.source, arguments.target)
    with h5py.File(arguments.target, "r+") as file:
        file["kspace"][...] = twin.numpy().reshape(stored.shape)
    print(f"{arguments.target}: imaginary share {share:.4f}, was {mean_share(kspace):.4f}")


if __name__ == "__main__":
    main()
