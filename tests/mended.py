"""What the tests of mended defects share: commands in processes of their own, scans and volumes."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scans import fft2c, phantom, write_scan

ONE = {"steps": 1, "samples": 1, "device": "cpu"}
LINES = {"accel": 4, "method": "zero-filled", "device": "cpu"}
TINY = {"blocks": 1, "features": 8, "embedding": 16}


def command(*arguments: Any, columns: int = 80, before: str = "") -> tuple[int, str, str]:
    """The command in a process of its own, after some Python: exit code, stdout, stderr."""
    call = ["-c", f"{before}\nfrom mri_d3gm.cli.main import main\nmain()"] if before else ["-m", "mri_d3gm"]
    environment = os.environ | {"COLUMNS": str(columns)}
    done = subprocess.run([sys.executable, *call, *map(str, arguments)], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def volume(path: Path, frames: np.ndarray) -> Path:
    """A volume of thick slices from (slices, rows, cols), or (t, slices, rows, cols)."""
    order = (2, 3, 1, 0) if frames.ndim == 4 else (1, 2, 0)
    image = nibabel.Nifti1Image(frames.transpose(order).astype(np.float32), np.diag([1, 1, 5, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def scan(path: Path, size: float = 1.0, slices: int = 2) -> Path:
    """A scan of one coil, fully sampled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.01, (2, slices, 48, 40))
    return write_scan(path, fft2c(size * (phantom(slices) + noise[0] + 1j * noise[1])))


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def attempt(work: Callable[[], Any]) -> Any:
    """What it gives, or the error."""
    try:
        return work()
    except Exception as error:
        return error


def table(out: Path) -> list[dict[str, str]]:
    with open(out / "table.csv", newline="") as file:
        return list(csv.DictReader(file))
