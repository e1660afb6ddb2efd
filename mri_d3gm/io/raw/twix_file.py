"""Siemens raw data (twix, .dat) as they lie in a file: measurements, their protocols, the heads of readouts, and samples.

Layouts, flags and the parser of protocols are twixtools'. Its readers are not used: to find the heads they read all samples,
they trust every size in a file, and sync data of length 0 would never end.
"""

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.image import reading

RAID = 9736  # bytes of the table of measurements, VD and later
LONGEST = 2**26  # bytes of a protocol; those of scanners have less than 2**21
END, SYNC = 1 << 0, 1 << 5  # flags of what is no readout
NAMED = re.compile(rb"[A-Za-z]{4,32}\0")  # a protocol begins with the name of its first part


class Layout(NamedTuple):
    """How readouts lie in a file: the type of their heads, that of what stands before the samples of each coil, the bytes
    before the first coil, and where in a head the flags are.
    """

    head: np.dtype
    coil: np.dtype
    before: int
    flags: int

    def block(self, samples: int) -> np.dtype:
        """The type of one coil's part of a readout."""
        return np.dtype([("head", self.coil), ("samples", "<c8", (samples,))])


class Protocol(NamedTuple):
    """What a protocol says, by name: its flat text (MeasYaps), whose names tell their place, and its other parts."""

    yaps: Mapping[str, str]
    rest: Mapping[str, Any]

    def word(self, *names: str) -> str:
        """The first text under these names, or ''."""
        found = (self.yaps.get(name, self.rest.get(name, "")) for name in names)
        return next((" ".join(str(text).split()) for text in found if str(text).strip()), "")

    def number(self, *names: str) -> float | None:
        """The first finite number under these names, or None."""
        for name in names:
            value = self.yaps.get(name, self.rest.get(name))
            try:
                text = str(value[0] if isinstance(value, list) else value).split()[0]
                number = float(int(text, 16)) if text.lower().startswith("0x") else float(text)
            except (ValueError, IndexError, OverflowError):
                continue
            if np.isfinite(number):
                return number
        return None


class Measurement(NamedTuple):
    """A measurement of a file: its protocol, the heads of its n readouts, (n,) structured, where each begins, (n,), and
    whether the mark of its end was found.
    """

    path: Path
    layout: Layout
    protocol: Protocol
    heads: np.ndarray
    places: np.ndarray
    whole: bool


def is_twix(path: Path) -> bool:
    """Whether a file begins like one of VB, or with a table of measurements like those of VD to XA."""
    if not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        first = file.read(24)
        if len(first) < 24:
            return False
        size, count, _, _, offset = struct.unpack("<4IQ", first)
        if not 1 <= count <= 64:
            return False
        if size >= 10000:
            return _named(file, 0)
        return offset >= RAID and (offset >= path.stat().st_size or _named(file, offset))


def _named(file: BinaryIO, start: int) -> bool:
    file.seek(start + 8)
    return NAMED.match(file.read(33)) is not None


def layouts(path: Path) -> tuple[Layout, Layout]:
    """Those of VB and of VD and later; InputError without twixtools."""
    try:
        from twixtools import mdh_def
    except ImportError as error:
        raise InputError(f'{path}: Siemens raw data need twixtools; pip install "mri-d3gm[siemens]"') from error
    old, new, coil = (np.dtype(kind) for kind in (mdh_def.VB17_header, mdh_def.Scan_header, mdh_def.Channel_header))
    flags = mdh_def.VB17_header.EvalInfoMask.offset, mdh_def.Scan_header.EvalInfoMask.offset
    return Layout(old, old, 0, flags[0]), Layout(new, coil, new.itemsize, flags[1])


def bounds(path: Path) -> tuple[bool, list[tuple[int, int]]]:
    """Whether a file is of VD or later, and (first byte, end) of each measurement; InputError where it is cut off."""
    size = path.stat().st_size
    with path.open("rb") as file:
        table = file.read(RAID)
    count = struct.unpack_from("<2I", table)[1]
    if struct.unpack_from("<I", table)[0] >= 10000:
        return False, [(0, size)]
    if len(table) < RAID:
        raise InputError(f"{path}: is cut off within its table of measurements; copy it again")
    entries = [struct.unpack_from("<2Q", table, 16 + 152 * number) for number in range(count)]
    return True, [(start, min(start + length, size) if length else size) for start, length in entries]


