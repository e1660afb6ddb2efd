"""Damaged ISMRMRD files: images or one line, and never more memory than the file deserves."""

import random
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest
from raw_files import Blob, Coil, Protocol, write_ismrmrd

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan

MADE = {
    "slices": Protocol(
        matrix=(10, 8, 1), coils=[Coil((30, 0, 0), 60.0), Coil((-30, 0, 0), 60.0)], slices=(0.0, 5.0),
        covariance=np.eye(2) * 1e-4, noise_samples=40, counts={"repetition": 2},
    ),
    "slab": Protocol(matrix=(10, 8, 8)),
    "EPI": Protocol(matrix=(10, 8, 1), trajectory="epi", alternating=True, navigators=True, oversampling=2),
}  # fmt: skip
FLIPS = 340  # of each


def spots(content: bytes) -> list[range]:
    """Where a file holds its structure, its XML header, and all."""
    xml = content.index(b"<ismrmrdHeader")
    return [range(2500), range(xml, content.index(b"</ismrmrdHeader>") + 16), range(len(content))]


def read_all(path: Path) -> None:
    scan = open_scan(path)
    for part in (scan.parts or {"": scan}).values():
        for image in range(min(4, part.frames * part.slices)):
            part.read(image)
            if part.masks:
                part.masks(image)
            if part.calibration:
                part.calibration(image)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MADE)
def test_flipped_bytes_are_images_or_one_line(name: str, tmp_path: Path) -> None:
    whole = write_ismrmrd(tmp_path / "a.h5", [Blob((4, -3, 1), 9.0)], MADE[name]).read_bytes()
    path, chance, refused = tmp_path / "b.h5", random.Random(name), 0
    read_all(tmp_path / "a.h5")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for flip in range(FLIPS):
        content, places = bytearray(whole), spots(whole)[flip % 3]
        for _ in range(chance.choice((1, 1, 3))):
            place = chance.choice(places)
            content[place] = chance.choice((chance.randrange(256), content[place] ^ (1 << chance.randrange(8)), 0, 255))
        path.write_bytes(content)
        try:
            read_all(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and str(path) in str(error)
    assert FLIPS // 10 < refused < FLIPS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_a_heap_on_which_hdf5_hangs_is_refused(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", [Blob((4, -3, 1), 9.0)], MADE["slab"])
    content = bytearray(path.read_bytes())
    place = free_space(content)
    content[place : place + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(InputError, match="data are damaged"):
        read_all(path)


def free_space(content: bytearray) -> int:
    """Where the size of the free space of the first heap lies."""
    place = content.index(b"GCOL") + 16
    while content[place : place + 2] != b"\0\0":
        place += 16 + (int.from_bytes(content[place + 8 : place + 16], "little") + 7) // 8 * 8
    return place + 8


def test_a_length_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.h5", [Blob((4, -3, 1), 9.0)], MADE["slab"])
    with h5py.File(path) as file:
        data = file["dataset/data"].id
        member = data.get_type().get_member_offset(data.get_type().get_member_index(b"data"))
        place = data.get_chunk_info(0).byte_offset + member
    content = bytearray(path.read_bytes())
    content[place + 3] = 240  # of the four bytes of the number of its samples
    path.write_bytes(content)
    with pytest.raises(InputError, match="larger than the file"):
        read_all(path)
