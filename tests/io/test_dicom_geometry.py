"""Laws of DICOM geometry, on images whose voxels hold their own positions in the world."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import io_files
import numpy as np
import pytest
from dicom_files import (
    COLUMNS,
    ROWS,
    SLICES,
    SPACING,
    add_private,
    mosaic,
    position,
    save,
    slices,
    stack,
    write_enhanced,
    write_series,
)
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from mri_d3gm.io.dicom.read_dicom import read_dicom
from mri_d3gm.io.image import Image, spacing

SCALE = {"RescaleSlope": 0.004, "RescaleIntercept": -131.0}  # of positions in mm
EXPECTED = stack().transpose(2, 1, 0)
EPI = {"ScanningSequence": "EP", "RepetitionTime": 2000.0}

error_of = partial(io_files.error_of, read_dicom)


def oblique(seed: int) -> np.ndarray:
    """Directions of increasing column and row, in any orientation, to the digits that a header holds."""
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix[:2].round(9)


def positions(directions: Any, step: float, count: int = SLICES, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Stored values (x y z, slices, rows, columns) that SCALE makes the positions RAS in mm, from DICOM's definition alone."""
    along_columns, along_rows = np.array(directions)
    row, column = np.arange(rows)[:, None, None], np.arange(columns)[:, None]
    plane = along_columns * SPACING[1] * column + along_rows * SPACING[0] * row
    world = np.stack([plane + position(index, directions, step) for index in range(count)]) * (-1, -1, 1)
    return np.rint((world - SCALE["RescaleIntercept"]) / SCALE["RescaleSlope"]).astype(np.uint16).transpose(3, 0, 1, 2)


def assert_in_place(image: Image, voxels: int) -> None:
    """Every voxel lies where its three values say, to .01 mm."""
    assert image.array.shape[3] == 3 and image.array[..., 0].size == voxels
    index = np.moveaxis(np.indices(image.array.shape[:3]), 0, -1)
    world = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    assert np.linalg.norm(world - image.array, axis=-1).max() < 0.01


def write_classic(folder: Path, directions: Any, step: float) -> Path:
    """Files in any order, InstanceNumbers against the positions."""
    volumes = enumerate(positions(directions, step))
    items = [slices(directions, step, data, TemporalPositionIdentifier=t + 1, **SCALE) for t, data in volumes]
    return write_series(folder, [item for volume in items for item in volume])


def write_mosaics(folder: Path, directions: Any, step: float) -> Path:
    volumes = enumerate(positions(directions, step))
    return write_series(folder, [mosaic(data, directions, step, InstanceNumber=t + 1, **SCALE) for t, data in volumes])


def write_frames(folder: Path, directions: Any, step: float) -> Path:
    """One enhanced file of all volumes."""

    def groups(index: int, time: int) -> dict[str, Any]:
        return {"FrameContentSequence": {"DimensionIndexValues": [1, index + 1, time + 1]}}

    return write_enhanced(folder / "a.dcm", directions, step, data=positions(directions, step), groups=groups, **SCALE)


def write_frames_a_volume(folder: Path, directions: Any, step: float) -> Path:
    """An enhanced file a volume."""
    for time, data in enumerate(positions(directions, step)):
        write_enhanced(folder / f"{9 - time}.dcm", directions, step, data=data[None], InstanceNumber=time + 1, **SCALE)
    return folder


@pytest.mark.parametrize("step", [4.0, -4.0, 0.7])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("write", [write_classic, write_mosaics, write_frames, write_frames_a_volume])
def test_every_voxel_lies_where_the_header_says(tmp_path: Path, write: Callable[..., Path], seed: int, step: float) -> None:
    image = read_dicom(write(tmp_path, oblique(seed), step))
    assert_in_place(image, ROWS * COLUMNS * SLICES)
    assert spacing(image) == pytest.approx((SPACING[1], SPACING[0], abs(step)))


@pytest.mark.parametrize("order", ["ascending", "descending", "interleaved"])
def test_the_order_of_slices_in_time_does_not_matter(tmp_path: Path, order: str) -> None:
    places = {"ascending": [0, 1, 2, 3, 4], "descending": [4, 3, 2, 1, 0], "interleaved": [0, 3, 1, 4, 2]}[order]
    items = []
    for time, data in enumerate(positions(oblique(5), 4.0)):
        volume = slices(oblique(5), 4.0, data, AcquisitionNumber=time + 1, **SCALE)
        for item, place in zip(volume, places, strict=True):
            item.InstanceNumber = SLICES * time + place + 1
        items += volume
    assert_in_place(read_dicom(write_series(tmp_path, items)), ROWS * COLUMNS * SLICES)


