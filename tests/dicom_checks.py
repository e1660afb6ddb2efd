"""What others say of DICOM that was written: dciodvfy, dicom-validator, dcm2niix, and highdicom's tables of the standard."""

import json
import shutil
import subprocess
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

IODS = {
    "1.2.840.10008.5.1.4.1.1.4": "mr-image",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced-mr-image",
    "1.2.840.10008.5.1.4.1.1.30": "parametric-map",
}
STANDARD = Path.home() / "dicom-validator"  # where dicom-validator keeps the standard that it downloads


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


needs_standard = pytest.mark.skipif(
    not list(STANDARD.glob("*/json")), reason="dicom-validator has not downloaded the standard (from dicom.nema.org)"
)


def errors_of(path: Path) -> list[str]:
    """dciodvfy's errors."""
    said = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    lines = (said.stdout + said.stderr).splitlines()
    assert any(line in ("MRImage", "EnhancedMRImage", "ParametricMap") for line in lines), lines
    return [line for line in lines if line.startswith(("Error", "Abort"))]


def validated(path: Path) -> str:
    """What dicom-validator says, without looking for a newer standard; '' where it finds nothing."""
    edition = sorted(folder.parent.name for folder in STANDARD.glob("*/json"))[-1]
    run = [sys.executable, "-m", "dicom_validator.validate_iods", "-r", edition, str(path)]
    said = subprocess.run(run, capture_output=True, text=True)
    return said.stdout if "Missing" in said.stdout or "not allowed" in said.stdout.lower() else ""


@cache
def tables(name: str) -> Any:
    """One of highdicom's tables."""
    return json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text())


def missing(path: Path) -> list[str]:
    """Attributes of types 1 and 2 that an object's mandatory modules need and it lacks, by highdicom's tables."""
    item = pydicom.dcmread(path)
    iods, modules = tables("iod_module_map"), tables("module_attribute_map")
    wanted = [
        attribute
        for module in iods[IODS[item.SOPClassUID]]
        if module["usage"] == "M"
        for attribute in modules[module["key"]]
        if not attribute["path"] and attribute["type"] in ("1", "2")
    ]
    return [
        attribute["keyword"]
        for attribute in wanted
        if attribute["keyword"] not in item or (attribute["type"] == "1" and item[attribute["keyword"]].is_empty)
    ]


def by_dcm2niix(folder: Path, out: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Values and affines of what dcm2niix makes of a folder."""
    out.mkdir()
    run = ["dcm2niix", "-z", "n", "-b", "n", "-f", "%s_%d", "-o", str(out), str(folder)]
    said = subprocess.run(run, capture_output=True, text=True)
    images = [nibabel.load(path) for path in sorted(out.glob("*.nii"))]
    assert images, said.stdout
    return [(image.get_fdata(), image.affine) for image in images]


def assert_same(array: np.ndarray, affine: np.ndarray, found: tuple[np.ndarray, np.ndarray], step: float) -> None:
    """Every voxel (i, j, k[, t]) lies where it does in the other image to 0.01 mm, with its value to half a step."""
    other, grid = found
    index = np.stack(np.meshgrid(*map(np.arange, array.shape[:3]), indexing="ij"), -1).reshape(-1, 3)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    places = (world - grid[:3, 3]) @ np.linalg.inv(grid[:3, :3]).T
    nearest = np.rint(places).astype(int)
    assert np.abs((nearest - places) @ grid[:3, :3].T).max() < 0.01
    assert sorted(other.shape[:3]) == sorted(array.shape[:3])
    values = other[tuple(nearest.T)]
    assert np.abs(values - array[tuple(index.T)]).max() <= step / 2 * (1 + 1e-3)
