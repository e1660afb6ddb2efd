"""DICOM that is written: every voxel where it was, values to half a step, and what the standard's checkers say."""

from copy import deepcopy
from datetime import datetime
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_checks import assert_same, by_dcm2niix, errors_of, findings, missing, needs, needs_standard, required, validated
from dicom_files import IDENTITY, write_series
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_planes import planes_of, scale_of, stored
from mri_d3gm.io.dicom.dicom_study import (
    DESCRIBED,
    EXAMINED,
    MEASURED,
    PATIENT,
    SCANNER,
    SPACE,
    Study,
    anonymous,
    read_template,
    uid_of,
)
from mri_d3gm.io.dicom.dicom_study import (
    STUDY as STUDY_NAMES,
)
from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.dicom.write_dicom import Made, Place, series_uid
from mri_d3gm.io.dicom.write_dicom import write_series as write
from mri_d3gm.io.dicom.write_enhanced import write_enhanced
from mri_d3gm.io.dicom.write_map import write_map

CODES = list(product(permutations(range(3)), product((1, -1), repeat=3)))
MADE = Made(("RECON", "D3GM"), "d3gm R8 AI", "made", "0.2.0", "ab" * 32, "id", datetime(2024, 5, 31, 12))
STUDY = Study({"StudyInstanceUID": "1.2.3", "PatientName": "ZZMARKED^NAME", "PatientID": "7"})
WRITERS = {"classic": write, "enhanced": write_enhanced}


