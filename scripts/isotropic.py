"""Super-resolution through the slices against interpolation and a self-trained network, on heads of near-isotropic voxels.

Usage: python scripts/isotropic.py HEADS... [--thickness 3,5,7] [--gaps 0,1] [--profile box] [--assumed box]
       [--noise 0.003] [--methods linear,cubic,spline,lanczos,d3gm,self-trained] [--weights FILE] [--samples 4] [--size N]

Each head is thickened from feet to head by a slice profile, with Rician noise of a part of its 99th percentile, and brought
back to its own grid; its voxels count as cubes of 1 mm. PSNR and SSIM have the head's maximum as range (`fastmri-volume`).
spline is SciPy's cubic spline. The self-trained network has as many seconds of one core as d3gm took, with its training. A
table in Markdown is printed; --pictures FOLDER adds what was made, in three planes.
"""

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates
from self_trained import self_trained

import mri_d3gm
from mri_d3gm.io.image import Image
from mri_d3gm.io.open_image import open_image
from mri_d3gm.io.preview import write_preview
from mri_d3gm.metrics import score
from mri_d3gm.metrics.table import to_markdown

METHODS = "linear,cubic,spline,lanczos,d3gm,self-trained"


def upwards(image: Image, size: int | None) -> np.ndarray:
    """The head (a, b, cols) with the axis from feet to head last, its middle `size` voxels of the other axes."""
    head = np.moveaxis(
        image.array, int(np.abs(image.affine[2, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)).argmax()), -1
    )
    start = [0 if size is None else max(0, (n - size) // 2) for n in head.shape[:2]]
    return head[start[0] : head.shape[0] - start[0], start[1] : head.shape[1] - start[1]]


def thickened(head: np.ndarray, spacing: float, thickness: float, profile: str) -> tuple[np.ndarray, np.ndarray]:
    """Slices (a, b, slices), and the part of the head (a, b, cols) that they cover, by the definition of the profile."""
    slices = int((head.shape[-1] - thickness) / spacing) + 1
    covered = int((slices - 1) * spacing + thickness + 1e-6)
    start = (head.shape[-1] - covered) // 2
    centres = start + (covered - 1) / 2 + spacing * (np.arange(slices) - (slices - 1) / 2)
    away = np.abs(np.arange(head.shape[-1]) - centres[:, None])
    if profile == "gaussian":
        rows = np.exp(-4 * np.log(2) * (away / thickness) ** 2)
    else:
        rows = np.clip((thickness + 1) / 2 - away, 0, 1)
    return head @ (rows / rows.sum(1, keepdims=True)).T, head[..., start : start + covered]


def rician(slices: np.ndarray, level: float) -> np.ndarray:
    """With noise of a deviation, the same at each call."""
    real, imaginary = level * np.random.default_rng(0).standard_normal((2, *slices.shape))
    return np.hypot(slices + real, imaginary).astype(np.float32)


def spline(slices: np.ndarray, spacing: float, cols: int) -> np.ndarray:
    """SciPy's cubic spline through the slices."""
    places = (np.arange(cols) - (cols - 1) / 2) / spacing + (slices.shape[-1] - 1) / 2
    grid = np.meshgrid(*(np.arange(n) for n in slices.shape[:2]), places, indexing="ij", sparse=True)
    return map_coordinates(slices, np.broadcast_arrays(*grid), order=3, mode="nearest")


def made(
    method: str, slices: np.ndarray, spacing: float, cols: int, options: argparse.Namespace, thickness: float
) -> np.ndarray:
    """The volume by a method that needs no time to be measured, or by the package."""
    if method == "spline":
        return spline(slices, spacing, cols)
    settings: dict[str, Any] = {"isotropic": True, "thickness": thickness, "profile": options.assumed, "device": "cpu"}
    if method in ("d3gm", "regression"):
        settings |= {"weights": options.weights, "samples": options.samples}
    affine = np.diag([1, 1, spacing, 1.0])
    return mri_d3gm.superresolve(slices, affine, method=method, slice_axis=2, threads=1, **settings).volume


def show(folder: Path, name: str, volumes: dict[str, np.ndarray]) -> None:
    """Pictures in three planes through the middle of what every method made."""
    folder.mkdir(parents=True, exist_ok=True)
    for axis, plane in enumerate(("sagittal", "coronal", "axial")):
        panels = {label: np.take(volume, volume.shape[axis] // 2, axis).T for label, volume in volumes.items()}
        write_preview(folder / f"{name}-{plane}.png", panels, f"{name}  {plane}")


def rows_of(path: Path, thickness: float, gap: float, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a method, of one head."""
    image, spacing = open_image(path), thickness + gap
    thick, head = thickened(upwards(image, options.size), spacing, thickness, options.profile)
    slices = rician(thick, options.noise * float(np.percentile(head, 99)))
    rows, volumes, seconds = [], {"truth": head}, 60.0
    for method in options.methods.split(","):
        before, note = time.process_time(), ""
        if method == "self-trained":
            volume, steps = self_trained(slices, spacing, thickness, options.assumed, seconds * options.times)
            note = f"{steps} steps"
        else:
            volume = made(method, slices, spacing, head.shape[-1], options, thickness)
        used = time.process_time() - before
        seconds = used if method == "d3gm" else seconds
        volumes[method] = volume
        planes = (np.moveaxis(array, -1, 0) for array in (head, volume))
        figures = score(*planes, "fastmri-volume")
        name = {"head": path.name.split(".")[0], "mm": thickness, "gap": gap, "method": method}
        rows.append(
            name | {"psnr": round(figures["psnr"], 2), "ssim": round(figures["ssim"], 4), "s": round(used), "note": note}
        )
        print(rows[-1], flush=True)
    if options.pictures is not None:
        show(options.pictures, f"{path.name.split('.')[0]}-{thickness:g}-{gap:g}", volumes)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", nargs="+", type=Path)
    parser.add_argument("--thickness", default="3,5,7")
    parser.add_argument("--gaps", default="0,1")
    parser.add_argument("--profile", default="box")
    parser.add_argument("--assumed", help="as the profile if left out")
    parser.add_argument("--noise", type=float, default=0.003)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--weights")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--size", type=int)
    parser.add_argument("--times", type=float, default=1.0, help="how many times d3gm's seconds the self-trained network has")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    options.assumed = options.assumed or options.profile
    sizes = product(options.heads, *([float(one) for one in text.split(",")] for text in (options.thickness, options.gaps)))
    print(to_markdown([row for path, thickness, gap in sizes for row in rows_of(path, thickness, gap, options)]))


if __name__ == "__main__":
    main()
