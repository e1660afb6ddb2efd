"""Compares `mri-d3gm recon` with BART on fully sampled scans of several coils, at low and at high acceleration.

Usage: python scripts/many_coils.py FILES_OR_FOLDERS... [--accels 2,3,4,6,8] [--axes phase,readout] [--wrapped 0.7[,0.6]]
           [--kernels 6,4,3] [--weights FILE] [--quality default] [-o OUT.md]

Needs the program `bart` (the Debian package of that name). BART is `pics` with l1-wavelet on its own `ecalib` maps, of which
there is one set or two; each cell has the kernel and the lamda of a grid with the highest PSNR on that very slice. A Markdown
table of the middle slice of each .h5 file, `psnr / ssim_body / haarpsi` in each cell, 'none' where BART can't calibrate.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tuned_baselines import BART, bart, pics_in, read_cfl, write_cfl

from mri_d3gm import pipeline
from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan, scan_of_array
from mri_d3gm.io.scan import Scan, cropped
from mri_d3gm.metrics import score
from mri_d3gm.metrics.table import to_markdown
from mri_d3gm.physics.fft import fft1c, ifft1c
from mri_d3gm.settings import QUALITIES, Recon
from mri_d3gm.tasks.recon import reconstruct

LAMDAS = (0.001, 0.003, 0.01, 0.03)
CALIBRATION = 24  # lines at most; BART takes fewer along an axis where fewer are full
SETS = {"one set": 1, "two sets": 2}
FIGURES = (("fastmri-volume", "psnr"), ("body", "ssim_body"), ("haarpsi", "haarpsi"))
BEHIND = 0.2  # dB below the best of BART that is named

AXES = {"phase": -1, "readout": -2}

Figures = tuple[float, ...]


class Row(NamedTuple):
    """A file, how it was undersampled, and figures of each method, None where it could not run."""

    file: str
    accel: float
    axis: str
    found: dict[str, Figures | None]


def wrapped(kspace: Tensor, axis: str, share: float) -> Tensor:
    """K-space (..., rows, cols) of a field of view of `share` the size along an axis, into which what lies outside is folded.

    An even number of lines goes, so that a matrix stays even.
    """
    dim = AXES[axis]
    lines = kspace.shape[dim]
    kept = lines - 2 * round(lines * (1 - share) / 2)
    places = (torch.arange(lines) - lines // 2 + kept // 2) % kept
    images = ifft1c(kspace, dim).movedim(dim, 0)
    folded = images.new_zeros((kept, *images.shape[1:])).index_add_(0, places, images)
    return fft1c(folded.movedim(0, dim), dim)


def middle(path: Path, axis: str, shares: Sequence[float]) -> tuple[Scan, int]:
    """A scan and the number of its middle slice; the only slice where the field of view is made smaller, along an axis and,
    where there are two shares, along the other.
    """
    scan = open_scan(path)
    index = scan.slices // 2
    if set(shares) == {1}:
        return scan, index
    kspace = torch.from_numpy(scan.read(index))
    for along, share in zip((axis, *(other for other in AXES if other != axis)), shares, strict=False):
        kspace = wrapped(kspace, along, share)
    return replace(scan_of_array(kspace.numpy()[None]), name=scan.name), 0


def calibrated(folder: Path, kernel: int, sets: int) -> bool:
    """Whether BART could make a folder's `maps` of its `kspace`; it aborts where the full centre is smaller than its kernel."""
    try:
        bart(folder, "ecalib", f"-k{kernel}", f"-r{CALIBRATION}", f"-m{sets}", "kspace", "maps")
    except subprocess.CalledProcessError:
        return False
    return True


