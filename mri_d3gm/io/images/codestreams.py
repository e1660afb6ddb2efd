"""Sizes in the header of compressed images, which decoders take memory for before they meet any data."""

import struct

FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG's start of a frame, and that of JPEG-LS
ALONE = {0x01, 0xFF, *range(0xD0, 0xD9)}  # markers without a length
JPEG_2000 = b"\xff\x4f\xff\x51"


def size_of(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components of a JPEG, JPEG-LS or JPEG 2000 image, None where no header says them."""
    start = stream.find(JPEG_2000)
    if start >= 0 and len(stream) >= start + 42:
        right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
        return bottom - top, right - left, int.from_bytes(stream[start + 40 : start + 42], "big")
    place = 2
    while stream[:2] == b"\xff\xd8" and len(stream) >= place + 10 and stream[place] == 0xFF:
        marker, length = stream[place + 1], int.from_bytes(stream[place + 2 : place + 4], "big")
        if marker in FRAMES:
            rows, columns, components = struct.unpack_from(">HHB", stream, place + 5)
            return rows, columns, components
        place += 1 if marker == 0xFF else 2 if marker in ALONE else 2 + length
    return None
