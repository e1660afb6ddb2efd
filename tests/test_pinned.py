"""The outputs of the commands on small inputs stay what they were: `python tests/test_pinned.py` pins them anew.

A pinned array is its shape and the values at places that follow from the shape; they stay equal to 1e-5 of the largest one.
"""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from scans import fft2c, four_coils, phantom, write_scan  # noqa: E402

from mri_d3gm.cli import main as cli  # noqa: E402
from mri_d3gm.compute import one_thread  # noqa: E402

PINNED = HERE / "data" / "pinned.json"
REAL = HERE / "data" / "brain_se_t1_sag_1ch_256.h5"
QUICK = ["--steps", "1", "--samples", "2", "--device", "cpu"]
METHODS = ("d3gm", "regression", "zero-filled", "pocs", "sense", "l1-wavelet", "tv")
PLACES = 48
TOLERANCE = 1e-5


def scan(folder: Path, kind: str) -> Path:
    """A file of one coil, of four, or undersampled already."""
    if kind == "undersampled":
        mask = (np.arange(64) % 3 == 0) | (abs(np.arange(64) - 32) < 6)
        return write_scan(folder / "undersampled.h5", four_coils() * mask, mask=mask)
    return write_scan(folder / f"{kind}.h5", four_coils() if kind == "many" else fft2c(phantom(2, 66, 70) * np.exp(0.3j)))


