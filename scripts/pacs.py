"""A real PACS: Orthanc is started, a series is reconstructed and sent, and what it holds is counted over its own interface.

    python scripts/pacs.py FILE [--orthanc Orthanc] [-o FOLDER]

Also asked: what is said of a wrong AE title, of a PACS that is not there, and of one that is ended while it receives.
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mri_d3gm.errors import InputError
from mri_d3gm.settings import Recon
from mri_d3gm.tasks import send
from mri_d3gm.tasks.recon import names_of, reconstruct_file


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Pacs:
    """Orthanc with a folder of its own, which stores what anyone sends to its AE title."""

    def __init__(self, program: str, folder: Path, own: int) -> None:
        self.dicom, self.http = free_ports(2)
        config = {
            "Name": "mri-d3gm",
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "PACS",
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "Plugins": [],
            "DicomModalities": {"us": {"AET": send.OURS, "Host": "127.0.0.1", "Port": own, "AllowStorageCommitment": True}},
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(config))
        self.process = subprocess.Popen([program, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                self.asked("system")
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise SystemExit("Orthanc did not start") from None
                time.sleep(0.2)

    def asked(self, place: str) -> Any:
        """Its answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{place}", timeout=10) as answer:
            return json.loads(answer.read())

    def end(self, number: int = signal.SIGTERM) -> None:
        """End the process that this object started."""
        self.process.send_signal(number)
        self.process.wait()


@contextmanager
def running(program: str, own: int) -> Iterator[Pacs]:
    """A PACS in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        pacs = Pacs(program, Path(folder), own)
        try:
            yield pacs
        finally:
            pacs.end()


def said(folder: Path, peer: send.Peer, **more: Any) -> str:
    """What send says."""
    try:
        return str(send.send(folder, peer, **more))
    except InputError as error:
        return f"one line: {error}"


def main() -> None:
    """Reconstruct, send, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("-o", "--output", default="runs/pacs")
    parser.add_argument("--orthanc", default="Orthanc")
    given = parser.parse_args()
    program = shutil.which(given.orthanc)
    if program is None:
        raise SystemExit(f"{given.orthanc} is not there: apt-get install orthanc")
    (own,) = free_ports(1)
    for kind in ("classic", "enhanced"):
        names = names_of(given.file, Path(given.output, kind))
        settings = Recon(dicom=kind, sibling="zero-filled", quality="fast")
        reconstruct_file(given.file, settings, names, overwrite=True)
        assert names.dicom is not None
        written = len(list(names.dicom.rglob("*.dcm")))
        with running(program, own) as pacs:
            peer = send.Peer("PACS", "127.0.0.1", pacs.dicom)
            started = time.monotonic()
            print(f"{kind}: {written} objects written; {said(names.dicom, peer, listen=own)}")
            print(f"  in {time.monotonic() - started:.1f} s; Orthanc {pacs.asked('system')['Version']} holds {held(pacs)}")
            print(f"  wrong AE: {said(names.dicom, peer._replace(title='OTHER'))}")
            print(f"  sent again: {said(names.dicom, peer, listen=own)}; holds {held(pacs)}")
            broken(names.dicom, pacs, peer)
        print(f"  not there: {said(names.dicom, peer)}")


def held(pacs: Pacs) -> str:
    """Studies, series and instances, as Orthanc counts them."""
    found = pacs.asked("statistics")
    series = ", ".join(
        f"{one['MainDicomTags'].get('SeriesNumber')} {one['MainDicomTags'].get('SeriesDescription')}: {len(one['Instances'])}"
        for one in pacs.asked("series?expand")
    )
    return f"{found['CountStudies']} study, {found['CountSeries']} series, {found['CountInstances']} instances ({series})"


def broken(folder: Path, pacs: Pacs, peer: send.Peer) -> None:
    """What is said where the PACS is ended after the first object."""

    def end(done: int, total: int) -> None:
        if done == 1:
            pacs.end(signal.SIGKILL)

    print(f"  ended while it receives: {said(folder, peer, progress=end)}")


if __name__ == "__main__":
    main()
