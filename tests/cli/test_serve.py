"""serve and stream: a client apart from the server's code gets its images, and none that goes wrong ends the others."""

import io
import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import ismrmrd
import numpy as np
import pytest
from mrd_client import CLOSE, LAST_IN_SLICE, Client, Picture, answers_of, edited, name_of, readouts_of, text
from raw_files import Blob, Coil, Protocol, write_ismrmrd

import mri_d3gm
from mri_d3gm.errors import InputError
from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.raw.mrd_stream import Incoming, Outgoing
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import listen
from mri_d3gm.tasks.conversation import Conversation, converse
from mri_d3gm.tasks.recon import reconstruct
from mri_d3gm.tasks.serve import Model, started
from mri_d3gm.transforms import slice_items

COILS = [Coil((90, 0, 0), 90.0), Coil((-90, 20, 0), 90.0, 1j), Coil((0, -90, 10), 90.0, 0.5 - 0.5j)]
OBJECT = [Blob((10, -5, 1), 40.0), Blob((-30, 20, 0), 12.0, 2.0), Blob((25, 30, -2), 9.0, 1.5)]
LINES = [(line, 0) for line in range(-32, 32) if line % 3 == 0 or abs(line) < 7]
NOISY: dict[str, Any] = {"noise_samples": 256, "covariance": np.eye(3) * 1e-4 + 2e-5}
SLICES = (4.0, 20.0, -12.0, -28.0, 12.0, 28.0, -4.0, -20.0)
MADE = Protocol(matrix=(64, 64, 1), coils=COILS, oversampling=2, slices=SLICES, entries=LINES, **NOISY)
SMALL = Protocol(matrix=(16, 20, 1), coils=COILS, slices=(0.0, 4.0), entries=[(line, 0) for line in range(-10, 10, 2)], **NOISY)
LIMITS = listen.Limits(connections=3, message=10**6, held=2 * 10**7, idle=60.0)
PLAIN = {"method": "zero-filled", "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def model() -> Model:
    return started(PLAIN, ("image", "std"))


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


def test_two_clients_at_once_get_what_recon_makes_of_the_file(model: Model, tmp_path: Path) -> None:
    path, xml, readouts = messages_of(MADE, tmp_path)
    settings = {"method": "d3gm", "trust": "off", "samples": 1}
    config = json.dumps(settings)
    plain = [text(2, config), text(3, xml), *readouts, CLOSE]
    ended = [text(2, config, b"\0"), text(3, xml, b"\0\0"), text(5, "hello", b"\0"), *readouts, CLOSE]
    with serving(model) as (port, said), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda messages: ask(port, *messages), (plain, ended)))
    result = mri_d3gm.reconstruct(path, accel=1, device="cpu", threads=1, **settings)
    assert result.std is not None
    order = np.argsort(SLICES).tolist()
    for pictures, texts, closed in found:
        assert closed and not texts
        for series, volume in ((1, result.volume), (2, result.std)):
            mine = [picture for picture in pictures if picture.series == series]
            assert [picture.counters["slice"] for picture in mine] == list(range(8))
            assert [picture.index for picture in mine] == list(range(1, 9))
            for number, picture in enumerate(mine):
                place = order.index(number)
                assert np.array_equal(picture.pixels[0].T, volume[place])
                assert_there(picture, result.affine, place)
                assert picture.time == (2 * (number * len(LINES) + LINES.index((0, 0))))
                np.testing.assert_allclose(picture.position, (0, 0, SLICES[number]), atol=1e-5)
        first = pictures[0].attributes
        assert first["ImageComments"] == ["research only, not for diagnosis"] and first["ImageType"] == ["RECON", "D3GM"]
        widths = [float(picture.attributes["WindowWidth"][0]) for picture in pictures if picture.series == 1]
        assert widths == sorted(widths) and widths[0] > 0
    assert sum("sent" in line for line in said) == 16 and not any("error" in line for line in said)


def test_an_image_comes_back_while_the_next_is_measured(model: Model, tmp_path: Path) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    half = 1 + (len(readouts) - 1) // 2
    with serving(model) as (port, _):
        client = Client(port)
        client.send([text(3, xml), *readouts[:half]])
        assert client.stream.peek(2)[:2] == struct.pack("<H", 1022)
        client.send([*readouts[half:], CLOSE])
        assert len(client.answers()[0]) == 2


