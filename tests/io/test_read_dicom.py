import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import io_files
import numpy as np
import pytest
from dicom_files import (
    AXIAL,
    COLUMNS,
    LANDMARK,
    OBLIQUE,
    ROWS,
    SLICES,
    dataset,
    landmark,
    position,
    save,
    slices,
    stack,
    write_enhanced,
    write_series,
)
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom import dicom_series as module
from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.image import Image, spacing
from mri_d3gm.io.open_image import open_image
from mri_d3gm.runs.record import files_hash

DIRECTIONS = {
    "axial": AXIAL,
    "oblique": OBLIQUE,
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
    "reversed": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}
EXPECTED = stack().transpose(2, 1, 0)


def brightest(volume: Image) -> np.ndarray:
    """World position of the brightest voxel, mm RAS."""
    index = np.unravel_index(volume.array.argmax(), volume.array.shape)[:3]
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


error_of = partial(io_files.error_of, read_dicom)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_classic_series(tmp_path: Path, name: str, syntax: Any) -> None:
    volume = read_dicom(write_series(tmp_path, directions=DIRECTIONS[name], syntax=syntax))
    assert volume.array.shape == (COLUMNS, ROWS, SLICES) and volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, EXPECTED)
    assert spacing(volume) == pytest.approx((0.75, 1.5, 4.0))
    np.testing.assert_allclose(brightest(volume), landmark(DIRECTIONS[name]), atol=1e-6)
    assert volume.description == "t2_tse" and len(volume.files) == SLICES


@pytest.mark.parametrize("name", DIRECTIONS)
def test_enhanced_multi_frame_with_scaling_of_every_frame(tmp_path: Path, name: str) -> None:
    volume = read_dicom(write_enhanced(tmp_path / "a.dcm", DIRECTIONS[name], slope=0.5))
    np.testing.assert_allclose(volume.array, EXPECTED * (0.5 * (1 + np.arange(SLICES))), rtol=1e-6)
    np.testing.assert_allclose(brightest(volume), landmark(DIRECTIONS[name]), atol=1e-6)
    assert volume.files == (tmp_path / "a.dcm",)


IDENTITY = {
    "PatientName": "Müller^Jörg", "PatientID": "0815", "PatientBirthDate": "19700101", "PatientSex": "O",
    "StudyInstanceUID": "1.2", "StudyDate": "20200102", "StudyTime": "101112.5", "StudyID": "7", "AccessionNumber": "A1",
    "ReferringPhysicianName": "Doe^Jane", "FrameOfReferenceUID": "1.2.4", "SeriesInstanceUID": "1.2.3",
    "BodyPartExamined": "HEAD", "PatientPosition": "HFS", "MagneticFieldStrength": "3", "RepetitionTime": "2000.5",
}  # fmt: skip
GENERAL = {"SeriesNumber": "4", "SeriesDescription": "t2_tse", "Modality": "MR", "SpecificCharacterSet": "ISO_IR 192"}


@pytest.mark.parametrize("kind", ["classic", "zip", "enhanced"])
def test_what_a_derived_series_repeats_is_kept(tmp_path: Path, kind: str) -> None:
    given = {"SpecificCharacterSet": "ISO_IR 192", "SequenceVariant": ["SK", "SP"]} | IDENTITY
    path = write_enhanced(tmp_path / "a.dcm", **given) if kind == "enhanced" else write_series(tmp_path / "d", **given)
    if kind == "zip":
        path = Path(shutil.make_archive(str(tmp_path / "z"), "zip", path))
    assert read_dicom(path).source == IDENTITY | GENERAL | {"SliceThickness": "3.0", "SequenceVariant": "SK\\SP"}


def test_what_differs_within_a_series_is_not_repeated(tmp_path: Path) -> None:
    items = slices(EchoTime=10, FlipAngle=90) + slices(EchoTime=20, FlipAngle=90)
    source = read_dicom(write_series(tmp_path, items)).source
    assert "EchoTime" not in source and source["FlipAngle"] == "90.0"


