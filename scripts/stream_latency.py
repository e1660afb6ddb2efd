"""Measures `mri-d3gm serve`: seconds from the last line of a slice to its first image, as a client sees them.

Usage: python scripts/stream_latency.py [--coils 1,8,16] [--sizes 256,320] [--qualities fast,default] [--slices 4] [--threads N]

Starts a server, and for each size, number of coils and quality sends one slice of ellipses with noise several times over a
plain socket, undersampled four times along the phase encode but for 24 lines in the centre; each after the image of the one
before.

A Markdown table, for the first slice, whose size the server may not have seen before, and as the median of the others: seconds
at the client, and on Linux those of the processor, which other programs on the machine don't change.
"""

import argparse
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import BinaryIO

import numpy as np

HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}
</reconSpace><encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{middle}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""
SPACE = """<matrixSize><x>{size}</x><y>{size}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>240</x><y>240</y><z>5</z></fieldOfView_mm>"""
NOISE, LAST_IN_SLICE = 1 << 18, 1 << 7
HEAD = struct.Struct("<HQIII3IHHH16QHHHHHf3f3f3f3f3f17H8i8f")  # of an acquisition, 340 bytes
HEADING = """| matrix | coils | quality | first slice, s | later slices, s | processor, first | processor, later |
|---|---|---|---|---|---|---|"""
DEVIATION = 0.01  # of the noise, of the object's brightest


def kspace_of(size: int, coils: int) -> np.ndarray:
    """K-space (coils, rows, cols) of ellipses under smooth coils, with noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size * 2 - 1
    image = np.zeros((size, size), complex)
    for a, b, width, height, value in [(0, 0, 0.7, 0.85, 1.0), *random.uniform(-0.4, 0.4, (20, 5))]:
        inside = ((x - a) / (0.05 + abs(width))) ** 2 + ((y - b) / (0.05 + abs(height))) ** 2 < 1
        image[inside] += value
    image = np.abs(image) * np.exp(1j * (x + 0.5 * y * x))
    angles = 2 * np.pi * np.arange(coils) / coils
    maps = (
        np.ones((1, size, size))
        if coils == 1
        else np.stack([np.exp(1j * t - ((x - np.cos(t)) ** 2 + (y - np.sin(t)) ** 2)) for t in angles])
    )
    shifted = np.fft.ifftshift(maps * image, axes=(-2, -1))
    kspace = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1))
    return kspace + noise_of(kspace.shape, random)


def noise_of(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """White complex noise."""
    return DEVIATION * (random.normal(size=shape) + 1j * random.normal(size=shape)) / 2**0.5


def acquisition(data: np.ndarray, line: int, number: int, flags: int) -> bytes:
    """The message of a readout (coils, samples)."""
    coils, samples = data.shape
    place = (0.0, 0.0, 5.0 * number, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    counters = (line, 0, 0, number, *[0] * 13)
    sizes = (samples, coils, coils, *[0] * 16, 0, 0, samples // 2, 0, 0)
    head = HEAD.pack(1, flags, 0, 0, 0, 0, 0, 0, *sizes, 5.0, *place, *counters, *[0] * 8, *[0.0] * 8)
    return struct.pack("<H", 1008) + head + data.astype("<c8").tobytes()


def lines_of(size: int) -> list[int]:
    """Lines that are measured."""
    return [line for line in range(size) if line % 4 == 0 or abs(line - size // 2) < 12]


def next_image(stream: BinaryIO) -> None:
    """Read to the end of the next image; what the server says otherwise goes to stderr."""
    while True:
        (kind,) = struct.unpack("<H", stream.read(2))
        if kind == 5:
            print(stream.read(*struct.unpack("<I", stream.read(4))).decode(), file=sys.stderr)
            continue
        if kind != 1022:
            raise SystemExit("the server has closed")
        head = stream.read(198)
        (x, y, z), (channels,) = struct.unpack_from("<3H", head, 16), struct.unpack_from("<H", head, 34)
        stream.read(*struct.unpack("<Q", stream.read(8)))
        stream.read(4 * x * y * z * channels)
        return


def spent(process: int) -> float:
    """Seconds of processors' time that a process has used; NaN but on Linux."""
    try:
        user, system = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    except OSError:
        return float("nan")
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def seconds_of(port: int, process: int, size: int, coils: int, quality: str, slices: int) -> np.ndarray:
    """Of each slice, from its last line to its image, and those of the server's processor, (slices, 2)."""
    header = HEADER.format(space=SPACE.format(size=size), last=size - 1, middle=size // 2).encode()
    config = json.dumps({"quality": quality, "std": False}).encode()
    found = []
    with socket.create_connection(("127.0.0.1", port)) as client, client.makefile("rb") as stream:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(struct.pack("<HI", 2, len(config)) + config + struct.pack("<HI", 3, len(header)) + header)
        client.sendall(acquisition(noise_of((coils, 512), np.random.default_rng(1)), 0, 0, NOISE))
        kspace = kspace_of(size, coils)
        for number in range(slices):
            before = spent(process)
            *most, last = lines_of(size)
            client.sendall(b"".join(acquisition(kspace[:, :, line], line, number, 0) for line in most))
            time.sleep(0.3)  # the scanner's pause before the last line, in which the others are read
            client.sendall(acquisition(kspace[:, :, last], last, number, LAST_IN_SLICE))
            began = time.monotonic()
            next_image(stream)
            found.append((time.monotonic() - began, spent(process) - before))
        client.sendall(struct.pack("<H", 4))
        stream.read(2)
    return np.array(found)


def main() -> None:
    """Read the arguments, start a server, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coils", default="1,8,16")
    parser.add_argument("--sizes", default="256,320")
    parser.add_argument("--qualities", default="fast,default")
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--threads", default=None)
    asked = parser.parse_args()
    threads = [] if asked.threads is None else ["--threads", asked.threads]
    command = [sys.executable, "-m", "mri_d3gm", "serve", "--port", "0", *threads]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        found = next((found for line in server.stderr if (found := re.search(r"listening at .*:(\d+);", line))), None)
        if found is None:
            raise SystemExit("the server did not start")
        print(HEADING, flush=True)
        every = product(map(int, asked.sizes.split(",")), map(int, asked.coils.split(",")), asked.qualities.split(","))
        for size, coils, quality in every:
            measured = seconds_of(int(found[1]), server.pid, size, coils, quality, asked.slices)
            figures = " | ".join(f"{value:.2f}" for one in (0, 1) for value in (measured[0, one], np.median(measured[1:, one])))
            print(f"| {size} x {size} | {coils} | {quality} | {figures} |", flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
