"""Stored values of DICOM that are padding, or not what slope and intercept expect."""

from functools import partial
from pathlib import Path
from typing import Any

import io_files
import numpy as np
import pytest
from dicom_files import AXIAL, mosaic, slices, stack, write_enhanced, write_series
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mri_d3gm.io.dicom.read_dicom import read_dicom

EXPECTED = stack().transpose(2, 1, 0).astype(np.float32)

error_of = partial(io_files.error_of, read_dicom)


def framed(value: int, rest: int = 0) -> np.ndarray:
    """The stack with rows of padding above and below; rest is added to all else."""
    data = stack().astype(int) + rest
    data[:, [0, -1]] = value
    return data.astype(np.uint16)


def assert_framed(image: Any, fill: float, inside: np.ndarray = EXPECTED) -> None:
    np.testing.assert_array_equal(image.array[:, [0, -1]], np.float32(fill))
    np.testing.assert_allclose(image.array[:, 1:-1], inside[:, 1:-1], rtol=1e-6)


def put(items: list, kind: str, first: int, last: int | None = None) -> list:
    for item in items:
        item.add_new("PixelPaddingValue", kind, first)
        if last is not None:
            item.add_new("PixelPaddingRangeLimit", kind, last)
    return items


SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("first, last", [(65535, None), (65535, 65000), (60000, 65535)])
def test_padding_is_no_signal(first: int, last: int | None, syntax: Any, tmp_path: Path) -> None:
    items = put(slices(data=framed(65535), syntax=syntax), "US", first, last)
    assert_framed(read_dicom(write_series(tmp_path, items)), 0)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("bits", [16, 12])
@pytest.mark.parametrize("kind, value", [("SS", -2000), ("US", 63536)])
def test_padding_of_signed_values(kind: str, value: int, bits: int, syntax: Any, tmp_path: Path) -> None:
    signed = {"PixelRepresentation": 1, "BitsStored": bits, "HighBit": bits - 1}
    items = put(slices(data=framed(-2000), syntax=syntax, **signed), kind, value)
    assert_framed(read_dicom(write_series(tmp_path, items)), 0)


def test_padding_among_values_below_zero_is_the_lowest_of_these(tmp_path: Path) -> None:
    items = put(slices(data=framed(65535), RescaleSlope=0.5, RescaleIntercept=-131), "US", 65535)
    inside = EXPECTED * 0.5 - 131
    assert_framed(read_dicom(write_series(tmp_path, items)), inside[:, 1:-1].min(), inside)


@pytest.mark.parametrize("kind, value", [("US", 63536), ("SS", -2000), ("US", 65535)])
def test_padding_that_no_stored_value_can_be_is_none(kind: str, value: int, tmp_path: Path) -> None:
    data = framed(value % 4096)
    image = read_dicom(write_series(tmp_path, put(slices(data=data, BitsStored=12, HighBit=11), kind, value)))
    assert image.array[0, 0, 0] == value % 4096


def test_padding_of_value_zero_stays(tmp_path: Path) -> None:
    items = put(slices(data=framed(0, rest=-500), PixelRepresentation=1), "SS", 0)
    assert_framed(read_dicom(write_series(tmp_path, items)), 0, EXPECTED - 500)


def test_images_of_padding_alone(tmp_path: Path) -> None:
    data = stack()
    data[1] = 65535
    image = read_dicom(write_series(tmp_path, put(slices(data=data), "US", 65535)))
    assert not image.array[..., 1].any() and (image.array[..., 2] == EXPECTED[..., 2]).all()


def test_padding_of_mosaics_and_enhanced_objects(tmp_path: Path) -> None:
    item = put([mosaic(framed(65535))], "US", 65535)
    assert_framed(read_dicom(write_series(tmp_path / "a", item)), 0)
    one = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    path = write_enhanced(tmp_path / "b" / "b.dcm", data=framed(65535)[None], PixelPaddingValue=65535, **one)
    assert_framed(read_dicom(path), 0)


def test_bits_at_the_high_end_are_refused(tmp_path: Path) -> None:
    high = slices(data=stack() << 4, BitsStored=12, HighBit=15)
    assert "12 bits a value end at bit 15 instead of 11 (HighBit)" in error_of(write_series(tmp_path / "a", high))
    assert_framed(read_dicom(write_series(tmp_path / "b", slices(data=framed(0), BitsStored=12, HighBit=11))), 0)


def test_tables_of_values_are_refused(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "US"
    table.add_new("LUTData", "US", [0, 10, 20, 1000])
    text = error_of(write_series(tmp_path, ModalityLUTSequence=[table]))
    assert "ModalityLUTSequence" in text and "RescaleSlope" in text


def test_frames_that_differ_are_named(tmp_path: Path) -> None:
    def groups(index: int, time: int) -> dict[str, Any]:
        other = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0] if index == 2 else [x for row in AXIAL for x in row]
        return {"PlaneOrientationSequence": {"ImageOrientationPatient": other}}

    path = write_enhanced(tmp_path / "a.dcm", groups=groups)
    assert f"the one in {path} (frame 3) from the one in {path} (frame 1)" in error_of(path)
