"""Siemens raw data that were cut off or damaged: what is whole, or one line."""

import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from io_files import error_of
from scans import four_coils
from twix_files import measurement, protocol, readouts, write_raid, write_twix

from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.raw.twix_file import is_twix

KSPACE = four_coils(32, 24)


@pytest.mark.parametrize("vb", [False, True])
def test_of_a_file_cut_off_what_is_whole_is_used(tmp_path: Path, vb: bool) -> None:
    path = write_twix(tmp_path / "a.dat", KSPACE, oversampling=1, vb=vb)
    content = path.read_bytes()
    step = len(content) - len(content) // 3
    path.write_bytes(content[:step])
    scan = open_scan(path)
    assert any("cut off" in text for text in scan.warnings)
    np.testing.assert_allclose(scan.read(0)[..., 4:20], KSPACE[0][..., 4:20], atol=1e-5)


@pytest.mark.parametrize("vb", [False, True])
def test_every_length_of_a_file_gives_an_image_or_one_line(tmp_path: Path, vb: bool) -> None:
    path = write_twix(tmp_path / "a.dat", KSPACE[:1], oversampling=1, vb=vb)
    content = path.read_bytes()
    cut = tmp_path / "b.dat"
    texts = set()
    for length in [*range(0, len(content), len(content) // 60), 10240, 10241, 10300]:
        cut.write_bytes(content[:length])
        try:
            open_scan(cut).read(0)
        except InputError as error:
            assert "\n" not in str(error) and str(cut) in str(error)
            texts.add(str(error))
    assert any("cut off" in text for text in texts)


def test_a_cut_off_measurement_says_so_and_the_others_are_read(tmp_path: Path) -> None:
    one = measurement(protocol(32, 24, oversampling=1), readouts(KSPACE))
    path = write_raid(tmp_path / "a.dat", [one, one])
    path.write_bytes(path.read_bytes()[: 10240 + len(one)])
    assert is_twix(path) and "cut off" in error_of(open_scan, path)


@pytest.mark.parametrize("vb", [False, True])
@pytest.mark.parametrize("where", ["table", "protocol", "heads"])
def test_flipped_bytes_give_an_image_or_one_line(tmp_path: Path, vb: bool, where: str) -> None:
    path = write_twix(tmp_path / "a.dat", KSPACE[:1, :2], oversampling=1, vb=vb)
    content = path.read_bytes()
    start = 0 if vb else 10240
    first = int.from_bytes(content[start : start + 4], "little") + start
    step = 2 * (128 + 8 * 32) if vb else 192 + 2 * (32 + 8 * 32)
    heads = [first + number * step + byte for number in range(24) for byte in range(0, 192, 1)]
    places = {"table": range(0, 40), "protocol": range(start, first), "heads": heads}[where]
    rng = np.random.default_rng(0)
    for _ in range(60):
        flipped = bytearray(content)
        for place in rng.choice(np.array(places), 1 + rng.integers(3)):
            flipped[place] ^= int(rng.integers(1, 256))
        damaged = tmp_path / "b.dat"
        damaged.write_bytes(flipped)
        try:
            scan = open_scan(damaged)
            scan.read(0)
        except InputError as error:
            assert "\n" not in str(error) and str(damaged) in str(error)


@pytest.mark.parametrize(
    ("place", "value"),
    [(10240, 2**32 - 1), (10244, 2**32 - 1), (4, 64), (16 + 8, 2**31), (10240 + 8 + 7, 2**32 - 1)],
)
def test_no_memory_is_taken_by_declared_sizes(tmp_path: Path, place: int, value: int) -> None:
    """Length and parts of the protocol, measurements and their length, and the length of the first part."""
    path = write_twix(tmp_path / "a.dat", KSPACE[:1], oversampling=1)
    content = bytearray(path.read_bytes())
    content[place : place + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    open_scan(write_twix(tmp_path / "b.dat", KSPACE[:1], oversampling=1))
    tracemalloc.start()
    with suppress(InputError):
        open_scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(content)


def test_sync_data_without_a_length_end_the_file(tmp_path: Path) -> None:
    path = write_twix(tmp_path / "a.dat", KSPACE[:1], oversampling=1)
    content = bytearray(path.read_bytes())
    step = 192 + 4 * (32 + 8 * 32)
    first = 10240 + int.from_bytes(content[10240:10244], "little") + 20 * step
    content[first : first + 4] = bytes(4)
    content[first + 40] |= 1 << 5
    path.write_bytes(content)
    scan = open_scan(path)
    assert scan.mask is not None and any("cut off or damaged" in text for text in scan.warnings)


def test_other_files_are_not_taken_for_siemens(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    for content in (b"", b"\0" * 20000, np.random.default_rng(0).bytes(20000), b"text " * 4000):
        path.write_bytes(content)
        assert not is_twix(path)