def volume(folder: Path) -> Path:
    """A NIfTI of three slices, oblique."""
    array = 300 * phantom(3, 22, 25).transpose(1, 2, 0) + np.random.default_rng(1).normal(20, 3, (22, 25, 3))
    affine = np.array([[-0.9, 0.1, 0, 80], [-0.1, -0.9, 0, 90], [0, 0, 5, -20], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(array.astype(np.float32), affine), folder / "volume.nii.gz")
    return folder / "volume.nii.gz"


def photograph(folder: Path) -> Path:
    """A colour PNG of 8 bits with edges and streaks."""
    y, x = np.mgrid[:80, :96]
    colours = [np.sin(x / 9) * np.cos(y / 7), (x // 12 + y // 10) % 2 - 0.5, np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 300)]
    streaks = 0.4 * ((x + 3 * y) % 17 == 0)
    picture = np.stack(colours, -1) * 0.35 + 0.4 + streaks[..., None]
    Image.fromarray((255 * np.clip(picture, 0, 1)).astype(np.uint8)).save(folder / "photograph.png")
    return folder / "photograph.png"


def recon(folder: Path, kind: str, *options: str) -> dict[str, Any]:
    path = REAL if kind == "real" else scan(folder, kind)
    command("recon", path, "-o", folder / "out", *options)
    return written(folder / "out", f"{path.stem}_recon")


def sr(folder: Path, *options: str) -> dict[str, Any]:
    command("sr", volume(folder), "-o", folder / "out", *options)
    return written(folder / "out", "volume_sr")


def restore(folder: Path, *options: str) -> dict[str, Any]:
    command("restore", photograph(folder), "-o", folder / "out", *options)
    return {"picture": sampled(np.asarray(Image.open(folder / "out" / "photograph.png"), float))}


def stability(folder: Path) -> dict[str, Any]:
    command("stability", scan(folder, "many"), "-o", folder / "out", "--accel", "4", "--steps", "1,2")
    with open(folder / "out" / "sensitivity.csv", newline="") as file:
        growth = [float(row["growth"]) for row in csv.DictReader(file)]
    with open(folder / "out" / "discrepancy.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dynamics"] != "goub"]  # the docs' own, known to tests alone
    discrepancies = [[min(float(row[name]), 1e9) for name in ("W2^2", "KL")] for row in rows]
    return {"growth": sampled(np.array(growth)), "discrepancy": sampled(np.array(discrepancies))}


def train(folder: Path) -> dict[str, Any]:
    write_scan(folder / "a.h5", fft2c(phantom(2, 64, 64)))
    network = {"_target_": "mri_d3gm.training.grow.seeded_denoiser", "seed": 0, "options": {"blocks": 1, "features": 8}}
    small = {"rows": 16, "cols": 48, "crop": 24}
    settings = {"sources": [{"glob": "*.h5"}], "validation_sources": [{"glob": "*.h5"}], "network_def": network}
    settings |= {f"train#simulate#{name}": size for name, size in small.items()} | {"train#trainer#precision": "float32"}
    (folder / "tiny.json").write_text(json.dumps(settings | {"train#trainer#steps": 30}))
    command("train", folder / "tiny.json", "--data", folder, "-o", folder / "run", "--device", "cpu")
    with open(folder / "run" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {"loss": sampled(np.array([float(row["loss"]) for row in rows])), "gain_db": [float(rows[-1]["gain_db"])]}


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "recon real 4x": lambda folder: recon(folder, "real", "--accel", "4", *QUICK),
    "recon real 8x readout": lambda folder: recon(folder, "real", "--axis", "readout", *QUICK),
    "recon two evaluations, full trust": lambda folder: recon(
        folder, "many", "--accel", "4", "--steps", "2", "--samples", "5", "--trust", "full", "--solver", "multistep-sde"
    ),
    "recon its own mask": lambda folder: recon(folder, "undersampled", *QUICK),
    **{
        f"recon {mask}": lambda folder, mask=mask: recon(folder, "many", "--mask", mask, "--accel", "4", *QUICK)
        for mask in ("random", "magic", "gaussian", "gaussian-2d", "poisson-2d")
    },
    **{
        f"recon {method} {kind}": lambda folder, method=method, kind=kind: recon(
            folder, kind, "--method", method, "--accel", "3", "--center-fraction", "0.15", "--device", "cpu"
        )
        for method in METHODS
        for kind in ("one", "many")
    },
    **{
        f"sr {operator} {scale}": lambda folder, operator=operator, scale=scale: sr(
            folder, "--operator", operator, "--scale", scale, *QUICK
        )
        for operator in ("truncation", "unknown")
        for scale in ("2", "4")
    },
    **{
        f"sr {method}": lambda folder, method=method: sr(folder, "--method", method)
        for method in ("regression", "cubic", "sinc")
    },
    "restore derain": lambda folder: restore(folder, "--task", "derain"),
    "restore dehaze": lambda folder: restore(folder, "--task", "dehaze", "--samples", "2", "--steps", "2"),
    "restore regression": lambda folder: restore(folder, "--task", "derain", "--method", "regression"),
    "restore median": lambda folder: restore(folder, "--task", "derain", "--method", "median"),
    "restore dark-channel": lambda folder: restore(folder, "--task", "dehaze", "--method", "dark-channel"),
    "stability": stability,
    "train": train,
}


def command(*arguments: object) -> None:
    """Run mri-d3gm with arguments; AssertionError where it does not end well."""
    held, sys.argv = sys.argv, ["mri-d3gm", *map(str, arguments)]
    try:
        with one_thread():
            cli.main()
    except SystemExit as end:
        assert not end.code, f"{sys.argv}: exit code {end.code}"
    finally:
        sys.argv = held


def sampled(array: np.ndarray) -> dict[str, Any]:
    """Shape, and the values at PLACES places spread over the array."""
    places = np.random.default_rng(array.size).choice(array.size, min(PLACES, array.size), replace=False)
    return {"shape": list(array.shape), "values": [float(f"{value:.8g}") for value in array.ravel()[np.sort(places)]]}


def written(folder: Path, name: str) -> dict[str, Any]:
    """What a run left: volume, std, and numbers of the sidecar."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.nii.gz")):
        image = nibabel.load(file)
        kind = "std" if file.name.endswith("std.nii.gz") else "volume"
        found[kind] = sampled(np.asarray(image.dataobj)) | {"affine": np.round(image.affine, 5).tolist()}
    record = json.loads((folder / f"{name}.json").read_text())
    numbers = {name: record[name] for name in ("Sampling", "Noise", "DataResidual", "Metrics") if name in record}
    return found | {"record": numbers}


def close(found: Any, pinned: Any, tolerance: float, scale: float = 0.0) -> bool:
    """Equal in structure, numbers to `tolerance` of themselves or of the largest one of their list."""
    if isinstance(pinned, dict):
        return (
            isinstance(found, dict)
            and found.keys() == pinned.keys()
            and all(close(found[k], pinned[k], tolerance) for k in pinned)
        )
    if isinstance(pinned, list):
        numbers = [abs(v) for v in pinned if isinstance(v, float)]
        return len(found) == len(pinned) and all(
            close(a, b, tolerance, max(numbers, default=0.0)) for a, b in zip(found, pinned, strict=True)
        )
    if isinstance(pinned, float) and isinstance(found, float | int) and found != pinned:
        return abs(found - pinned) <= tolerance * max(scale, abs(pinned))
    return bool(found == pinned)


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_pinned(case: str, tmp_path: Path) -> None:
    found, pinned = json.loads(json.dumps(CASES[case](tmp_path))), json.loads(PINNED.read_text())[case]
    tolerance = 1e-2 if "tv" in case or "wavelet" in case else TOLERANCE  # sigpy draws their step sizes
    for part in pinned:
        assert close(found.get(part), pinned[part], tolerance), f"{part}: {found.get(part)} was {pinned[part]}"


if __name__ == "__main__":
    import tempfile

    kept = json.loads(PINNED.read_text()) if PINNED.exists() else {}
    for name, case in CASES.items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            kept[name] = case(Path(folder))
    lines = (f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in CASES if name in kept)
    PINNED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