def affine_of(code: tuple, oblique: float = 0.0) -> np.ndarray:
    """The affine of an axis code, turned about an axis, in mm."""
    axes, signs = code
    matrix = np.zeros((3, 3))
    for place, (axis, sign, size) in enumerate(zip(axes, signs, (0.9, 1.3, 4.0), strict=True)):
        matrix[axis, place] = sign * size
    about = np.array([0.36, 0.48, 0.8]) * oblique
    cross = np.array([[0, -about[2], about[1]], [about[2], 0, -about[0]], [-about[1], about[0], 0]])
    turn = np.eye(3) if not oblique else np.eye(3) + np.sin(1) * cross + (1 - np.cos(1)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ matrix, (-71.3, 22.9, 5.01)
    return affine


def volume(*more: int) -> np.ndarray:
    return np.random.default_rng(0).gamma(2, 100, (7, 6, 5, *more)).astype(np.float32)


def written(
    folder: Path, array: np.ndarray, affine: np.ndarray, kind: str = "classic", study: Study = STUDY, made: Made = MADE
):
    planes = planes_of("a", array, affine, 2)._replace(time_step=2.5)
    scale = scale_of(planes.images)
    items = WRITERS[kind](folder, planes, scale, study, made, Place(101, "1.2.9"))
    return planes, scale, items


def step_of(planes, scale) -> float:
    return stored(planes.images, scale.power)[1]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_voxel_stays_where_it_is(kind: str, tmp_path: Path) -> None:
    for number, code in enumerate(CODES):
        array, affine = volume(), affine_of(code, number % 2)
        planes, scale, _ = written(tmp_path / str(number), array, affine, kind)
        image = read_dicom(tmp_path / str(number))
        assert_same(array, affine, (image.array, image.affine), step_of(planes, scale))


def test_images_lie_as_radiologists_look_at_them() -> None:
    for code in CODES:
        planes = planes_of("a", volume(), affine_of(code), 2)
        across, down = planes.directions
        assert np.cross(across, down)[np.abs(np.cross(across, down)).argmax()] != 0
        assert across.max() > 0.99 and (down.max() > 0.99 or down.min() < -0.99)  # towards left or behind, behind or the feet
        steps = np.diff(planes.positions, axis=0) @ np.cross(across, down)
        assert (steps > 0).all()


@needs("dcm2niix")
@pytest.mark.parametrize("oblique", [0.0, 1.0])
@pytest.mark.parametrize("kind", WRITERS)
def test_dcm2niix_reads_the_same(kind: str, oblique: float, tmp_path: Path) -> None:
    array, affine = volume(), affine_of(CODES[11], oblique)
    planes, scale, _ = written(tmp_path / "series", array, affine, kind)
    assert_same(array, affine, by_dcm2niix(tmp_path / "series", tmp_path / "out")[0], step_of(planes, scale))


@needs("dcm2niix")
@pytest.mark.parametrize("scanner", ["Philips Medical Systems", "CANON_MEC"])
@pytest.mark.parametrize("kind", WRITERS)
def test_dcm2niix_reads_several_times(kind: str, scanner: str, tmp_path: Path) -> None:
    """Of enhanced objects of other scanners it takes times for slices, or turns the two about, whatever their dimensions."""
    array, affine = volume(3), affine_of(CODES[11])
    study = STUDY._replace(attributes=STUDY.attributes | {"Manufacturer": scanner})
    planes, scale, _ = written(tmp_path / "series", array, affine, kind, study)
    assert_same(array, affine, by_dcm2niix(tmp_path / "series", tmp_path / "out")[0], step_of(planes, scale))


@pytest.mark.parametrize("kind", WRITERS)
def test_each_volume_has_a_time_of_its_own(kind: str, tmp_path: Path) -> None:
    array, affine = volume(3), affine_of(CODES[0])
    planes, scale, _ = written(tmp_path / "series", array, affine, kind)
    image = read_dicom(tmp_path / "series")
    assert image.array.shape[3] == 3 and image.time_step == 2.5
    assert_same(array, affine, (image.array, image.affine), step_of(planes, scale))


def test_values_use_the_bits_there_are() -> None:
    for values in (volume(), volume() * 1e-9, volume() * 1e7, volume() - 300):
        scale = scale_of(values)
        kept, slope, intercept = stored(values, scale.power)
        assert 2**14 < kept.max() <= 2**15
        np.testing.assert_allclose(kept * slope + intercept, values * 10.0**scale.power, atol=slope * 0.501)
        assert (scale.high - scale.low) * 10.0**scale.power > 9
    assert stored(np.zeros((2, 2)), 0)[0].max() == 0 and scale_of(np.zeros((2, 2))) == (0, 0.0, 1.0)


def test_small_values_are_mapped_back_to_those_of_the_data(tmp_path: Path) -> None:
    array = volume() * 1e-7
    written(tmp_path / "series", array, affine_of(CODES[0]))
    windows = set()
    for path in (tmp_path / "series").iterdir():
        item = pydicom.dcmread(path)
        mapping = item.RealWorldValueMappingSequence[0]
        real = item.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        assert array.min() * 0.99 <= real.max() <= array.max() * 1.001
        windows.add((item.WindowCenter, item.WindowWidth))
    assert len(windows) == 1 and windows.pop()[1] >= 1


def test_labels(tmp_path: Path) -> None:
    items = written(tmp_path / "series", volume(), affine_of(CODES[0]))[2]
    item = pydicom.dcmread(tmp_path / "series" / "0001.dcm")
    assert item.ImageType[:2] == ["DERIVED", "SECONDARY"] and item.ImageType[-2:] == ["RECON", "D3GM"]
    assert (item.BurnedInAnnotation, item.ImageComments) == ("NO", "research only, not for diagnosis")
    own = item.ContributingEquipmentSequence[-1]
    assert own.SoftwareVersions == ["mri-d3gm 0.2.0", "weights abababababababab"] and "ab" * 32 in own.ContributionDescription
    assert own.ContributionDateTime == "20240531120000" and item.DerivationDescription == "made"
    assert len({one.SOPInstanceUID for one in items}) == 5 and {one.SeriesNumber for one in items} == {101}
    assert [one.InstanceNumber for one in items] == [1, 2, 3, 4, 5]


def test_uids_depend_on_what_decides_the_voxels_alone(tmp_path: Path) -> None:
    first = written(tmp_path / "a", volume(), affine_of(CODES[0]))[2]
    again = written(tmp_path / "b", volume(), affine_of(CODES[0]), made=MADE._replace(time=None, derivation="x"))[2]
    assert [one.SOPInstanceUID for one in first] == [one.SOPInstanceUID for one in again]
    others = [MADE._replace(identity="x"), MADE._replace(kind=("RECON", "SENSE"))]
    uids = {series_uid(STUDY, made) for made in (MADE, *others)} | {series_uid(Study({"StudyInstanceUID": "1.5"}), MADE)}
    assert len(uids) == 4 and all(len(uid) <= 64 for uid in uids)


def objects(tmp_path: Path, kind: str, study: Study, made: Made, times: int = 1) -> list[Path]:
    array = volume(times) if times > 1 else volume()
    planes, _, items = written(tmp_path / "series", array, affine_of(CODES[0], 1), kind, study, made)
    write_map(tmp_path / "std", planes, items, made, 102)
    return [tmp_path / "series" / "0001.dcm", *sorted((tmp_path / "std").iterdir())]


FULL = Study(
    {
        "StudyInstanceUID": "1.2.3", "PatientName": "Müller^Jörg", "PatientID": "0815", "PatientBirthDate": "19700101",
        "PatientSex": "O", "PatientAge": "050Y", "StudyDate": "20200102", "StudyTime": "101112.5", "StudyID": "7",
        "FrameOfReferenceUID": "1.2.4", "BodyPartExamined": "KNEE", "Laterality": "L", "PatientPosition": "HFS",
        "Manufacturer": "ACME", "ManufacturerModelName": "One", "MagneticFieldStrength": "3", "ScanningSequence": "SE",
        "SequenceVariant": "SK\\SP", "RepetitionTime": "2000.5", "EchoTime": "x", "SliceThickness": "3",
        "SeriesDescription": "t2 " * 40, "LossyImageCompression": "00", "ReferringPhysicianName": "Doe^Jane",
    }
)  # fmt: skip


GATED = Study(
    {
        "StudyInstanceUID": "1.2.3", "ScanningSequence": "IR\\EP", "ScanOptions": "PFP\\CG", "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "10", "LossyImageCompressionMethod": "ISO_10918_1", "PatientIdentityRemoved": "YES",
        "MRAcquisitionType": "3D", "BodyPartExamined": "BRAIN", "Laterality": "L",
    }
)  # fmt: skip


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("which", ["little", "full", "gated", "anonymous"])
@pytest.mark.parametrize("kind", WRITERS)
class TestConforms:
    def made(self, tmp_path: Path, kind: str, which: str, times: int) -> list[Path]:
        hidden = MADE._replace(anonymous=True, time=None)
        chosen = {"little": (STUDY, MADE), "full": (FULL, MADE), "gated": (GATED, MADE), "anonymous": (anonymous(FULL), hidden)}
        return objects(tmp_path, kind, *chosen[which], times)

    @needs("dciodvfy")
    def test_dciodvfy(self, tmp_path: Path, kind: str, which: str, times: int) -> None:
        for path in self.made(tmp_path, kind, which, times):
            assert errors_of(path) == []

    def test_tables_of_the_standard(self, tmp_path: Path, kind: str, which: str, times: int) -> None:
        for path in self.made(tmp_path, kind, which, times):
            assert missing(path) == []

    @needs_standard
    def test_dicom_validator(self, tmp_path: Path, kind: str, which: str, times: int) -> None:
        for path in self.made(tmp_path, kind, which, times):
            assert validated(path) == set()


def test_what_depends_on_sequence_gating_and_body_part(tmp_path: Path) -> None:
    """InversionTime of IR, TriggerTime where the heart gates, Laterality of paired parts alone."""
    item = written(tmp_path / "a", volume(), affine_of(CODES[0]), study=GATED)[2][0]
    assert item["InversionTime"].is_empty and item["TriggerTime"].is_empty and "Laterality" not in item
    item = written(tmp_path / "b", volume(), affine_of(CODES[0]), study=FULL)[2][0]
    assert "InversionTime" not in item and "TriggerTime" not in item and item.Laterality == "L"


@needs_standard
@pytest.mark.parametrize("kind", WRITERS)
def test_dicom_validator_misses_each_attribute_that_is_required(kind: str, tmp_path: Path) -> None:
    for path in objects(tmp_path, kind, FULL, MADE):
        whole = pydicom.dcmread(path)
        for name in set(required(whole.SOPClassUID)) - {"SOPClassUID"}:
            item = pydicom.dcmread(path)
            del item[name]
            assert findings(item) - findings(whole) >= {f"{name} TagMissing"}, name


@needs_standard
@pytest.mark.parametrize(
    ("kind", "number", "changes", "found"),
    [
        ("classic", 0, {"Rows": None}, "Rows TagEmpty"),
        ("classic", 0, {"ScanningSequence": "XX"}, "ScanningSequence EnumValueNotAllowed"),
        ("classic", 0, {"PatientSex": "XX"}, "PatientSex EnumValueNotAllowed"),
        ("classic", 0, {"RepetitionTime": ...}, "RepetitionTime TagMissing"),  # required unless EP
        ("classic", 0, {"PatientIdentityRemoved": "YES"}, "DeidentificationMethod TagMissing"),
        ("classic", 0, {"NumberOfFrames": 5}, "NumberOfFrames TagUnexpected"),
        ("classic", 0, {"SOPInstanceUID": "1.02.x"}, "SOPInstanceUID InvalidValue"),
        ("enhanced", 0, {"ContentQualification": "MAYBE"}, "ContentQualification EnumValueNotAllowed"),
        ("enhanced", 0, {"PresentationLUTShape": ...}, "PresentationLUTShape TagMissing"),  # required of MONOCHROME2
        ("enhanced", 0, {"ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]}, "MagneticFieldStrength TagMissing"),
        ("enhanced", 0, {"shared MRImageFrameTypeSequence": ...}, "MRImageFrameTypeSequence TagMissing"),
        ("enhanced", 0, {"shared PixelValueTransformationSequence": ...}, "PixelValueTransformationSequence TagMissing"),
        ("enhanced", 0, {"shared FrameAnatomySequence FrameLaterality": "X"}, "FrameLaterality EnumValueNotAllowed"),
        ("enhanced", 0, {"shared FrameAnatomySequence AnatomicRegionSequence": ...}, "AnatomicRegionSequence TagMissing"),
        ("classic", 1, {"ContentLabel": ...}, "ContentLabel TagMissing"),
        ("classic", 1, {"ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "QUANTITY"]}, "ImageType EnumValueNotAllowed"),
        ("classic", 1, {"BitsAllocated": 16}, "BitsAllocated EnumValueNotAllowed"),  # 32 where pixels are floats
        ("classic", 1, {"shared FrameAnatomySequence": ...}, "FrameAnatomySequence TagMissing"),
        ("classic", 1, {"shared PixelValueTransformationSequence RescaleSlope": "2"}, "RescaleSlope EnumValueNotAllowed"),
    ],
)  # fmt: skip
def test_dicom_validator_finds_what_is_wrong(kind: str, number: int, changes: dict, found: str, tmp_path: Path) -> None:
    """Of an object, or of its first functional groups."""
    whole = pydicom.dcmread(objects(tmp_path, kind, FULL, MADE)[number])
    item = deepcopy(whole)
    for path, value in changes.items():
        *groups, name = path.replace("shared", "SharedFunctionalGroupsSequence").split()
        place = item
        for group in groups:
            place = place[group].value[0]
        if value is ...:
            del place[name]
        else:
            place[name] = pydicom.DataElement(name, dictionary_VR(name), value, validation_mode=IGNORE)
    more = findings(item) - findings(whole)
    assert any(one.rpartition(".")[2] == found for one in more), more


@pytest.mark.parametrize("kind", WRITERS)
def test_a_std_map_lies_in_the_body_where_the_images_do(kind: str, tmp_path: Path) -> None:
    *_, path = objects(tmp_path, kind, FULL, MADE)
    item = pydicom.dcmread(path)
    groups = item.SharedFunctionalGroupsSequence[0]
    body = groups.FrameAnatomySequence[0]
    assert body.FrameLaterality == "L" and body.AnatomicRegionSequence[0].CodeMeaning == "Knee" and "Laterality" not in item
    assert groups.PixelMeasuresSequence[0].SliceThickness == 3 and groups.PixelMeasuresSequence[0].SpacingBetweenSlices == 4
    assert "ContentCreatorName" in item and groups.PixelValueTransformationSequence[0].RescaleSlope == 1


def test_enhanced_images_made_of_others_say_so(tmp_path: Path) -> None:
    made = MADE._replace(kind=("SUPERRES", "D3GM"))
    (item,) = written(tmp_path / "a", volume(), affine_of(CODES[0]), "enhanced", made=made)[2]
    assert "DerivationImageSequence" in item.SharedFunctionalGroupsSequence[0]
    (item,) = written(tmp_path / "b", volume(), affine_of(CODES[0]), "enhanced")[2]
    assert "DerivationImageSequence" not in item.SharedFunctionalGroupsSequence[0]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_std_map_has_the_values_of_the_data(kind: str, tmp_path: Path) -> None:
    array = volume(2) * 1e-6
    planes, _, items = written(tmp_path / "series", array, affine_of(CODES[0]), kind)
    write_map(tmp_path / "std", planes, items, MADE, 102)
    paths = sorted((tmp_path / "std").iterdir())
    for path, expected in zip(paths, planes.images, strict=True):
        item = pydicom.dcmread(path)
        mapping = item.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        found = np.frombuffer(item.FloatPixelData, "<f4").reshape(expected.shape) * mapping.RealWorldValueSlope
        places = [one.PlanePositionSequence[0].ImagePositionPatient for one in item.PerFrameFunctionalGroupsSequence]
        order = np.linalg.norm(np.array(places, float)[:, None] - planes.positions, axis=2).argmin(1)
        np.testing.assert_allclose(np.array(places, float), planes.positions[order], atol=1e-6)
        np.testing.assert_allclose(found, expected[order], rtol=1e-6)
        assert item.StudyInstanceUID == "1.2.3" and item.PatientName == "ZZMARKED^NAME" and item.SeriesNumber == 102
        assert item.ContributingEquipmentSequence[-1].Manufacturer == "mri-d3gm" and item.ContentQualification == "RESEARCH"


def test_anonymous_leaves_nobody(tmp_path: Path) -> None:
    study, hidden = anonymous(FULL), MADE._replace(anonymous=True, time=None)
    for path in objects(tmp_path, "classic", study, hidden):
        item = pydicom.dcmread(path)
        text = str(item)
        for secret in ("Müller", "0815", "19700101", "050Y", "20200102", "101112", "Doe", "t2", "1.2.3'", "1.2.4'"):
            assert secret not in text
        assert item.PatientIdentityRemoved == "YES" and item.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert item.StudyInstanceUID == uid_of("anonymous", "1.2.3") and item.ContentDate == "19000101"


def test_planes_that_dicom_cannot_hold() -> None:
    affine = affine_of(CODES[0])
    affine[:3, 1] += affine[:3, 0] * 0.1
    with pytest.raises(InputError, match="right angles"):
        planes_of("a.nii", volume(), affine, 2)
    for axis in (0, 1):
        planes_of("a.nii", volume(), affine, axis)  # whose slices alone are shifted


def test_a_template_that_holds_what_was_written_before(tmp_path: Path) -> None:
    write_series(tmp_path / "study", **IDENTITY)
    before = read_template(tmp_path / "study")
    written(tmp_path / "study" / "ours", volume(), affine_of(CODES[0]), study=before)
    after = read_template(tmp_path / "study")
    assert after.digest == before.digest and after.taken == {4, 101} and after.last == 4
    assert read_template(tmp_path / "study" / "ours").attributes["PatientID"] == "7"


ODD = (
    "",
    "x",
    "-1",
    "1e400",
    "\\",
    "a\\b",
    "Ä" * 300,
    "\0\1",
    "2020-13-45",
    "9" * 20,
    "1.5",
    "^^=^^=",
    "YES",
    "\ud800",
    "12:30",
)


@pytest.mark.parametrize("kind", WRITERS)
def test_odd_attributes_of_a_source_are_left_out(kind: str, tmp_path: Path) -> None:
    names = [*PATIENT, *STUDY_NAMES[1:], *EXAMINED, *SCANNER, *MEASURED, *DESCRIBED, *SPACE[1:]]
    generator = np.random.default_rng(0)
    for number in range(20):
        attributes = {"StudyInstanceUID": "1.2.3"} | {name: str(generator.choice(ODD)) for name in generator.choice(names, 15)}
        planes, _, items = written(tmp_path / str(number), volume(), affine_of(CODES[0]), kind, Study(attributes))
        write_map(tmp_path / f"{number}std", planes, items, MADE, 102)
        read = read_dicom(tmp_path / str(number))
        assert read.array.shape[2] == 5 and missing(tmp_path / str(number) / "0001.dcm") == []
