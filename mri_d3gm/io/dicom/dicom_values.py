"""Stored values of MR DICOM images: which can be read, and which are padding."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_series import Source, text_of

if TYPE_CHECKING:
    from pydicom import Dataset


def check_stored(path: Path, source: Source) -> None:
    """InputError where stored values are not what slope and intercept expect."""
    header = source.header
    if text_of(header, "PhotometricInterpretation") == "MONOCHROME1":
        text = f"{path}: low values of its images are bright (MONOCHROME1), see {source.name}"
        raise InputError(f"{text}; export them as MONOCHROME2")
    bits, high = header.get("BitsStored"), header.get("HighBit")
    if bits is not None and high is not None and int(high) >= int(bits):
        raise InputError(
            f"{source.name}: its {bits} bits a value end at bit {high} instead of {int(bits) - 1} (HighBit); "
            "export it with the bits at the low end"
        )
    if header.get("ModalityLUTSequence"):
        raise InputError(
            f"{source.name}: its values stand in a table (ModalityLUTSequence), which is not read; "
            "export it with RescaleSlope and RescaleIntercept"
        )


def padding(header: "Dataset", image: np.ndarray) -> np.ndarray:
    """Whether each stored value is PixelPaddingValue, or lies between that and PixelPaddingRangeLimit."""
    first = _stored(header, "PixelPaddingValue")
    if first is None:
        return np.zeros(image.shape, bool)
    last = _stored(header, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    found: np.ndarray = (image >= low) & (image <= high)
    return found


def _stored(header: "Dataset", name: str) -> int | None:
    """An attribute as a stored value, whether it is written with a sign or without; None where it is missing or several, or
    where no stored value can be it.
    """
    value = header.get(name)
    if isinstance(value, bytes):
        value = int.from_bytes(value, "little") if len(value) == 2 else None
    if not isinstance(value, int):
        return None
    signed = int(header.get("PixelRepresentation") or 0) == 1
    size, stored = 1 << int(header.BitsAllocated), 1 << int(header.get("BitsStored") or header.BitsAllocated)
    value %= size
    value = value - size if signed and value >= size // 2 else value
    return value if -stored // 2 * signed <= value < stored // (1 + signed) else None
