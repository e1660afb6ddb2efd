"""The same slices as an array of several coils would have measured them, with noise in each.

Usage: python scripts/with_coils.py IN.h5 OUT.h5 --seed N [--coils 8] [--noise 0.003]

IN.h5 is fully sampled, fastMRI layout, one coil. Coils are drawn from the seed as training draws them; their sensitivities' sum
of squares is one everywhere, so that references stay. --noise: deviation of each real and imaginary part, relative to the 99th
percentile of the magnitude.
"""

import argparse
import shutil
from pathlib import Path

import h5py
import torch

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.physics.coil_maps import smooth_coil_maps
from mri_d3gm.physics.fft import fft2c, ifft2c
from mri_d3gm.training.coils import draw_coils


def main() -> None:
    """Draw, multiply, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--noise", type=float, default=0.003)
    arguments = parser.parse_args()
    scan = open_scan(arguments.source)
    if scan.mask is not None or scan.coils > 1:
        raise InputError(f"{arguments.source}: one coil, fully sampled, is needed")
    generator = torch.Generator().manual_seed(arguments.seed)
    maps = smooth_coil_maps(draw_coils(arguments.coils, generator)[None], scan.rows, scan.cols)[0]
    images = torch.stack([ifft2c(torch.from_numpy(scan.read(index))) for index in range(scan.slices)])
    level = arguments.noise * float(images.abs().flatten().quantile(0.99)) * 2**0.5
    kspace = fft2c(images * maps)
    kspace = kspace + level * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator)
    shutil.copyfile(arguments.source, arguments.target)
    with h5py.File(arguments.target, "r+") as file:
        del file["kspace"]
        file["kspace"] = kspace.numpy()
    print(f"{arguments.target}: {scan.slices} slices of {arguments.coils} coils")


if __name__ == "__main__":
    main()
