"""Reconstructions without a network, each with the regularisation that is best for it on the very files it is scored on.

Usage: python scripts/tuned_baselines.py FOLDER [--accels 8,16] [--axes phase,readout] [--methods sense,tv,...]

SENSE, l1-wavelet and tv are sigpy's; pics-l1 (wavelet) and pics-tv are BART's, run where the program `bart` is
installed (the Debian package of that name). Masks and normalisation are those of `mri-d3gm recon`, and so are coil maps
but for their support, which helps such methods where it is tight: CROPS. A line for each accel, axis, method: the best
lamda and crop of the grid by mean PSNR over the folder's .h5 files, and the figures.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from mri_d3gm import pipeline
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.scan import Scan, cropped, read_reference
from mri_d3gm.metrics import score
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.physics import baselines
from mri_d3gm.physics.coil_maps import estimate_coil_maps
from mri_d3gm.settings import Recon
from mri_d3gm.tasks.recon import prepare_slice

GRID = {
    "sense": (1e-3, 1e-2, 3e-2, 1e-1),
    "l1-wavelet": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    "tv": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    "pics-l1": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "pics-tv": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
}
CROPS = (0.6, 0.8)
SIGPY = {"sense": baselines.sense, "l1-wavelet": baselines.l1_wavelet, "tv": baselines.tv}
BART = {"pics-l1": "W:3:0", "pics-tv": "T:3:0"}


def write_cfl(name: Path, array: np.ndarray) -> None:
    """(coils, rows, cols) as BART's name.cfl and name.hdr: rows, cols, one slice, coils, column-major."""
    moved = np.asarray(array, np.complex64).transpose(1, 2, 0)[:, :, None]
    name.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, moved.shape)) + "\n")
    moved.ravel(order="F").tofile(name.with_suffix(".cfl"))


def read_cfl(name: Path) -> np.ndarray:
    """BART's name.cfl and name.hdr, all axes: rows, cols, slices, coils, sets of coil maps, and more of size 1."""
    shape = [int(size) for size in name.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(name.with_suffix(".cfl"), np.complex64).reshape(shape, order="F")


def bart(folder: Path, *command: object) -> None:
    """Run the program in a folder; CalledProcessError where it fails."""
    subprocess.run(["bart", *map(str, command)], cwd=folder, check=True, capture_output=True)


def pics_in(folder: Path, regularisation: str, lamda: float) -> np.ndarray:
    """BART's parallel imaging and compressed sensing of a folder's `kspace` and `maps`, 100 iterations: axes of `read_cfl`."""
    bart(folder, "pics", "-S", "-i", 100, "-R", f"{regularisation}:{lamda}", "kspace", "maps", "out")
    return read_cfl(folder / "out")


def pics(kspace: np.ndarray, coil_maps: np.ndarray, regularisation: str, lamda: float) -> np.ndarray:
    """`pics_in` of k-space and coil maps (coils, rows, cols): image (rows, cols) complex64."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("kspace", kspace), ("maps", coil_maps)):
            write_cfl(Path(folder) / name, array)
        return pics_in(Path(folder), regularisation, lamda).reshape(kspace.shape[1:])


class Slice(NamedTuple):
    """K-space and coil maps (coils, rows, cols), mask (rows | 1, cols | 1) of what is known, and the unit of the data."""

    kspace: np.ndarray
    mask: np.ndarray
    coil_maps: np.ndarray
    scale: float


class Volume(NamedTuple):
    """A file, its reference (slices, rows, cols), and its slices for each of CROPS that makes a difference."""

    scan: Scan
    reference: np.ndarray
    slices: dict[float, list[Slice]]


def prepare(path: Path, settings: Recon) -> Volume:
    """A file undersampled as `mri-d3gm recon` does it."""
    scan = open_scan(path)
    mask, _ = pipeline.sampling(scan, settings)
    found: dict[float, list[Slice]] = {crop: [] for crop in (CROPS if scan.coils > 1 else CROPS[:1])}
    for index in range(scan.slices):
        prepared = prepare_slice(scan, scan.read(index), mask)
        known: Any = prepared.measurement
        for crop, slices in found.items():
            kspace = known.kspace[0]
            maps = torch.ones_like(kspace) if len(kspace) == 1 else estimate_coil_maps(kspace, known.mask[0], crop)[0]
            slices.append(Slice(kspace.numpy(), known.known[0].numpy(), maps.numpy(), float(prepared.scale[0])))
    return Volume(scan, np.stack([read_reference(scan, index) for index in range(scan.slices)]), found)


def reconstruct(method: str, lamda: float, one: Slice) -> np.ndarray:
    """Magnitude (rows, cols) in the file's units."""
    if method in BART:
        return np.abs(pics(one.kspace, one.coil_maps, BART[method], lamda)) * one.scale
    return np.abs(SIGPY[method](one.kspace, one.mask, one.coil_maps, lamda)) * one.scale


def figures(method: str, lamda: float, crop: float, volumes: list[Volume]) -> dict[str, float]:
    """Means over files, seconds a slice."""
    started, found, count = time.monotonic(), [], 0
    for scan, reference, slices in volumes:
        chosen = slices.get(crop, slices[CROPS[0]])
        volume = np.stack([cropped(reconstruct(method, lamda, one), scan) for one in chosen])
        plain, body = score(reference, volume, "fastmri-volume"), score(reference, volume, "body")
        found.append((plain["psnr"], plain["ssim"], body["ssim_body"], score(reference, volume, "haarpsi")["haarpsi"]))
        count += len(chosen)
    seconds, means = (time.monotonic() - started) / count, np.mean(found, 0)
    return dict(zip(("psnr", "ssim", "ssim_body", "haarpsi"), map(float, means), strict=True)) | {"seconds": seconds}


def main() -> None:
    """Markdown table, a line as it is finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accels", default="8,16")
    parser.add_argument("--axes", default="phase,readout")
    parser.add_argument("--center-fraction", type=float)
    parser.add_argument("--methods", default=",".join(GRID))
    arguments = parser.parse_args()
    methods = [m for m in arguments.methods.split(",") if m not in BART or shutil.which("bart")]
    rows = []
    files = sorted(arguments.folder.glob("*.h5"))
    for accel, axis in product(map(float, arguments.accels.split(",")), arguments.axes.split(",")):
        settings = Recon(accel=accel, axis=axis, center_fraction=arguments.center_fraction)
        volumes = [prepare(path, settings) for path in files]
        crops = list(dict.fromkeys(crop for volume in volumes for crop in volume.slices))
        for method in methods:
            tried = {(lamda, crop): figures(method, lamda, crop, volumes) for lamda in GRID[method] for crop in crops}
            best = max(tried, key=lambda choice: tried[choice]["psnr"])
            measured = {name: round(value, 2 if name in ("psnr", "seconds") else 4) for name, value in tried[best].items()}
            chosen = dict(zip(("lamda", "crop"), best, strict=True))
            rows.append({"accel": accel, "axis": axis, "method": method} | chosen | measured)
            print(rows[-1], flush=True)
    print(to_markdown(rows))


if __name__ == "__main__":
    main()
