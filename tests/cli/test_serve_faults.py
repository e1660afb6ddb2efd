"""serve and stream: what goes wrong is one line for the client and ends no server."""

import io
import json
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrd_client import CLOSE, Client, answers_of, edited, name_of, text
from mrd_server import (
    LIMITS,
    SMALL,
    ask,
    messages_of,
    serving,
    within,
)

from mri_d3gm.errors import InputError
from mri_d3gm.tasks import listen
from mri_d3gm.tasks.serve import Model


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
        assert within(30, lambda: sum("is gone" in line for line in said) == 1)  # so that its place is free
        half = Client(port)
        half.send([text(3, xml), readouts[1][:500]])
        half.socket.shutdown(socket.SHUT_WR)
        assert half.answers()[0] == []
        assert within(30, lambda: sum("is gone" in line for line in said) == 2)
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