def faults(xml: bytes, readouts: list[bytes]) -> dict[str, tuple[list[bytes], str]]:
    """What a client may do, and what it is told."""
    header, one = text(3, xml), readouts[1]
    long = struct.pack("<HI", 3, 2**31)
    damaged = one[:342] + struct.pack("<f", np.nan) + one[346:]
    return {
        "unknown id": ([struct.pack("<H", 77), b"abc"], "kind 77"),
        "garbage": ([bytes(range(90, 200)) * 9], "kind"),
        "an image": ([header, struct.pack("<H", 1022) + bytes(300)], "kind 1022"),
        "over-long header": ([long], "2147483648 bytes"),
        "over-long configuration": ([struct.pack("<HI", 2, 2**32 - 1)], "bytes"),
        "no XML": ([text(3, b"<ismrmrdHeader>")], "not readable XML"),
        "a name for a number": ([text(3, xml.replace(b"<x>16</x>", b"<x>Doe^Jane</x>"))], "encodedSpace is no number"),
        "a long value": ([text(2, json.dumps({"quality": "x" * 10**5}))], "--quality xxx"),
        "other XML": ([text(3, b"<a/>")], "no encoding 0"),
        "an empty header": ([text(3, b"")], "not readable XML"),
        "entities": ([text(3, b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')], "DOCTYPE"),
        "two headers": ([header, header], "second header"),
        "no header": ([one], "before the header"),
        "a large readout": ([header, edited(one, samples=65535, coils=1000)], "524280000 bytes"),
        "NaN": ([header, *readouts[:5], damaged, *readouts[6:], CLOSE], "NaN"),
        "no encoding": ([header, edited(one, encoding=3), CLOSE], "no encoding 3"),
        "other coils": ([header, readouts[2], edited(one, coils=1, samples=48), CLOSE], "1 and 3 coils"),
        "bad JSON": ([text(2, '{"quality": ')], "JSON"),
        "unknown option": ([text(2, '{"weights": "/etc/passwd"}')], "weights is no option"),
        "bad value": ([text(2, '{"quality": "superb"}')], "superb"),
        "too much": ([text(2, '{"steps": 100000}')], "256"),
        "no flag": ([text(2, '{"std": 3}')], "true or false"),
    }


def test_what_goes_wrong_is_told_and_ends_no_server(model: Model, tmp_path: Path) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    good = [name_of("fast"), text(3, xml), *readouts, CLOSE]
    with serving(model) as (port, said):
        for name, (messages, word) in faults(xml, readouts).items():
            _, texts, closed = ask(port, *messages)
            assert closed and texts and texts[-1].startswith("ERR ") and word in texts[-1], (name, texts)
            assert any(word in line for line in said), name
        assert len(ask(port, *good)[0]) == 2
        assert not any("Traceback" in line or "\n" in line or "Doe" in line or len(line) > 600 for line in said)


@pytest.mark.parametrize("fault", [AssertionError("the solver"), RuntimeError("CUDA error: an illegal\nmemory access")])
def test_a_fault_of_the_software_is_told_as_one(
    fault: Exception, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr("mri_d3gm.tasks.conversation.slices_of", broken)
    _, xml, readouts = messages_of(SMALL, tmp_path)
    told = f"ERR {type(fault).__name__}: {' '.join(str(fault).split())}"
    with serving(model) as (port, _):
        assert ask(port, text(3, xml), *readouts, CLOSE) == ([], [told], True)
    out = io.BytesIO()
    with pytest.raises(type(fault)):
        listen.piped(io.BytesIO(b"".join([text(3, xml), *readouts, CLOSE])), out, model, LIMITS, lambda _: None)
    assert answers_of(io.BytesIO(out.getvalue())) == ([], [told], True)


def test_clients_without_data_or_that_vanish_end_no_server(model: Model, tmp_path: Path) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    with serving(model) as (port, said):
        assert ask(port, CLOSE) == ([], [], True)
        Client(port).socket.close()
        cut = Client(port)
        cut.send([text(3, xml), *readouts[:4], readouts[4][:500]])
        cut.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cut.stream.close()
        cut.socket.close()  # with a reset
        half = Client(port)
        half.send([text(3, xml), readouts[1][:500]])
        half.socket.shutdown(socket.SHUT_WR)
        assert half.answers()[0] == []
        assert within(5, lambda: sum("is gone" in line for line in said) == 2)
        noise = ask(port, text(3, xml), readouts[0], CLOSE)
        assert noise == ([], ["no imaging readouts came: nothing is reconstructed"], True)
        assert len(ask(port, text(3, xml), *readouts, CLOSE)[0]) == 2


def test_a_silent_client_and_one_too_many_are_sent_away(model: Model, tmp_path: Path) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    with serving(model, idle=0.5) as (port, _):
        open_ = [Client(port) for _ in range(3)]
        for client in open_:
            client.send([text(3, xml)])
        _, texts, closed = ask(port, text(3, xml), *readouts, CLOSE)
        assert closed and "3 connections are open" in texts[0]
        for client in open_:
            _, texts, closed = client.answers()
            assert closed and "0.5 s" in texts[0]
        assert within(5, lambda: len(ask(port, text(3, xml), *readouts, CLOSE)[0]) == 2)


def test_a_client_that_takes_nothing_is_waited_for_once(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "LINGER", 0.1)
    _, xml, readouts = messages_of(SMALL, tmp_path)
    with listen.listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as client:
        ours, _ = listener.accept()
        ours.settimeout(0.2)
        with suppress(TimeoutError):
            while True:  # as much as there is room for
                ours.send(bytes(2**16))
        client.sendall(b"".join([text(3, xml), *readouts, CLOSE]))
        said, since = list[str](), time.monotonic()
        listen.Server(listener, model, LIMITS._replace(idle=1.0), said.append)._answer(1, ours, "here")
        assert 1 < time.monotonic() - since < 2.5 and "nothing came, or was taken, for 1 s" in said[-1]


def test_readouts_without_end_are_refused(model: Model, tmp_path: Path) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    with serving(model, held=20_000) as (port, _):
        _, texts, closed = ask(port, text(3, xml), *readouts[1:2] * 200, CLOSE)
        assert closed and "20000 bytes" in texts[0]


CONFIGURATIONS = [
    (name_of("fast"), "d3gm", False, ["d3gm", "d3gm std"]),
    (text(2, '{"zero_filled": true, "std": false}'), "d3gm", False, ["d3gm", "zero-filled"]),
    (text(2, '{"method": "regression", "zero_filled": true}'), "d3gm", False, ["regression", "regression std", "zero-filled"]),
    (name_of("simplefft.xml"), "zero-filled", True, ["zero-filled"]),
    (text(2, "<?xml version='1.0'?><gadgetronStreamConfiguration/>", b"\0"), "zero-filled", True, ["zero-filled"]),
    (text(2, b"\xff\xfe\x00"), "zero-filled", True, ["zero-filled"]),
    (b"", "zero-filled", False, ["zero-filled"]),
]


@pytest.mark.parametrize(("message", "method", "unknown", "series"), CONFIGURATIONS)
def test_configurations(message: bytes, method: str, unknown: bool, series: list[str], tmp_path: Path, model: Model) -> None:
    _, xml, readouts = messages_of(replace(SMALL, slices=(0.0,)), tmp_path)
    own = model._replace(options=PLAIN | {"method": method})
    pictures, texts = through(own, message, text(3, xml), *readouts, CLOSE)
    assert ["unknown" in one for one in texts] == [True] * unknown
    assert [picture.attributes["SeriesDescriptionAdditional"][0] for picture in pictures] == series
    numbers = [{"s": 2, "z": 3}.get(name.split()[-1][0], 1) if place else 1 for place, name in enumerate(series)]
    assert [picture.series for picture in pictures] == numbers


OBLIQUE = np.array([[0.8, 0.6, 0], [-0.48, 0.64, 0.6], [0.36, -0.48, 0.8]])
ECHOES = {"counts": {"contrast": 2, "repetition": 2}}
KINDS: dict[str, Protocol] = {
    "oblique, cropped": replace(SMALL, orientation=OBLIQUE, centre=(7, -9, 21), matrix=(20, 21, 1), image=(16, 15, 1)),
    "asymmetric echo": replace(SMALL, echo=(5, 8), discard=(2, 3)),
    "calibration lines apart": replace(SMALL, embedded=False, calibration=[(line, 0) for line in range(-4, 4)]),
    "calibration lines embedded": replace(SMALL, calibration=[(line, 0) for line in range(-4, 4)]),
    "averages": replace(SMALL, counts={"average": 3}, slices=(0.0,)),
    "EPI": replace(SMALL, trajectory="epi", alternating=True, navigators=True, ghost=(0.4, 0.3), entries=None),
    "echoes and repetitions": replace(SMALL, **ECHOES),
    "navigators and dummies": replace(SMALL, junk=[23, 27, 31]),
    "full": replace(SMALL, entries=None),
    "without position": replace(SMALL, positioned=False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_those_of_the_file(kind: str, tmp_path: Path, model: Model) -> None:
    path, xml, readouts = messages_of(KINDS[kind], tmp_path)
    pictures, texts = through(model, text(3, xml), *readouts, CLOSE)
    scan = open_scan(path)
    images = [picture for picture in pictures if picture.series == 1]
    results: list[Any] = []
    for part in (scan.parts or {"": scan}).values():
        results.append(reconstruct(part, Recon(accel=1, **PLAIN)))
    made = KINDS[kind]
    assert len(images) == len(made.slices) * (4 if "echoes" in kind else 1)
    for picture in images:
        result = results[picture.counters["contrast"]]
        volume = result.volume if result.volume.ndim == 3 else result.volume[picture.counters["repetition"]]
        assert np.array_equal(picture.pixels[0].T, volume[picture.counters["slice"]])
        if scan.position_known:
            assert_there(picture, result.affine, picture.counters["slice"])
        np.testing.assert_allclose(picture.fov[:2], np.array(picture.pixels.shape[:0:-1]) * scan.voxel_mm[:2], rtol=1e-5)
    assert not [one for one in texts if "warning" not in one]


def test_a_slab_is_one_volume(tmp_path: Path, model: Model) -> None:
    made = Protocol(matrix=(20, 16, 12), coils=COILS, orientation=OBLIQUE, centre=(3, 4, 5), oversampling=2, **NOISY)
    path, xml, readouts = messages_of(made, tmp_path)
    flagged = [edited(one, flags=LAST_IN_SLICE) if number % 16 == 0 and number else one for number, one in enumerate(readouts)]
    (picture,), _ = through(model, text(3, xml), *flagged, CLOSE)
    result = mri_d3gm.reconstruct(path, accel=1, **PLAIN)
    assert picture.pixels.shape == (12, 16, 20) and np.array_equal(picture.pixels.T, result.volume)
    axes = np.array([picture.read, picture.phase, picture.normal]).T * np.array(picture.fov) / (20, 16, 12)
    lps = np.array(picture.position) - axes @ [10, 8, 6]
    np.testing.assert_allclose(lps * (-1, -1, 1), result.affine[:3, 3], atol=1e-3)
    np.testing.assert_allclose((axes.T * (-1, -1, 1)).T[:, ::-1], result.affine[:3, :3], atol=1e-4)


@pytest.mark.parametrize("flag", [1 << 13, 1 << 24])
def test_the_end_of_a_repetition_completes_what_there_is(flag: int, tmp_path: Path, model: Model) -> None:
    path, xml, readouts = messages_of(SMALL, tmp_path)
    bare = [readouts[0], *(edited(one, flags=0) for one in readouts[1:])]
    half, order = len(SMALL.entries or ()), [0]
    for line in range(half):  # slices in turn
        order += [1 + line, 1 + half + line]
    turns = [bare[number] for number in order]
    turns[-1] = edited(turns[-1], flags=flag)
    late = edited(turns[3], flags=flag)
    out = io.BytesIO()
    talk = Conversation(Outgoing(out), model, 10**8, lambda _: None)
    converse(Incoming(io.BytesIO(b"".join([text(3, xml), *turns, late, CLOSE])), 10**6), talk)
    pictures, texts, _ = answers_of(io.BytesIO(out.getvalue()))
    volume = mri_d3gm.reconstruct(path, accel=1, **PLAIN).volume
    assert [np.array_equal(one.pixels[0].T, volume[number]) for number, one in enumerate(pictures)] == [True, True]
    assert "1 readouts came after" in texts[0]


def test_a_coil_that_held_signal_stays_where_a_slice_has_none_of_it(tmp_path: Path, model: Model) -> None:
    near = Coil((0, 0, 60), 12.0, 3.0)  # reaches the slice at 40 mm alone
    made = replace(SMALL, coils=[*COILS[:2], near], slices=(40.0, 0.0, -40.0))
    wide = [Blob((4, 3, 0), 9.0, 2.0), Blob((0, 0, 40), 9.0, 2.0), Blob((-4, 3, -40), 9.0)]
    path, xml, readouts = write_ismrmrd(tmp_path / "wide.h5", wide, made), *readouts_of(tmp_path / "wide.h5")
    result = mri_d3gm.reconstruct(path, accel=1, **PLAIN)
    assert result.record["Coils"] == 3
    pictures, _ = through(model, text(3, xml), *readouts, CLOSE)
    assert [np.array_equal(one.pixels[0].T, result.volume[2 - number]) for number, one in enumerate(pictures)] == [True] * 3
    scan = open_scan(write_ismrmrd(tmp_path / "one.h5", wide, replace(made, slices=(-40.0,))))
    assert scan.coils == 2  # alone it would have been left out


def test_ismrmrd_reads_what_is_sent(tmp_path: Path, model: Model) -> None:
    _, xml, readouts = messages_of(replace(SMALL, slices=(3.0,)), tmp_path)
    out = io.BytesIO()
    listen.piped(io.BytesIO(b"".join([text(3, xml), *readouts, CLOSE])), out, model, LIMITS, lambda _: None)
    (picture,), _, _ = answers_of(io.BytesIO(out.getvalue()))
    (image,) = ismrmrd.ProtocolDeserializer(io.BytesIO(out.getvalue())).deserialize()
    assert np.array_equal(image.data[0], picture.pixels) and image.meta["ImageComments"] == "research only, not for diagnosis"
    assert tuple(image.matrix_size) == (16, 20, 1) and tuple(image.position) == (0, 0, 3) == picture.position


@pytest.mark.parametrize("seed", range(4))
def test_damaged_streams_are_one_line(seed: int, tmp_path: Path, model: Model) -> None:
    _, xml, readouts = messages_of(replace(SMALL, slices=(0.0,)), tmp_path)
    whole, random = b"".join([name_of("x"), text(3, xml), *readouts, CLOSE]), np.random.default_rng(seed)
    refusals = 0
    for _ in range(8):
        data = bytearray(whole[: random.integers(len(whole)) if random.random() < 0.3 else None])
        for place in random.integers(len(data), size=random.integers(1, 6)):
            data[place] = random.integers(256)
        out, refused = io.BytesIO(), ""
        try:
            listen.piped(io.BytesIO(bytes(data)), out, model, LIMITS, lambda _: None)
        except InputError as error:
            refused = str(error).removeprefix("stdin: ")
        _, texts, closed = answers_of(io.BytesIO(out.getvalue()))
        assert closed and not any("\n" in line for line in texts)
        assert [line for line in texts if line.startswith("ERR ")] == ([f"ERR {refused}"] if refused else [])
        refusals += bool(refused)
    assert refusals


def test_draws_of_a_file_go_by_the_counters_of_its_slices(tmp_path: Path) -> None:
    scan = open_scan(write_ismrmrd(tmp_path / "a.h5", OBJECT, replace(SMALL, slices=(8.0, 0.0, 4.0))))
    assert scan.number is not None and [scan.number(index) for index in range(3)] == [1, 2, 0]
    assert [item["index"] for item in slice_items(str(tmp_path / "a.h5"), Recon())] == [1, 2, 0]
    scan = open_scan(write_ismrmrd(tmp_path / "b.h5", OBJECT, replace(SMALL, slices=(0.0, 4.0, 8.0))))
    assert scan.number is not None and [scan.number(index) for index in range(3)] == [0, 1, 2]


def test_a_stream_through_pipes_and_what_goes_wrong_in_one(tmp_path: Path, mri: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, xml, readouts = messages_of(SMALL, tmp_path)
    whole = b"".join([text(3, xml), *readouts])
    cases = {CLOSE: "", b"": "", struct.pack("<H", 9): "kind 9", readouts[1][:99]: "ended inside of a message"}
    for end, word in cases.items():
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(whole + end)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
        code, _, err = mri("stream", "--method", "zero-filled", "--device", "cpu", "--no-std")
        pictures, texts, closed = answers_of(io.BytesIO(out.getvalue()))
        assert closed and len(pictures) == 2 and code == (2 if word else 0)
        assert len(texts) == bool(word) and word in "".join(texts) and word in err.splitlines()[-1]
