"""A client of MRD's streaming protocol, of plain sockets and struct alone, and the messages of an ISMRMRD file."""

import socket
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

IMAGE_HEAD = struct.Struct("<HHQI3H3fH3f3f3f3f3f6HI3I3H8i8fI")  # 198 bytes
LAST_IN_SLICE, LAST_IN_REPETITION, LAST_IN_MEASUREMENT = 1 << 7, 1 << 13, 1 << 24


class Picture(NamedTuple):
    """An image that came back, pixels (z, y, x)."""

    pixels: np.ndarray
    position: tuple[float, ...]
    read: tuple[float, ...]
    phase: tuple[float, ...]
    normal: tuple[float, ...]
    fov: tuple[float, ...]
    counters: dict[str, int]
    time: int
    index: int
    series: int
    attributes: dict[str, list[str]]


def name_of(config: str) -> bytes:
    """Message 1."""
    return struct.pack("<H1024s", 1, config.encode())


def text(kind: int, content: str | bytes, end: bytes = b"") -> bytes:
    """Message 2, 3 or 5, with what some clients end it with."""
    data = (content.encode() if isinstance(content, str) else content) + end
    return struct.pack("<HI", kind, len(data)) + data


CLOSE = struct.pack("<H", 4)


def readouts_of(path: Path) -> tuple[bytes, list[bytes]]:
    """The XML header and all acquisitions of a file, as messages 1008; the last line of each image is flagged."""
    with h5py.File(path) as file:
        xml, data = file["dataset/xml"][0], file["dataset/data"][:]
    heads, flags = data["head"].copy(), data["head"]["flags"]
    idx, none = heads["idx"], 1 << 18 | 1 << 22 | 1 << 23
    keys = [tuple(idx[name].tolist() for name in ("slice", "repetition", "contrast")) for idx in idx]
    last = {key: number for number, key in enumerate(keys) if not int(flags[number]) & none}
    heads["flags"][list(last.values())] |= LAST_IN_SLICE
    messages = []
    for head, values in zip(heads, data["data"], strict=True):
        packed = b"".join(_packed(head[name]) for name in head.dtype.names)
        assert len(packed) == 340
        messages.append(struct.pack("<H", 1008) + packed + values.astype("<f4").tobytes())
    return bytes(xml), messages


def _packed(value: Any) -> bytes:
    if value.dtype.names:
        return b"".join(_packed(value[name]) for name in value.dtype.names)
    return np.asarray(value).tobytes()


def edited(message: bytes, **changes: int) -> bytes:
    """An acquisition whose head says something else; places of the fields in the message."""
    places = {"flags": (4, "Q"), "samples": (36, "H"), "coils": (40, "H"), "encoding": (176, "H")}
    data = bytearray(message)
    for name, value in changes.items():
        struct.pack_into("<" + places[name][1], data, places[name][0], value)
    return bytes(data)


class Client:
    """A connection to a server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.socket.makefile("rb")

    def send(self, messages: Iterable[bytes]) -> None:
        """All messages, as fast as they are taken."""
        for message in messages:
            self.socket.sendall(message)

    def answers(self) -> tuple[list[Picture], list[str], bool]:
        """Images and texts until the server has closed, and whether it said so before."""
        try:
            return answers_of(self.stream)
        finally:
            self.stream.close()
            self.socket.close()


def answers_of(stream: Any) -> tuple[list[Picture], list[str], bool]:
    """Images and texts of a stream to its end, and whether it ended with a close."""
    pictures: list[Picture] = []
    texts: list[str] = []
    while start := stream.read(2):
        (kind,) = struct.unpack("<H", start)
        if kind == 4:
            return pictures, texts, stream.read(1) == b""
        if kind == 5:
            texts.append(stream.read(*struct.unpack("<I", stream.read(4))).decode())
        else:
            assert kind == 1022
            pictures.append(_picture(stream))
    return pictures, texts, False


def _picture(stream: Any) -> Picture:
    head = IMAGE_HEAD.unpack(stream.read(IMAGE_HEAD.size))
    assert (head[0], head[1]) == (1, 5)  # version, and float32
    size, fov, channels, rest = head[4:7], head[7:10], head[10], head[11:]
    position, read, phase, normal = rest[0:3], rest[3:6], rest[6:9], rest[9:12]
    numbers = rest[15:]
    (length,) = struct.unpack("<Q", stream.read(8))
    root = ET.fromstring(stream.read(length))
    attributes = {meta.findtext("name"): [value.text for value in meta.findall("value")] for meta in root.findall("meta")}
    assert channels == 1 and head[-1] == length and numbers[10] == 1  # magnitude
    pixels = np.frombuffer(stream.read(4 * int(np.prod(size))), "<f4").reshape(size[::-1])
    counters = dict(zip(("average", "slice", "contrast", "phase", "repetition", "set"), numbers[:6], strict=True))
    return Picture(pixels, position, read, phase, normal, fov, counters, numbers[6], numbers[11], numbers[12], attributes)
