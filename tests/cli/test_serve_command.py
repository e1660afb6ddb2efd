"""serve as a command: it ends in peace, and what cannot be is one line."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mrd_client import Client, readouts_of, text
from raw_files import Blob, Coil, Protocol, write_ismrmrd

from mri_d3gm.tasks import listen

MADE = Protocol(matrix=(16, 20, 1), coils=[Coil((90, 0, 0), 90.0)], entries=[(line, 0) for line in range(-10, 10, 2)])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_in_peace(number: int, tmp_path: Path) -> None:
    xml, readouts = readouts_of(write_ismrmrd(tmp_path / "scan.h5", [Blob((10, -5, 1), 40.0)], MADE))
    command = [sys.executable, "-m", "mri_d3gm", "serve", "--port", "0", "--method", "zero-filled", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        port = re.search(r"listening at 127.0.0.1:(\d+);", server.stderr.readline())
        assert port is not None
        client = Client(int(port[1]))
        client.send([text(3, xml), *readouts[:5]])
        server.send_signal(number)
        rest = server.stderr.read()
        assert server.wait(20) == 0 and rest.splitlines()[-1].endswith("interrupted") and "Traceback" not in rest
        client.stream.close()
        client.socket.close()


def test_an_interrupted_stream_says_so_through_its_pipe(tmp_path: Path) -> None:
    xml, readouts = readouts_of(write_ismrmrd(tmp_path / "scan.h5", [Blob((10, -5, 1), 40.0)], MADE))
    command = [sys.executable, "-m", "mri_d3gm", "stream", "--method", "zero-filled", "--device", "cpu"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as client:
        assert client.stdin is not None and client.stdout is not None and client.stderr is not None
        client.stdin.write(b"".join([text(2, "{}"), text(3, xml), *readouts[:5]]))
        client.stdin.flush()
        assert b"zero-filled" in client.stderr.readline()
        client.send_signal(signal.SIGINT)
        said, rest = client.stdout.read(), client.stderr.read()
        client.stdin.close()
        assert client.wait(20) == 130 and b"ERR interrupted" in said
    assert rest.splitlines()[-1].endswith(b"no half-written file is left") and b"Traceback" not in rest


def test_a_port_in_use_and_a_wrong_option_are_one_line(mri: Any) -> None:
    with listen.listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        for options, word in ((("--port", port), "cannot listen"), (("--port", 0, "--method", "tv"), "--method tv")):
            code, out, err = mri("serve", *options)
            assert code == 2 and not out and word in err and err.count("\n") == 1


def test_without_the_package_one_line_says_which(mri: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ismrmrd", None)
    monkeypatch.delitem(sys.modules, "mri_d3gm.io.raw.mrd_stream")
    code, _, err = mri("serve")
    assert code == 2 and "pip install 'mri-d3gm[scanner]'" in err
