"""A server in this process, what a client asks of it, and the small scans that it is sent."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from mrd_client import Client, Picture, answers_of, readouts_of
from raw_files import Blob, Coil, Protocol, write_ismrmrd

from mri_d3gm.tasks import listen
from mri_d3gm.tasks.serve import Model

COILS = [Coil((90, 0, 0), 90.0), Coil((-90, 20, 0), 90.0, 1j), Coil((0, -90, 10), 90.0, 0.5 - 0.5j)]
OBJECT = [Blob((10, -5, 1), 40.0), Blob((-30, 20, 0), 12.0, 2.0), Blob((25, 30, -2), 9.0, 1.5)]
LINES = [(line, 0) for line in range(-32, 32) if line % 3 == 0 or abs(line) < 7]
NOISY: dict[str, Any] = {"noise_samples": 256, "covariance": np.eye(3) * 1e-4 + 2e-5}
SLICES = (4.0, 20.0, -12.0, -28.0, 12.0, 28.0, -4.0, -20.0)
MADE = Protocol(matrix=(64, 64, 1), coils=COILS, oversampling=2, slices=SLICES, entries=LINES, **NOISY)
SMALL = Protocol(matrix=(16, 20, 1), coils=COILS, slices=(0.0, 4.0), entries=[(line, 0) for line in range(-10, 10, 2)], **NOISY)
LIMITS = listen.Limits(connections=3, message=10**6, held=2 * 10**7, idle=60.0)
PLAIN = {"method": "zero-filled", "device": "cpu", "threads": 1}


@contextmanager
def serving(model: Model, **limits: Any) -> Iterator[tuple[int, list[str]]]:
    """A server at a free port, and what it logs."""
    said: list[str] = []
    with listen.listening("127.0.0.1", 0) as listener:
        server = listen.Server(listener, model, LIMITS._replace(**limits), said.append)
        thread = Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], said
        finally:
            server.end()
            thread.join(10)
            assert not thread.is_alive()


def ask(port: int, *messages: bytes) -> tuple[list[Picture], list[str], bool]:
    client = Client(port)
    client.send(messages)
    return client.answers()


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something holds before the time is up."""
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def messages_of(made: Protocol, folder: Path) -> tuple[Path, bytes, list[bytes]]:
    path = write_ismrmrd(folder / "scan.h5", OBJECT, made)
    return path, *readouts_of(path)


def through(model: Model, *messages: bytes, held: int = 10**8) -> tuple[list[Picture], list[str]]:
    """Answers to messages without a socket."""
    out = io.BytesIO()
    listen.piped(io.BytesIO(b"".join(messages)), out, model, LIMITS._replace(held=held), lambda _: None)
    pictures, texts, closed = answers_of(io.BytesIO(out.getvalue()))
    assert closed
    return pictures, texts


def assert_there(picture: Picture, affine: np.ndarray, index: int) -> None:
    """Every corner of a picture (1, phase encode, readout) lies where that of slice `index` of a volume does."""
    _, cols, rows = picture.pixels.shape
    sizes = np.array(picture.fov) / (rows, cols, 1)
    axes = np.array([picture.read, picture.phase, picture.normal]).T * sizes
    for row, col in ((0, 0), (rows - 1, 0), (0, cols - 1)):
        lps = np.array(picture.position) + axes @ [row - rows // 2, col - cols // 2, 0]
        np.testing.assert_allclose(lps * (-1, -1, 1), (affine @ [col, row, index, 1])[:3], atol=1e-3)
