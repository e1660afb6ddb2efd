"""Damage to the bytes of a file, whatever its format."""

import struct
from random import Random

INTEGERS = (0, 1, -1, 7, 8, 127, 128, 255, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
FLOATS = (0.0, -1.0, 1e-45, 1e38, -1e38, float("inf"), float("nan"))
TEXTS = (
    b"", b" ", b"0", b"-1", b"1.5", b"nan", b"inf", b"-inf", b"1e400", b"2147483648", b"9223372036854775808", b"9" * 400,
    b"\0", b"\x1b[2J", b"\xff\xfe", "é漢\u202e".encode(), b"%s%n{0}", b"../../../etc/passwd", b"A" * 5000, b"\n", b"<", b"&x;",
)  # fmt: skip


def bit(data: bytearray, place: int, random: Random) -> None:
    """One bit."""
    data[place] ^= 1 << random.randrange(8)


def run(data: bytearray, place: int, random: Random) -> None:
    """A run of one value, or of any."""
    end = min(len(data), place + random.choice((1, 2, 4, 8, 16, 64)))
    value = random.choice((0, 255, 127, 128, None))
    data[place:end] = random.randbytes(end - place) if value is None else bytes([value]) * (end - place)


def integer(data: bytearray, place: int, random: Random) -> None:
    """An integer of 1 to 8 bytes at an even place, of either byte order, to one of INTEGERS."""
    size = random.choice((1, 2, 2, 4, 4, 8))
    value = random.choice(INTEGERS) % 2 ** (8 * size)
    place -= place % min(size, 2)
    data[place : place + size] = value.to_bytes(size, random.choice(("little", "big")))


def number(data: bytearray, place: int, random: Random) -> None:
    """A float to one of FLOATS."""
    kind = random.choice("fd")
    place -= place % 4
    data[place : place + struct.calcsize(kind)] = struct.pack(f"<{kind}", random.choice(FLOATS))


def text(data: bytearray, place: int, random: Random) -> None:
    """Some bytes to one of TEXTS."""
    data[place : place + random.choice((0, 1, 4))] = random.choice(TEXTS)


def cut(data: bytearray, place: int, random: Random) -> None:
    """The end is missing."""
    del data[place:]


def remove(data: bytearray, place: int, random: Random) -> None:
    """A chunk is missing."""
    del data[place : place + random.choice((1, 2, 4, 8, 64, 512))]


def insert(data: bytearray, place: int, random: Random) -> None:
    """A chunk of anything more, or of the file itself."""
    size, other = random.choice((1, 2, 4, 8, 64, 4096)), random.randrange(len(data))
    data[place:place] = random.choice((random.randbytes(size), bytes(size), data[other : other + size]))


def extend(data: bytearray, place: int, random: Random) -> None:
    """More at the end."""
    data += random.choice((b"\0", bytes(1 << 16), random.randbytes(1000), bytes(data)))


DAMAGE = (bit, bit, run, integer, integer, number, text, cut, remove, insert, extend)


def damaged(content: bytes, random: Random) -> bytes:
    """The content with one to four of DAMAGE, more often near its start, where headers are."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        if data:
            place = random.randrange(min(len(data), random.choice((64, 512, 4096, len(data)))))
            random.choice(DAMAGE)(data, place, random)
    return bytes(data)
