"""Files of one format that are whole and say something else: bytes and a source of randomness in, bytes out."""

import gzip
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from random import Random

import nibabel
import numpy as np
from hostile.flips import FLOATS, INTEGERS, TEXTS, damaged, integer

Edit = Callable[[bytes, Random], bytes]
SHORT, LONG = b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split(), b"OB OW OF SQ UC UN UR UT OD".split()
ELEMENT = re.compile(rb"(?s)[\2\10\20\30\40\50\340\177]\0..(" + b"|".join(SHORT + LONG) + b")")


def gzipped(edit: Edit) -> Edit:
    """An edit of what a gzip file holds."""

    def packed(content: bytes, random: Random) -> bytes:
        return gzip.compress(edit(gzip.decompress(content), random), 1, mtime=0)

    packed.__name__ = f"gzipped {edit.__name__}"
    return packed


def nifti(content: bytes, random: Random) -> bytes:
    """NIfTI-1 or -2 with extremes in some fields of its header."""
    kind = (nibabel.Nifti1Header if content[344:347] == b"n+1" else nibabel.Nifti2Header).template_dtype
    header = np.frombuffer(content[: kind.itemsize], kind).copy()
    for _ in range(random.choice((1, 2, 3))):
        field = header[random.choice([*kind.names, "dim", "dim", "dim", "vox_offset", "datatype"])]
        place = tuple(random.randrange(size) for size in field.shape[1:])
        if field.dtype.kind == "f":
            field[0, *place] = random.choice(FLOATS) if random.random() < 0.6 else float(random.choice(INTEGERS))
        elif field.dtype.kind == "i":
            bits = 8 * field.dtype.itemsize - 1
            field[0, *place] = (random.choice(INTEGERS) + 2**bits) % 2 ** (bits + 1) - 2**bits
        elif field.dtype.kind == "u":
            field[0, *place] = random.choice(INTEGERS) % 2 ** (8 * field.dtype.itemsize)
        else:
            field[0] = random.choice(TEXTS)[: field.dtype.itemsize]
    return header.tobytes() + content[kind.itemsize :]


def dicom(content: bytes, random: Random) -> bytes:
    """Explicit little endian DICOM with other types, lengths or values of some of its elements."""
    for _ in range(random.choice((1, 1, 2))):
        found = random.choice(list(ELEMENT.finditer(content, 132)))
        head, length = (8, "<H") if found[1] in SHORT else (12, "<I")
        start = found.start()
        field = start + head - struct.calcsize(length)
        size = struct.unpack_from(length, content, field)[0]
        what = random.choice(("type", "length", "value", "value", "value"))
        if what == "type":
            new = random.choice(SHORT + LONG)
            content = content[: start + 4] + new + content[start + 6 :]
        elif what == "length":
            number = random.choice(INTEGERS) % 256 ** struct.calcsize(length)
            content = content[:field] + struct.pack(length, number) + content[start + head :]
        else:
            value = _value(found[1], random)
            value = value[:65534] + b" " * (len(value) % 2)
            packed = struct.pack(length, len(value))
            content = content[:field] + packed + value + content[start + head + min(size, len(content)) :]
    return content


def _value(kind: bytes, random: Random) -> bytes:
    sizes = {b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"AT": 4, b"FL": 4, b"FD": 8}
    if kind in sizes and random.random() < 0.8:
        number = (random.choice(INTEGERS) % 256 ** sizes[kind]).to_bytes(sizes[kind], "little")
        real = struct.pack("<f" if kind == b"FL" else "<d", random.choice(FLOATS))
        return (real if kind in (b"FL", b"FD") else number) * random.choice((1, 1, 2))
    return random.choice((*TEXTS, *(b"\\".join([random.choice(TEXTS)] * count) for count in (2, 3, 6))))


def lines(content: bytes, random: Random) -> bytes:
    """A text header, up to an empty line or the end, with other values, or lines twice, moved or gone."""
    head, blank, rest = content.partition(b"\n\n")
    rows = head.split(b"\n")
    for _ in range(random.choice((1, 1, 2))):
        row = random.randrange(len(rows))
        what = random.choice(("value", "value", "word", "word", "twice", "gone", "more"))
        if what == "word":
            words = rows[row].split(b" ")
            words[random.randrange(len(words))] = random.choice((*TEXTS, *(str(number).encode() for number in INTEGERS)))
            rows[row] = b" ".join(words)
        elif what == "value":
            rows[row] = rows[row].partition(b":")[0] + b": " + random.choice(TEXTS)
        elif what == "twice":
            rows.insert(random.randrange(len(rows)), rows[row])
        elif what == "gone" and len(rows) > 1:
            del rows[row]
        else:
            number = str(random.choice(INTEGERS)).encode()
            field = random.choice((b"line skip: ", b"byte skip: ", b"data file: ", b"dimension: ", b"sizes: ", b"encoding: "))
            rows.append(field + random.choice((number, *TEXTS)))
    return b"\n".join(rows) + blank + rest


