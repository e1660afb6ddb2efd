"""What a file declares or unpacks to, against the bytes that it has: checked before memory is taken."""

import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from mri_d3gm.errors import InputError

SMALL = 1 << 24  # values, 64 MiB of float32: a file of any size may hold so many
MOST_RATIO = 200  # unpacked to packed above that: real images pack 2 to 20 times


def check_unpacked(name: object, values: int, unpacked: int, stored: int) -> None:
    """InputError where `values` numbers, `unpacked` bytes of them, are more than SMALL and than MOST_RATIO times `stored`."""
    if values > SMALL and unpacked > MOST_RATIO * stored:
        raise InputError(
            f"{name}: declares {unpacked / 1e6:.0f} MB and stores {stored / 1e6:.3g} MB; it is damaged, or empty but for its "
            "header; if it is right, save it uncompressed"
        )


def check_stream(name: object, pieces: Iterable[bytes], stored: int) -> None:
    """Use up what is unpacked from `stored` bytes; InputError where it is more than 4 x SMALL bytes and MOST_RATIO times."""
    total = 0
    for piece in pieces:
        total += len(piece)
        check_unpacked(name, total // 4, total, stored)


class Whole(io.BufferedReader):
    """A file of which no more is asked for than it has: Python takes the memory first, and damaged lengths are up to 4 GB."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > 1 << 16:
            size = max(0, min(size, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def open_whole(path: Path) -> Whole:
    """A file, to read."""
    return Whole(io.FileIO(path))


def pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    """What is left of a stream, a megabyte at a time."""
    while piece := stream.read(1 << 20):
        yield piece


def inflated(packed: bytes, window: int) -> Iterator[bytes]:
    """What deflated bytes unpack to, a megabyte at a time; window: zlib's wbits."""
    unpacker = zlib.decompressobj(window)
    while piece := unpacker.decompress(packed, 1 << 20):
        yield piece
        packed = unpacker.unconsumed_tail