def magnitude(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(rows, cols) of images (rows, cols, sets) under maps (rows, cols, coils, sets): of one set as it is, of several the root
    sum of squares of the coil images that they add up to.
    """
    if images.shape[-1] == 1:
        return np.abs(images[..., 0])
    return np.linalg.norm((maps * images[:, :, None]).sum(-1), axis=-1)


def tries(kspace: np.ndarray, sets: int, kernels: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    """BART's images (rows, cols) of undersampled k-space (coils, rows, cols), and what each was made with."""
    coils, rows, cols = kspace.shape
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cfl(folder / "kspace", kspace)
        for kernel in kernels:
            if not calibrated(folder, kernel, sets):
                continue
            maps = read_cfl(folder / "maps").reshape(rows, cols, coils, sets)
            for lamda in LAMDAS:
                images = pics_in(folder, BART["pics-l1"], lamda).reshape(rows, cols, sets)
                yield f"kernel {kernel}, lamda {lamda:g}", magnitude(images, maps)


def figures(reference: np.ndarray, volume: np.ndarray) -> Figures:
    """Of FIGURES, for magnitudes (1, rows, cols)."""
    return tuple(score(reference, volume, protocol)[name] for protocol, name in FIGURES)


def measure(scan: Scan, index: int, settings: Recon, kernels: list[int]) -> dict[str, Figures | None]:
    """All methods on one slice; what BART did best with goes to stderr."""
    result = reconstruct(scan, replace(settings, slices=str(index)))
    reference, known = result.reference, scan.read(index) * pipeline.sampling(scan, settings)[0]
    assert reference is not None
    found: dict[str, Figures | None] = {"zero-filled": figures(reference, result.zero_filled)}
    for name, sets in SETS.items():
        tried = [(figures(reference, cropped(image, scan)[None]), how) for how, image in tries(known, sets, kernels)]
        found[name], how = max(tried, default=(None, "none"))
        print(f"  {name}: {how}", file=sys.stderr, flush=True)
    return found | {"ours": figures(reference, result.volume)}


def cell(found: Figures | None) -> str:
    """Text of figures: two digits of the decibels, four of the rest."""
    return "none" if found is None else " / ".join(f"{value:.{4 if place else 2}f}" for place, value in enumerate(found))


def means(rows: list[Row]) -> dict[str, str]:
    """The last row: means over the rows in which every method has figures."""
    whole = [row.found for row in rows if None not in row.found.values()]
    names = ("zero-filled", *SETS, "ours")
    cells = {name: cell(tuple(np.mean([found[name] for found in whole], 0)) if whole else None) for name in names}
    return {"file": f"mean of {len(whole)}", "accel": "", "axis": ""} | cells


def behind(rows: list[Row]) -> str:
    """One line that names where ours is BEHIND the best of BART."""
    named = []
    for file, accel, axis, found in rows:
        ours, best = (max((f[0] for name in names if (f := found[name])), default=-np.inf) for names in (("ours",), SETS))
        if ours < best - BEHIND:
            named.append(f"{file} {accel:g}x {axis} ({ours - best:.2f} dB)")
    return f"Ours is more than {BEHIND} dB below the best of BART in {', '.join(named) or 'no cell'}.\n"


def report(rows: list[Row]) -> str:
    """The table, and what it says."""
    lines = [{"file": r.file, "accel": f"{r.accel:g}", "axis": r.axis} | {n: cell(f) for n, f in r.found.items()} for r in rows]
    return to_markdown([*lines, means(rows)]) + "\n" + behind(rows)


def usable(path: Path) -> bool:
    """Whether a file is fully sampled and of several coils; stderr has the reason why not."""
    scan = open_scan(path)
    reason = "it has one coil" if scan.coils == 1 else "it is undersampled" if scan.mask is not None else ""
    if reason:
        print(f"{path.name}: {reason}; left out", file=sys.stderr)
    return not reason


def shares(text: str) -> list[float]:
    """Numbers between commas."""
    return [float(share) for share in text.split(",")]


def arguments() -> argparse.Namespace:
    """Of the command line, files in the order in which they were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path, nargs="+", help="fully sampled .h5 files, or folders of them")
    parser.add_argument("--accels", default="2,3,4,6,8")
    parser.add_argument("--axes", default="phase,readout")
    parser.add_argument("--wrapped", type=shares, default=[1.0], help="of the field of view, along the axis, and the other")
    parser.add_argument("--kernels", default="6,4,3", help="widths of ecalib's kernel, of which the best is taken")
    parser.add_argument("--weights")
    parser.add_argument("--quality", default="default", choices=QUALITIES)
    parser.add_argument("-o", "--output", type=Path, help="the table as a file")
    given = parser.parse_args()
    if not shutil.which("bart"):
        parser.error("the program bart is not installed (the Debian package of that name)")
    if len(given.wrapped) > 2 or not all(0.3 <= share <= 1 for share in given.wrapped):
        parser.error("--wrapped: one or two numbers between 0.3 and 1")
    found = [file for path in given.inputs for file in (sorted(path.glob("*.h5")) if path.is_dir() else [path])]
    given.files = [file for file in found if usable(file)]
    return given


def main() -> None:
    """Row by row to stderr, the whole table to stdout."""
    given, rows = arguments(), []
    kernels = [int(kernel) for kernel in given.kernels.split(",")]
    for file, accel, axis in product(given.files, map(float, given.accels.split(",")), given.axes.split(",")):
        print(f"{file.name} {accel:g}x {axis}", file=sys.stderr, flush=True)
        try:
            settings = Recon(accel=accel, axis=axis, weights=given.weights, quality=given.quality)
            found = measure(*middle(file, axis, given.wrapped), settings, kernels)
        except InputError as error:
            print(f"  left out: {error}", file=sys.stderr)
            continue
        rows.append(Row(file.name, accel, axis, found))
        print("  " + ", ".join(f"{name} {cell(value)}" for name, value in found.items()), file=sys.stderr, flush=True)
    text = report(rows)
    print(text)
    if given.output is not None:
        given.output.write_text(text)


if __name__ == "__main__":
    main()
