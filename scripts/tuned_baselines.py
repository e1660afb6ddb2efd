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
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose

from mri_d3gm.io.fastmri_h5 import crop_to_recon, open_scan
from mri_d3gm.metrics import score
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.physics import baselines
from mri_d3gm.physics.coil_maps import estimate_coil_maps
from mri_d3gm.tasks.recon import slice_items
from mri_d3gm.transforms import LoadKspaced, NormaliseKspaced, UndersampleKspaced

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


def pics(kspace: np.ndarray, coil_maps: np.ndarray, regularisation: str, lamda: float) -> np.ndarray:
    """BART's parallel imaging and compressed sensing, 100 iterations: image (rows, cols) complex64."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("kspace", kspace), ("maps", coil_maps)):
            write_cfl(Path(folder) / name, array)
        command = ["bart", "pics", "-S", "-i", "100", "-R", f"{regularisation}:{lamda}", "kspace", "maps", "out"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return np.fromfile(Path(folder) / "out.cfl", np.complex64).reshape(kspace.shape[1:], order="F")


def with_maps(item: dict[str, torch.Tensor], crop: float) -> dict[str, torch.Tensor]:
    """The item with coil maps, ones for one coil."""
    kspace = item["kspace"]
    maps = torch.ones_like(kspace) if len(kspace) == 1 else estimate_coil_maps(kspace, item["mask"], crop)[0]
    return item | {"coil_maps": maps}


def reconstruct(method: str, lamda: float, item: dict[str, torch.Tensor]) -> np.ndarray:
    """Magnitude (rows, cols) in the file's units."""
    kspace, mask, maps = (item[name].numpy() for name in ("kspace", "mask", "coil_maps"))
    image = pics(kspace, maps, BART[method], lamda) if method in BART else SIGPY[method](kspace, mask, maps, lamda)
    return np.abs(image) * float(item["scale"])


def figures(method: str, lamda: float, volumes: list[tuple[Path, list[dict[str, torch.Tensor]]]]) -> dict[str, float]:
    """Means over files, seconds a slice."""
    started, found, slices = time.monotonic(), [], 0
    for path, items in volumes:
        scan = open_scan(str(path))
        volume = np.stack([crop_to_recon(reconstruct(method, lamda, item), scan) for item in items])
        reference = np.stack([crop_to_recon(item["reference"].numpy(), scan) for item in items])
        plain, body = score(reference, volume, "fastmri-volume"), score(reference, volume, "body")
        found.append((plain["psnr"], plain["ssim"], body["ssim_body"], score(reference, volume, "haarpsi")["haarpsi"]))
        slices += len(items)
    seconds = (time.monotonic() - started) / slices
    means = np.mean(found, 0)
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
    for accel in map(float, arguments.accels.split(",")):
        for axis in arguments.axes.split(","):
            undersample = UndersampleKspaced(accel, axis=axis, center_fraction=arguments.center_fraction)
            load = Compose([LoadKspaced(), undersample, NormaliseKspaced("kspace")])
            items = [(path, [load(item) for item in slice_items(str(path))]) for path in files]
            coils = max(len(item["kspace"]) for _, volume in items for item in volume)
            crops = CROPS if coils > 1 else CROPS[:1]
            volumes = {crop: [(path, [with_maps(i, crop) for i in volume]) for path, volume in items] for crop in crops}
            for method in methods:
                tried = {(lamda, crop): figures(method, lamda, volumes[crop]) for lamda in GRID[method] for crop in crops}
                best = max(tried, key=lambda choice: tried[choice]["psnr"])
                measured = {name: round(value, 2 if name in ("psnr", "seconds") else 4) for name, value in tried[best].items()}
                chosen = dict(zip(("lamda", "crop"), best, strict=True))
                rows.append({"accel": accel, "axis": axis, "method": method} | chosen | measured)
                print(rows[-1], flush=True)
    print(to_markdown(rows))


if __name__ == "__main__":
    main()