def nrrd_data(content: bytes, random: Random) -> bytes:
    """An NRRD file of encoding gzip, whose data are damaged before they are packed anew."""
    head, blank, rest = content.partition(b"\n\n")
    return head + blank + gzipped(damaged)(rest, random)


def png(content: bytes, random: Random) -> bytes:
    """PNG with other numbers in its header, or chunks damaged, twice, moved or gone, with right checksums."""
    chunks, place = [], 8
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += size + 12
    which = random.choice((0, random.randrange(len(chunks))))
    kind, body = chunks[which]
    if which == 0 and random.random() < 0.7:
        width, height, *rest = struct.unpack(">IIBBBBB", body)
        sizes = (*INTEGERS, 1000, 4000, 20000, width)
        rest[random.randrange(5)] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = kind, struct.pack(">IIBBBBB", random.choice(sizes) % 2**32, random.choice(sizes) % 2**32, *rest)
    elif kind == b"IDAT" and random.random() < 0.5:
        chunks[which] = kind, zlib.compress(damaged(zlib.decompress(body), random))
    else:
        other = random.choice((kind, b"iCCP", b"eXIf", b"zTXt", b"PLTE", b"tRNS", b"acTL", b"fcTL"))
        new = (other, random.choice((body and damaged(body, random), zlib.compress(bytes(1 << 20)), b"a\0\0" + body)))
        chunks[which : which + random.choice((0, 1))] = [new] * random.choice((0, 1, 2))
    joined = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)
    return content[:8] + b"".join(joined)


def jpeg(content: bytes, random: Random) -> bytes:
    """A JPEG stream, perhaps within something else, with other sizes or components in its frame header."""
    frames = list(re.finditer(rb"(?s)\xff[\xc0-\xc3\xf7].{2}", content))
    if not frames:
        return damaged(content, random)
    data, place = bytearray(content), random.choice(frames).end()
    sizes = (0, 1, 7, 8, 1000, 4000, 20000, 65535)
    for offset, kind in random.sample(((0, ">B"), (1, ">H"), (3, ">H"), (5, ">B"), (7, ">B")), random.choice((1, 2))):
        struct.pack_into(kind, data, place + offset, random.choice(sizes) % 256 ** struct.calcsize(kind))
    return bytes(data)


def safetensors(content: bytes, random: Random) -> bytes:
    """Weights with other values in their header, or in the configuration and record of mri-d3gm that it holds as JSON."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    ours = random.choice(("config", "config", "record", ""))
    place = json.loads(header["__metadata__"][ours]) if ours else header
    item = place
    while isinstance(
        inner := item[key := random.choice(list(item) if isinstance(item, dict) else range(len(item)))], dict | list
    ):
        if not inner:
            break
        item = inner
    item[key] = random.choice((*INTEGERS, 3, 1000, 30000, True, None, float("nan"), 1e400, [], {}, "", "\x1b[2J", "unet"))
    if ours:
        header["__metadata__"][ours] = json.dumps(place)
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + content[8 + size :]


def numbers(content: bytes, random: Random) -> bytes:
    """A text header, within the first kilobyte, with another number."""
    found = random.choice(list(re.compile(rb"\d+").finditer(content, 0, 1024)))
    number = str(random.choice(INTEGERS)).encode()
    return content[: found.start()] + random.choice((number, *TEXTS)) + content[found.end() :]


def zipped(edit: Edit) -> Edit:
    """An edit of one of the files that a zip file holds."""

    def packed(content: bytes, random: Random) -> bytes:
        with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(buffer := BytesIO(), "w") as new:
            chosen = random.choice(old.namelist())
            for info in old.infolist():
                held = old.read(info)
                new.writestr(info, edit(held, random) if info.filename == chosen else held)
        return buffer.getvalue()

    packed.__name__ = f"zipped {edit.__name__}"
    return packed


def matlab(content: bytes, random: Random) -> bytes:
    """MATLAB's compressed variables of version 5, damaged before they are packed anew."""
    parts, place = [content[:128]], 128
    while place < len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        packed = content[place + 8 : place + 8 + size]
        if content[place] == 15:
            packed = zlib.compress(damaged(zlib.decompress(packed), random))
        parts += [content[place : place + 4], len(packed).to_bytes(4, "little"), packed]
        place += 8 + size
    return b"".join(parts)


def twix(content: bytes, random: Random) -> bytes:
    """Siemens raw data with other numbers in the heads of some readouts, or in the protocol."""
    if random.random() < 0.5:
        found = random.choice(list(re.finditer(rb"= ?-?\d[\d.]*", content)))
        value = random.choice((*TEXTS, *(str(number).encode() for number in INTEGERS)))[: len(found[0]) - 2]
        return content[: found.start()] + b"= " + value.ljust(len(found[0]) - 2) + content[found.end() :]
    data, start = bytearray(content), int(0.6 * len(content))
    for _ in range(random.choice((1, 2, 8))):
        integer(data, random.randrange(start, len(data) - 8), random)
    return bytes(data)