def measurement(path: Path, layout: Layout, start: int, end: int) -> Measurement:
    """The measurement between two places of a file; InputError where its protocol is damaged or cut off."""
    with path.open("rb", buffering=0) as file:
        file.seek(min(start, end))
        first = file.read(8)
        length, count = struct.unpack("<2I", first) if len(first) == 8 else (0, 0)
        if not 8 <= length <= min(end - start, LONGEST):
            raise InputError(f"{path}: is damaged, or cut off within its protocol; copy it again")
        protocol = _protocol(file.read(length - 8), count)
        heads, places, whole = _heads(file, layout, start + length, end)
    return Measurement(path, layout, protocol, heads, places, whole)


def _protocol(content: bytes, count: int) -> Protocol:
    """The protocol of so many parts, each a name, its length and its text."""
    from twixtools.twixprot import parse_xprot

    parts, at = {}, 0
    for _ in range(min(count, 64)):
        stop = content.find(b"\0", at, at + 64)
        if stop < 0 or stop + 5 > len(content):
            break
        length = struct.unpack_from("<I", content, stop + 1)[0]
        parts[content[at:stop].decode("latin-1")] = content[stop + 5 : stop + 5 + length].decode("latin-1")
        at = stop + 5 + length
    lines = (line.partition("=") for line in parts.get("MeasYaps", "").splitlines())
    yaps = {name.strip(): value.strip().strip('"') for name, sign, value in lines if sign}
    return Protocol(yaps, {**parse_xprot(parts.get("Dicom", "")), **parse_xprot(parts.get("Meas", ""))})


def _heads(file: BinaryIO, layout: Layout, place: int, end: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Heads of all whole readouts from a place on, where they begin, and whether their end is marked.

    What follows a readout that does not fit is damaged and left out.
    """
    size = layout.head.itemsize
    found: list[bytes] = []
    places: list[int] = []
    last = None
    while place + size <= end:
        file.seek(place)
        head = file.read(size)
        if len(head) < size:
            break
        length, number, counter = struct.unpack_from("<IiI", head)
        flags, samples, coils = struct.unpack_from("<Q2H", head, layout.flags)
        if flags & END:
            return np.frombuffer(b"".join(found), layout.head), np.array(places, np.int64), True
        if flags & SYNC:
            step = length & 0x1FFFFFF
        else:
            step = layout.before + coils * (layout.coil.itemsize + 8 * samples)
            strange = last is not None and number != last[0] and counter != last[1] + 1
            if not samples or not coils or strange or place + step > end:
                break
            found.append(head)
            places.append(place)
            last = number, counter
        if step < size:
            break
        place += step
    return np.frombuffer(b"".join(found), layout.head), np.array(places, np.int64), False


def samples_of(of: Measurement, numbers: np.ndarray) -> np.ndarray:
    """Samples (count, coils, samples) complex64 of readouts of one length; InputError for NaN and Inf."""
    head = of.heads[numbers[0]]
    coils, block = int(head["UsedChannels"]), of.layout.block(int(head["SamplesInScan"]))
    data = np.empty((len(numbers), coils, int(head["SamplesInScan"])), np.complex64)
    with reading(of.path), of.path.open("rb", buffering=0) as file:
        for row, number in enumerate(numbers):
            file.seek(int(of.places[number]) + of.layout.before)
            data[row] = np.frombuffer(file.read(coils * block.itemsize), block, coils)["samples"]
    if not np.isfinite(data).all():
        raise InputError(f"{of.path}: k-space holds NaN or Inf")
    return data


def coil_numbers(of: Measurement, number: int) -> np.ndarray:
    """The scanner's numbers of the coils of a readout, (coils,)."""
    head = of.heads[number]
    coils, block = int(head["UsedChannels"]), of.layout.block(int(head["SamplesInScan"]))
    with of.path.open("rb") as file:
        file.seek(int(of.places[number]) + of.layout.before)
        return np.frombuffer(file.read(coils * block.itemsize), block, coils)["head"]["ChannelId"]