@pytest.mark.parametrize("numbers", ["private", "csa"])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 9, 10, 17])
def test_mosaics_of_any_number_of_tiles(tmp_path: Path, count: int, numbers: str) -> None:
    directions, step = oblique(count), -3.5 if count % 2 else 3.5
    data = positions(directions, step, count, 4, 5)
    volumes = [mosaic(one, directions, step, numbers, InstanceNumber=t + 1, **SCALE) for t, one in enumerate(data)]
    assert_in_place(read_dicom(write_series(tmp_path, volumes)), 20 * count)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_mosaic_is_the_classic_series(tmp_path: Path, syntax: Any) -> None:
    one = read_dicom(save(mosaic(stack(), oblique(1), syntax=syntax), tmp_path / "a" / "a.dcm"))
    other = read_dicom(write_series(tmp_path / "b", directions=oblique(1)))
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-7)
    assert one.time_step is None


def removed(item: Any, group: int) -> Any:
    for tag in [element.tag for element in item if element.tag.group == group]:
        del item[tag]
    return item


def shifted(item: Any) -> Any:
    item.ImagePositionPatient[1] += 0.5
    return item


def test_mosaics_that_cannot_be_unpacked(tmp_path: Path) -> None:
    def error(*items: Any) -> str:
        for path in tmp_path.glob("*"):
            path.unlink()
        return error_of(write_series(tmp_path, list(items)))

    lost = "number, direction or distance of slices was removed from its header"
    assert lost in error(removed(mosaic(stack()), 0x29)) and lost in error(mosaic(stack(), numbers=""))
    assert lost in error(mosaic(stack(), SpacingBetweenSlices=None, SliceThickness=None))
    assert "does not fit its header's 5 slices" in error(mosaic(stack(), ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    two = mosaic(stack(), InstanceNumber=1), mosaic(stack(), InstanceNumber=2)
    assert "volumes are shifted against each other" in error(two[0], shifted(two[1]))
    twice = mosaic(stack(), InstanceNumber=1), mosaic(stack(), InstanceNumber=1, SOPInstanceUID="1.2")
    assert "nothing tells the images of one position in" in error(*twice)


@pytest.mark.parametrize("kept", [0, 10, 100, 180, 220, 260])
def test_csa_headers_that_are_cut(tmp_path: Path, kept: int) -> None:
    item = mosaic(stack())
    item[0x29, 0x1010].value = item[0x29, 0x1010].value[:kept]
    assert "Siemens mosaic" in error_of(write_series(tmp_path, [item]))


# volumes


def in_time(count: int = 3, **values: list) -> list:
    """Volumes one behind the other, with values of each."""
    given = [{name: several[time] for name, several in values.items()} for time in range(count)]
    return [item for t, own in enumerate(given) for item in slices(data=stack() + t, InstanceNumber=t + 1, **EPI | own)]


@pytest.mark.parametrize(
    "values, step",
    [
        ({}, 2.0),
        ({"RepetitionTime": 1000.5}, 1.0005),
        ({"TemporalResolution": 1500.0}, 1.5),
        ({"TriggerTime": [0.0, 40.0, 80.0]}, 0.04),
        ({"AcquisitionTime": ["095958.0025", "100000.0000", "100002.0025"]}, 2.0),
        ({"AcquisitionTime": ["095958", "100004", "100010"]}, 6.0),
        ({"AcquisitionTime": ["095958", "095958", "095958"]}, 2.0),
        ({"AcquisitionTime": ["0959", "", "100010"]}, 2.0),
        ({"AcquisitionTime": ["095958", "100000", "100010"]}, None),
        ({"AcquisitionTime": ["235958", "000000", "000002"]}, None),
        ({"ScanningSequence": "GR"}, None),
        ({"NumberOfAverages": 2}, None),
        ({"MRAcquisitionType": "3D"}, None),
        ({"ImageType": ["DERIVED", "PRIMARY", "M"]}, None),
        ({"EchoTime": [10, 20, 30]}, None),
        ({"InversionTime": [10, 20, 30]}, None),
        ({"DiffusionBValue": [0.0, 500.0, 1000.0]}, None),
        ({"DiffusionGradientOrientation": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]}, None),
        ({"DiffusionGradientOrientation": [[1.0, 0, 0]] * 3}, 2.0),
    ],
)
def test_time_steps(tmp_path: Path, values: dict, step: float | None) -> None:
    several = {
        name: value if isinstance(value, list) and name != "ImageType" else [value] * 3 for name, value in values.items()
    }
    image = read_dicom(write_series(tmp_path, in_time(**several)))
    np.testing.assert_array_equal(image.array, np.stack([EXPECTED + t for t in range(3)], -1))
    assert image.time_step == (step if step is None else pytest.approx(step))


def test_time_steps_of_mosaics_and_enhanced_files(tmp_path: Path) -> None:
    mosaics = [mosaic(stack(), InstanceNumber=t + 1, AcquisitionTime=f"10000{2 * t}.001", **EPI) for t in range(3)]
    assert read_dicom(write_series(tmp_path / "mosaics", mosaics)).time_step == pytest.approx(2)

    def groups(index: int, time: int) -> dict[str, Any]:
        clock = f"202001021000{10 + 3 * time + index / 2:09.6f}"
        return {"FrameContentSequence": {"FrameAcquisitionDateTime": clock, "TemporalPositionIndex": time + 1}}

    data = np.stack([stack() + t for t in range(3)])
    image = read_dicom(write_enhanced(tmp_path / "a.dcm", data=data, groups=groups))
    assert image.time_step == pytest.approx(3)
    np.testing.assert_allclose(image.array[..., 2], (EXPECTED + 2) * (1 + np.arange(SLICES)))

    def offsets(index: int, time: int) -> dict[str, Any]:
        return {"TemporalPositionSequence": {"TemporalPositionTimeOffset": 0.5 * time}}

    assert read_dicom(write_enhanced(tmp_path / "b" / "b.dcm", data=data, groups=offsets)).time_step == pytest.approx(0.5)


def test_diffusion_stays_in_order_of_acquisition(tmp_path: Path) -> None:
    image = read_dicom(write_series(tmp_path, in_time(DiffusionBValue=[0.0, 1000.0, 500.0])))
    np.testing.assert_array_equal(image.array, np.stack([EXPECTED + t for t in range(3)], -1))


def test_volumes_that_would_mix_b_values_are_refused(tmp_path: Path) -> None:
    items = in_time(DiffusionBValue=[0.0, 1000.0, 500.0])
    items[0].InstanceNumber, items[SLICES].InstanceNumber = 2, 1
    assert "volume 1 would mix echoes or b values" in error_of(write_series(tmp_path, items))


# values


PHILIPS = "PHILIPS MR Imaging DD 001", 0x2005, 0x0E


def test_values_of_philips_are_precise_ones(tmp_path: Path) -> None:
    """(stored x slope + intercept) / (slope x scale slope), whatever the display's slope of an image."""
    items = slices(RescaleIntercept=-7)
    for index, item in enumerate(items):
        item.RescaleSlope = 1.5 + index
        add_private(item, *PHILIPS, "FL", 0.25)
    image = read_dicom(write_series(tmp_path, items))
    np.testing.assert_allclose(image.array, 4 * (EXPECTED - 7 / (1.5 + np.arange(SLICES))), rtol=1e-6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_private_attributes_of_unknown_type_and_block(tmp_path: Path, syntax: Any) -> None:
    items = slices(syntax=syntax, RescaleSlope=3)
    for item in items:
        add_private(item, "Other", 0x2005, 0x0E, "UN", b"\xff\xff\xff\xff")
        add_private(item, *PHILIPS, "UN", np.float32(0.5).tobytes())
    np.testing.assert_allclose(read_dicom(write_series(tmp_path, items)).array, 2 * EXPECTED)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_slope_that_is_none_is_not_used(tmp_path: Path, value: float) -> None:
    items = [add_private(item, *PHILIPS, "FL", value) for item in slices(RescaleSlope=3)]
    np.testing.assert_allclose(read_dicom(write_series(tmp_path, items)).array, 3 * EXPECTED)


PARTS = {
    "Siemens": lambda: slices(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]),
    "Philips": lambda: slices(ImageType=["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]),
    "enhanced": lambda: slices(ComplexImageComponent="PHASE"),
    "GE": lambda: [add_private(item, "GEMS_PARM_01", 0x43, 0x2F, "SS", 1) for item in slices()],
}


@pytest.mark.parametrize("vendor", PARTS)
def test_magnitude_and_phase_are_told_apart(tmp_path: Path, vendor: str) -> None:
    """In one series and in two, which the list of series names."""
    write_series(tmp_path / "one", slices(data=stack() * 2) + PARTS[vendor]())
    np.testing.assert_array_equal(read_dicom(tmp_path / "one").array, EXPECTED * 2)
    phases = PARTS[vendor]()
    for item in phases:
        item.SeriesInstanceUID, item.SeriesNumber = "1.2.4", 5
    write_series(tmp_path / "two", slices(), "m{:03d}.dcm")
    write_series(tmp_path / "two", phases, "p{:03d}.dcm")
    listed = "4 't2_tse' (5 images), 5 't2_tse' (5 phase images); choose one with --series N"
    assert listed in error_of(tmp_path / "two")
    assert "holds phase images only; give the magnitude series, by --series N" in error_of(tmp_path / "two", "5")
    np.testing.assert_array_equal(read_dicom(tmp_path / "two", "4").array, EXPECTED)


def test_grids_of_united_imaging_are_refused(tmp_path: Path) -> None:
    items = [add_private(item, "Image Private Header", 0x65, 0x50, "DS", "16") for item in slices()[:1]]
    assert "grid of slices by United Imaging" in error_of(write_series(tmp_path, items))


def test_volumes_in_other_places_are_refused(tmp_path: Path) -> None:
    items = slices(InstanceNumber=1) + [shifted(item) for item in slices(InstanceNumber=2)]
    assert "volumes are shifted against each other" in error_of(write_series(tmp_path, items))