def test_a_damaged_attribute_that_is_not_needed_is_left_out(tmp_path: Path) -> None:
    path = write_series(tmp_path, RepetitionTime="2000.25", FlipAngle=90) / "im000.dcm"
    path.write_bytes(path.read_bytes().replace(b"2000.25", b"Smith^J"))
    image = read_dicom(tmp_path)
    assert "RepetitionTime" not in image.source and image.source["FlipAngle"] == "90.0"
    np.testing.assert_array_equal(image.array, EXPECTED)


def test_enhanced_and_classic_agree(tmp_path: Path) -> None:
    classic = read_dicom(write_series(tmp_path / "c", directions=OBLIQUE))
    enhanced = read_dicom(write_enhanced(tmp_path / "e.dcm", OBLIQUE, slope=1))
    np.testing.assert_allclose(enhanced.affine, classic.affine, atol=1e-9)


def test_echoes_of_a_multi_frame_file_come_last(tmp_path: Path) -> None:
    volume = read_dicom(write_enhanced(tmp_path / "a.dcm", echoes=3))
    assert volume.array.shape == (COLUMNS, ROWS, SLICES, 3)
    for echo in range(3):
        np.testing.assert_allclose(volume.array[..., echo], EXPECTED * (1 + np.arange(SLICES)) + echo)


@pytest.mark.parametrize("name", ["EchoNumbers", "TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber"])
def test_several_images_of_a_position_become_a_fourth_axis(tmp_path: Path, name: str) -> None:
    volumes = [slices(data=stack() + 10 * time, **{name: 5 - time}) for time in range(3)]
    volume = read_dicom(write_series(tmp_path, [item for items in volumes for item in items]))
    np.testing.assert_array_equal(volume.array, np.stack([EXPECTED + 20, EXPECTED + 10, EXPECTED], -1))


def test_rescale_and_its_empty_value(tmp_path: Path) -> None:
    items = slices(RescaleSlope=2.5, RescaleIntercept=-7)
    items[0].RescaleSlope, items[0].RescaleIntercept = 1, None
    volume = read_dicom(write_series(tmp_path, items))
    np.testing.assert_allclose(volume.array[..., 1:], EXPECTED[..., 1:] * 2.5 - 7)
    np.testing.assert_allclose(volume.array[..., 0], EXPECTED[..., 0])


def test_one_file_a_folder_and_a_zip_are_the_same(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "deep" / "er", name="{:03d}")
    write_series(folder, [dataset(stack()[0], SeriesInstanceUID="9")], name="other")
    (folder / "notes.txt").write_text("no DICOM")
    one = read_dicom(folder / "002")
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in one.files:
            archive.write(path, f"x/{path.name}")
    (folder / "other").unlink()
    shutil.copy(folder / "002", tmp_path / "deep" / "copy")
    for volume in (read_dicom(tmp_path / "deep"), read_dicom(packed), one):
        np.testing.assert_array_equal(volume.array, EXPECTED)
        np.testing.assert_array_equal(volume.affine, one.affine)
    assert read_dicom(packed).files == (packed,)
    assert files_hash(one.files) == files_hash(read_dicom(folder / "000").files) != files_hash(read_dicom(packed).files)


def test_single_slice_takes_its_depth_from_the_header(tmp_path: Path) -> None:
    def third(items: list) -> float:
        return spacing(read_dicom(save(items[LANDMARK[2]], tmp_path / "a.dcm")))[2]

    assert third(slices()) == pytest.approx(3)
    assert third(slices(SpacingBetweenSlices=-4.5)) == pytest.approx(4.5)
    assert third(slices(SliceThickness=None)) == pytest.approx(1)
    np.testing.assert_allclose(brightest(read_dicom(tmp_path)), landmark())


