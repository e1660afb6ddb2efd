"""Volumes that differ in more than time: what each says of its contrast is read, and written again."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_checks import HAS_STANDARD, assert_same, errors_of, missing, validated
from dicom_files import slices, stack, write_enhanced, write_series
from test_write_dicom import CODES, MADE, STUDY, WRITERS, affine_of, volume

from mri_d3gm.io.dicom.dicom_planes import planes_of, scale_of
from mri_d3gm.io.dicom.dicom_study import Study
from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.dicom.write_dicom import Place
from mri_d3gm.io.dicom.write_map import write_map
from mri_d3gm.settings import SuperResolve
from mri_d3gm.tasks import sr

TEMPORAL = ("NumberOfTemporalPositions", "TemporalPositionIdentifier", "TemporalResolution", "TemporalPositionTimeOffset")
EPI = {"ScanningSequence": "EP", "RepetitionTime": 2000.0}
ALONG = {"DiffusionBValue": 700.0, "DiffusionGradientOrientation": [0.6, 0.8, 0.0]}
CONTRASTS: dict[str, list[dict[str, Any]]] = {
    "echoes": [{"EchoTime": 10.0}, {"EchoTime": 20.5}],
    "b values": [{"EchoTime": 80.0, "DiffusionBValue": 0.0}, {"EchoTime": 80.0, "DiffusionBValue": 1500.0}],
    "directions": [ALONG, ALONG | {"DiffusionGradientOrientation": [0.0, 0.6, -0.8]}],
    "a b value that is not said": [ALONG, {}],
}
CLASSIC: dict[str, list[dict[str, Any]]] = CONTRASTS | {
    "inversion times": [{"InversionTime": 100.0}, {"InversionTime": 900.0}],
    "flip angles": [{"FlipAngle": 5.0}, {"FlipAngle": 15.0}],
}


def series(folder: Path, contrasts: list[dict[str, Any]], **values: Any) -> Path:
    given = enumerate(contrasts)
    items = [item for t, own in given for item in slices(data=stack() + t, **{"InstanceNumber": t + 1} | values | own)]
    return write_series(folder, items)


def keywords(item: pydicom.Dataset) -> set[str]:
    return {element.keyword for element in item.iterall()}


@pytest.mark.parametrize("which", CLASSIC)
def test_what_volumes_differ_in_is_read(which: str, tmp_path: Path) -> None:
    image = read_dicom(series(tmp_path, CLASSIC[which], ScanningSequence="EP"))
    assert image.time_step is None and list(image.contrasts) == CLASSIC[which]


def test_volumes_that_differ_in_time_have_no_contrasts(tmp_path: Path) -> None:
    image = read_dicom(series(tmp_path / "a", [ALONG, ALONG], **EPI))
    assert image.time_step == 2 and image.contrasts == ()
    assert read_dicom(series(tmp_path / "b", [ALONG])).contrasts == ()
    image = read_dicom(series(tmp_path / "c", [{}, {"ImageType": ["DERIVED", "PRIMARY", "M"]}], **EPI))
    assert image.time_step is None and image.contrasts == ({"RepetitionTime": 2000.0},) * 2


def test_what_differs_within_a_volume_is_not_said_of_it(tmp_path: Path) -> None:
    items = [item for t in (0, 1) for item in slices(InstanceNumber=t + 1, EchoTime=10 + t)]
    for number, item in enumerate(items):
        item.FlipAngle = number
    assert read_dicom(write_series(tmp_path, items)).contrasts == ({"EchoTime": 10.0}, {"EchoTime": 11.0})


@pytest.mark.parametrize("direction", ["x", [1.0, 0.0], [0.0, 0.0, 0.0], [np.nan, 0.0, 1.0]])
def test_a_direction_that_is_none_counts_for_nothing(direction: Any, tmp_path: Path) -> None:
    if direction == "x":
        contrasts: list[dict[str, Any]] = [EPI, EPI]
    else:
        contrasts = [EPI, EPI | {"DiffusionGradientOrientation": direction}]
    assert read_dicom(series(tmp_path, contrasts)).time_step == 2


def test_echoes_of_enhanced_objects(tmp_path: Path) -> None:
    image = read_dicom(write_enhanced(tmp_path / "a.dcm", echoes=2))
    assert image.contrasts == ({"EchoTime": 10.0}, {"EchoTime": 20.0})


@pytest.mark.parametrize(("kind", "which"), [(kind, which) for kind in WRITERS for which in CLASSIC])
def test_each_volume_that_is_written_says_its_contrast(kind: str, which: str, tmp_path: Path) -> None:
    contrasts = tuple(CLASSIC[which])
    planes = planes_of("a", volume(2), affine_of(CODES[0]), 2)._replace(contrasts=contrasts)
    study = Study(STUDY.attributes | {"ScanningSequence": "IR"} if "InversionTime" in contrasts[0] else STUDY.attributes)
    items = WRITERS[kind](tmp_path / "series", planes, scale_of(planes.images), study, MADE, Place(101, "1.2.9"))
    write_map(tmp_path / "std", planes, items, MADE, 102)
    for path in tmp_path.rglob("*.dcm"):
        assert missing(path) == [] and not keywords(pydicom.dcmread(path)) & {*TEMPORAL, "TemporalPositionIndex"}
        assert shutil.which("dciodvfy") is None or errors_of(path) == []
        assert not HAS_STANDARD or validated(path) == set()
    image = read_dicom(tmp_path / "series")
    assert_same(volume(2), affine_of(CODES[0]), (image.array, image.affine), image.array.max() / 32767)
    assert image.contrasts == (contrasts if kind == "classic" or which in CONTRASTS else ())


@pytest.mark.parametrize(
    ("b", "direction", "said"), [(0.0, None, "NONE"), (9.0, None, "UNKNOWN"), (9.0, [1.0, 0, 0], "DIRECTIONAL")]
)
def test_whether_diffusion_has_a_direction(b: float, direction: Any, said: str, tmp_path: Path) -> None:
    own = {"DiffusionBValue": b} | ({} if direction is None else {"DiffusionGradientOrientation": direction})
    planes = planes_of("a", volume(2), affine_of(CODES[0]), 2)._replace(contrasts=(own, ALONG))
    (item,) = WRITERS["enhanced"](tmp_path / "a", planes, scale_of(planes.images), STUDY, MADE, Place(101, "1.2.9"))
    groups = item.PerFrameFunctionalGroupsSequence[0].MRDiffusionSequence[0]
    assert groups.DiffusionDirectionality == said and ("DiffusionGradientDirectionSequence" in groups) == bool(direction)


@pytest.mark.parametrize("kind", WRITERS)
def test_super_resolution_keeps_b_values(kind: str, tmp_path: Path) -> None:
    path = series(tmp_path / "input", CONTRASTS["b values"], StudyInstanceUID="1.2.3.4", **EPI)
    names = sr.names_of(path, tmp_path)
    record, _ = sr.superresolve_file(path, SuperResolve(scale=2, method="sinc", dicom=kind), names)
    image = read_dicom(names.dicom)
    assert record["TimeStepSeconds"] is None
    assert [one["DiffusionBValue"] for one in image.contrasts] == [0, 1500]
