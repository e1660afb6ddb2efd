"""Private DICOM attributes that are needed to read images: found by their creator, whatever block they lie in."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

BLOCKS = range(0x10, 0x20)
# by name: creator, group, element within the creator's block, and the numbers' type where a file does not say it
PRIVATE = {
    "NumberOfImagesInMosaic": ("SIEMENS MR HEADER", 0x0019, 0x0A, "<u2"),
    "DiffusionBValue": ("SIEMENS MR HEADER", 0x0019, 0x0C, None),
    "CSAImageHeaderInfo": ("SIEMENS CSA HEADER", 0x0029, 0x10, None),
    "ImagesInGrid": ("Image Private Header", 0x0065, 0x50, None),  # of United Imaging
    "ScaleSlope": ("Philips MR Imaging DD 001", 0x2005, 0x0E, "<f4"),
    "ImagePart": ("GEMS_PARM_01", 0x0043, 0x2F, "<i2"),  # of GE: 0 magnitude, 1 phase, 2 real, 3 imaginary
}


def private_tags() -> list[int]:
    """Tags of all creators and elements that PRIVATE may be found at."""
    elements = {(group, place) for _, group, _, _ in PRIVATE.values() for place in BLOCKS}
    elements |= {(group, block << 8 | element) for _, group, element, _ in PRIVATE.values() for block in BLOCKS}
    return [group << 16 | element for group, element in elements]


def private(dataset: "Dataset", name: str) -> Any:
    """The value of one of PRIVATE, None where it is missing; a number where its bytes stand for one."""
    creator, group, element, kind = PRIVATE[name]
    for block in BLOCKS:
        owner, found = dataset.get((group, block)), dataset.get((group, block << 8 | element))
        if owner is None or found is None or str(owner.value).strip().lower() != creator.lower():
            continue
        value = found.value
        if kind and isinstance(value, bytes):
            return np.frombuffer(value, kind, 1)[0].item() if len(value) >= np.dtype(kind).itemsize else None
        return value
    return None


def csa_numbers(header: bytes, name: str) -> list[float]:
    """The numbers of a field of Siemens' CSA header, [] where it is missing; ValueError where they are none.

    Fields begin at byte 8, or 16 behind SV10. A field is its name in 64 bytes, its number of items at byte 76, and from byte 84
    on items: 16 bytes, of which the second four are a length, and text of that length, padded to a multiple of four.
    """
    place = 16 if header[:4] == b"SV10" else 8
    while place + 84 <= len(header):
        field, count = header[place : place + 64].split(b"\0")[0], int.from_bytes(header[place + 76 : place + 80], "little")
        texts: list[bytes] = []
        place += 84
        while len(texts) < count and place + 16 <= len(header):
            length = int.from_bytes(header[place + 4 : place + 8], "little")
            texts.append(header[place + 16 : place + 16 + length].split(b"\0")[0].strip())
            place += 16 + length + -length % 4
        if place > len(header):
            break
        if field == name.encode():
            return [float(text) for text in texts if text]
    return []