def test_series_are_listed_and_chosen(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    others = slices(data=stack() * 2, SeriesInstanceUID="5.6", SeriesNumber=11, SeriesDescription="t1 vibe")
    write_series(tmp_path / "b", others)
    text = error_of(tmp_path)
    assert "4 't2_tse' (5 images), 11 't1 vibe' (5 images); choose one with --series N" in text
    for series in ("11", "5.6", "T1 vibe"):
        np.testing.assert_array_equal(read_dicom(tmp_path, series).array, EXPECTED * 2)
    assert "holds no series 7, but 4 't2_tse'" in error_of(tmp_path, "7")
    np.testing.assert_array_equal(read_dicom(tmp_path / "a" / "im000.dcm").array, EXPECTED)


def test_equal_numbers_ask_for_the_uid(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", slices(SeriesInstanceUID="5.6"))
    assert "give one's UID to --series: 1.2.3, 5.6" in error_of(tmp_path, "4")


def test_missing_slice_is_named(tmp_path: Path) -> None:
    items = slices()
    text = error_of(write_series(tmp_path, items[:3] + items[4:]))
    height = position(2)[2]
    assert f"after slice 3 of 4, at {height:.2f} mm" in text and "8.00 mm away instead of 4.00 mm" in text


def test_uneven_rounding_of_positions_is_allowed(tmp_path: Path) -> None:
    items = slices()
    items[2].ImagePositionPatient[2] += 0.04
    assert spacing(read_dicom(write_series(tmp_path, items)))[2] == pytest.approx(4)


def test_shifted_slice(tmp_path: Path) -> None:
    items = slices()
    items[2].ImagePositionPatient[0] += 2
    assert "slice 3 is 2.00 mm out of the line" in error_of(write_series(tmp_path, items))


def test_unequal_counts(tmp_path: Path) -> None:
    items = slices() + slices(EchoNumbers=2)[1:]
    assert "2 images at some positions but 1 at 30.00 mm" in error_of(write_series(tmp_path, items))


@pytest.mark.parametrize(
    "change, text",
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientations of its images differ"),
        ({"PixelSpacing": [1, 1]}, "pixel spacings of its images differ"),
        ({"Rows": COLUMNS, "Columns": ROWS}, "matrix sizes of its images differ"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "are bright (MONOCHROME1)"),
    ],
)
def test_mixed_series(tmp_path: Path, change: dict, text: str) -> None:
    items = slices()
    for name, value in change.items():
        setattr(items[1], name, value)
    assert text in error_of(write_series(tmp_path, items))


@pytest.mark.parametrize(
    "values, text",
    [
        ({"ImagePositionPatient": None}, "no usable ImagePositionPatient"),
        ({"PixelSpacing": None}, "no usable PixelSpacing"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two perpendicular unit vectors"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "holds phase images only; give the magnitude series"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "Siemens mosaic"),
        ({"NumberOfFrames": 3}, "3 images without positions"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "only colour images"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "only secondary captures"),
        ({"Modality": "CT"}, "only images of modality CT"),
        ({"PixelData": b""}, "truncated to 0 of 96 bytes of pixels"),
    ],
)
def test_images_that_are_refused(tmp_path: Path, values: dict, text: str) -> None:
    assert text in error_of(write_series(tmp_path, **values))


def test_phase_images_of_a_mixed_series_are_left_out(tmp_path: Path) -> None:
    items = slices() + slices(data=stack() * 3, ImageType=["ORIGINAL", "PRIMARY", "P"])
    np.testing.assert_array_equal(read_dicom(write_series(tmp_path, items)).array, EXPECTED)


def test_objects_without_pixels_are_skipped(tmp_path: Path) -> None:
    write_series(tmp_path)
    report = dataset(stack()[0], Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", SeriesInstanceUID="7")
    for name in ("PixelData", "Rows", "Columns", "BitsAllocated"):
        delattr(report, name)
    save(report, tmp_path / "report.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path).array, EXPECTED)
    assert "only objects without pixels" in error_of(tmp_path / "report.dcm")


@pytest.mark.parametrize("kept", [200, 500, -20])
def test_truncated_file(tmp_path: Path, kept: int) -> None:
    path = write_series(tmp_path) / "im002.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    text = error_of(tmp_path)
    assert str(path) in text and ("damaged" in text or "truncated" in text)


def test_compressed_by_run_lengths(tmp_path: Path) -> None:
    items = slices()
    for item in items:
        item.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_dicom(write_series(tmp_path, items)).array, EXPECTED)


def test_compressed_by_jpeg_2000(tmp_path: Path) -> None:
    pytest.importorskip("openjpeg")
    data = np.kron(stack(), np.ones((8, 8), np.uint16))
    items = slices(data=data)
    for item in items:
        item.compress(JPEG2000Lossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_dicom(write_series(tmp_path, items)).array, data.transpose(2, 1, 0))


def test_decoder_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = slices()
    for item in items:
        item.compress(RLELossless, generate_instance_uid=False)
    items[0].file_meta.TransferSyntaxUID = MPEG2MPML
    assert "needs a decoder; pip install 'mri-d3gm[dicom]'" in error_of(write_series(tmp_path, items))
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    assert "RLE Lossless needs a decoder" in error_of(write_series(tmp_path, items[1:]))


def test_folders_and_files_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert "holds no MR image and no DICOM" in error_of(tmp_path)
    (tmp_path / "a.dcm").write_text("text" * 100)
    assert "not a DICOM file" in error_of(tmp_path / "a.dcm")


def strip(folder: Path, meta: bool) -> Path:
    """Take preambles away, and the file meta information too unless `meta`; and the endings."""
    for path in folder.iterdir():
        data = path.read_bytes()
        length = 12 + int.from_bytes(data[140:144], "little")
        path.write_bytes(data[132 if meta else 132 + length :])
        path.rename(path.with_suffix(""))
    return folder


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("group_length", [False, True])
def test_without_preamble_meta_and_ending(tmp_path: Path, syntax: Any, meta: bool, group_length: bool) -> None:
    values = {"PatientName": "Doe^Jane"} | ({"SpecificCharacterSet": "ISO_IR 100"} if group_length else {})
    folder = write_series(tmp_path / "d", syntax=syntax, directions=OBLIQUE, **values)
    whole = read_dicom(folder)
    strip(folder, meta)
    packed = shutil.make_archive(str(tmp_path / "z"), "zip", folder)
    (folder / "notes").write_text("some text " * 50)
    for path in (folder, folder / "im002", Path(packed)):
        image = open_image(path)
        np.testing.assert_array_equal(image.array, EXPECTED)
        np.testing.assert_array_equal(image.affine, whole.affine)
        assert image.source == whole.source


@pytest.mark.parametrize(
    "content",
    [
        b"", b"text", b"some text " * 50, bytes(500), b"\10\0", b"\10\0\5\0" + bytes(500), b"\2\0\0\0UL\4\0" + bytes(500),
        b"\10\0\5\0CS\4\0" + b"text" * 90, b"\10\0\26\0\30\0\0\0" + b"not a class at all......" + b"text" * 40,
        b"\0\10\0\5" + bytes(500), bytes(range(256)) * 3,
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [False, True])
def test_other_files_without_ending_are_refused(tmp_path: Path, content: bytes, beside: bool) -> None:
    """Even in the folder of a series, whose images must not stand in for them."""
    if beside:
        write_series(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        open_image(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    with pytest.raises(InputError):
        read_dicom(path)


def test_a_bare_file_cut_short_is_named(tmp_path: Path) -> None:
    strip(write_series(tmp_path, syntax=ImplicitVRLittleEndian), meta=False)
    path = tmp_path / "im002"
    for kept in (-20, 200):
        path.write_bytes(path.read_bytes()[:kept])
        assert str(path) in error_of(tmp_path)


def test_damaged_zips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_series(tmp_path / "a")
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) // 2])
    assert "whole .zip" in error_of(packed)
    packed.write_bytes(data.replace(stack()[2].tobytes()[:8], b"\0" * 8, 1))
    assert "im" in error_of(packed)
    packed.write_bytes(data)
    monkeypatch.setattr(module, "MAX_ZIP_BYTES", 100)
    assert "too much for a series" in error_of(packed)
