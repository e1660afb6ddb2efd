"""What others say of DICOM that was written: dciodvfy, dicom-validator, dcm2niix, and highdicom's tables of the standard."""

import json
import shutil
import subprocess
import sys
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.datadict import keyword_for_tag

IODS = {
    "1.2.840.10008.5.1.4.1.1.4": "mr-image",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced-mr-image",
    "1.2.840.10008.5.1.4.1.1.30": "parametric-map",
}
SCRIPT = Path(__file__).parents[1] / "scripts" / "dicom_standard.py"
# attributes that no module of the IOD has: an object may hold more than that, as a Standard Extended SOP Class (PS3.2, 3.11)
BEYOND = "RescaleSlope", "RescaleIntercept", "RescaleType", "DiffusionBValue", "DiffusionGradientOrientation"
EXTENDED: dict[str, set[str]] = {
    "mr-image": {f"{name} TagUnexpected" for name in BEYOND},
    "enhanced-mr-image": {"DerivationDescription TagUnexpected"},
    "parametric-map": set(),
}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


HAS_STANDARD = bool(find_spec("dicom_validator") and find_spec("dicom_standard"))
needs_standard = pytest.mark.skipif(
    not HAS_STANDARD, reason="dicom-validator, or dicom-standard that holds the standard's tables, is not installed"
)


def errors_of(path: Path) -> list[str]:
    """dciodvfy's errors."""
    said = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    lines = (said.stdout + said.stderr).splitlines()
    assert any(line in ("MRImage", "EnhancedMRImage", "ParametricMap") for line in lines), lines
    return [line for line in lines if line.startswith(("Error", "Abort"))]


@cache
def standard() -> Any:
    """The standard as dicom-validator reads it, from the installed package."""
    from dicom_validator.spec_reader.edition_reader import EditionReader

    with TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(SCRIPT), "-o", folder], check=True)
        reader = EditionReader(folder)
        edition = reader.get_edition("local")
        assert reader.get_edition_path(edition)
        return reader.load_dicom_info(edition)


def findings(item: pydicom.Dataset) -> set[str]:
    """What dicom-validator finds: keywords, each behind those of the sequences that it stands in, and what is wrong."""
    from dicom_validator.validator.iod_validator import IODValidator
    from dicom_validator.validator.validation_result import Status

    result = IODValidator(item, standard(), error_handler=Mock()).validate()
    assert result.status in (Status.Passed, Status.Failed)
    return {
        f"{'.'.join(keyword_for_tag(one) for one in [*(tag.parents or []), tag.tag])} {error.code.name}"
        for errors in result.module_errors.values()
        for tag, error in errors.items()
    }


def validated(path: Path) -> set[str]:
    """What dicom-validator finds, without attributes that an object may hold beyond the standard's."""
    item = pydicom.dcmread(path)
    return findings(item) - EXTENDED[IODS[item.SOPClassUID]]


@cache
def tables(name: str) -> Any:
    """One of highdicom's tables."""
    return json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text())


def missing(path: Path) -> list[str]:
    """Attributes of types 1 and 2 that an object's mandatory modules need and it lacks, by highdicom's tables."""
    item = pydicom.dcmread(path)
    wanted = required(item.SOPClassUID)
    return [name for name, kind in wanted.items() if name not in item or (kind == "1" and item[name].is_empty)]


def required(uid: str) -> dict[str, str]:
    """Attributes of types 1 and 2, and their types, of the mandatory modules of a SOP class, by highdicom's tables."""
    iods, modules = tables("iod_module_map"), tables("module_attribute_map")
    return {
        attribute["keyword"]: attribute["type"]
        for module in iods[IODS[uid]]
        if module["usage"] == "M"
        for attribute in modules[module["key"]]
        if not attribute["path"] and attribute["type"] in ("1", "2")
    }


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
