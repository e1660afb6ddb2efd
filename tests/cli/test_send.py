"""send: objects reach a PACS, and what goes wrong is one line."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_checks import needs
from dicom_files import write_series
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, build_role, evt
from pynetdicom.sop_class import (
    EnhancedMRImageStorage,
    MRImageStorage,
    ParametricMapStorage,
    StorageCommitmentPushModel,
    Verification,
)

from mri_d3gm.errors import InputError
from mri_d3gm.io.dicom.dicom_planes import planes_of, scale_of
from mri_d3gm.io.dicom.dicom_study import Study
from mri_d3gm.io.dicom.write_dicom import Made, Place
from mri_d3gm.io.dicom.write_dicom import write_series as write
from mri_d3gm.io.dicom.write_map import write_map
from mri_d3gm.tasks import send

KINDS = (MRImageStorage, EnhancedMRImageStorage, ParametricMapStorage)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images and a std map of this software."""
    folder = tmp_path_factory.mktemp("ours")
    array = np.random.default_rng(0).random((8, 8, 3), np.float32) * 100
    planes = planes_of("a", array, np.diag([2.0, 2, 4, 1]), 2)
    made = Made(("RECON", "D3GM"), "d3gm R8 AI", "made", "0.2.0", "ab" * 32, "id", None)
    study = Study({"StudyInstanceUID": "1.2.3", "PatientName": "ZZMARKED^NAME", "PatientID": "7"})
    items = write(folder / "recon", planes, scale_of(planes.images), study, made, Place(1, "1.2.9"))
    write_map(folder / "std", planes, items, made, 2)
    return folder


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PAUSE", 0.05), ("PATIENCE", 2.0), ("ANSWER", 5.0)):
        monkeypatch.setattr(send, name, seconds)


@contextmanager
def pacs(
    handlers: list[Any], kinds: tuple[Any, ...] = KINDS, commits: bool = False, title: str = "PACS", packed: bool = False
) -> Iterator[int]:
    """A PACS of pynetdicom at a free port, which takes its own title alone; packed: RLE too."""
    entity = AE(ae_title=title)
    entity.require_called_aet = True
    for kind in (Verification, *kinds):
        entity.add_supported_context(kind, [*DEFAULT_TRANSFER_SYNTAXES, *([RLELossless] if packed else [])])
    if commits:
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def to(port: int, title: str = "PACS") -> str:
    return f"{title}@127.0.0.1:{port}"


def test_objects_arrive_as_they_are(mri: Callable[..., Any], ours: Path) -> None:
    got: list[Dataset] = []

    def keep(event: Any) -> int:
        got.append(event.dataset)
        return 0

    with pacs([(evt.EVT_C_STORE, keep)]) as port:
        code, text, error = mri("send", ours, "--to", to(port))
    assert code == 0 and error == "" and "4 of 4 objects stored" in text and "offers no storage commitment" in text
    sent = {item.SOPInstanceUID: item for item in map(pydicom.dcmread, ours.rglob("*.dcm"))}
    assert {item.SOPInstanceUID for item in got} == set(sent)
    for item in got:
        name = "PixelData" if "PixelData" in item else "FloatPixelData"
        assert item[name].value == sent[item.SOPInstanceUID][name].value


@needs("storescp")
def test_dcmtk_takes_them(mri: Callable[..., Any], ours: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(["storescp", "-aet", "PACS", "-od", str(tmp_path), str(port)])
    try:
        until(lambda: mri("send", ours, "--to", to(port))[0] == 0)
    finally:
        server.terminate()
        server.wait()
    assert len(list(tmp_path.iterdir())) == 4


def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_is_refused_is_named(mri: Callable[..., Any], ours: Path) -> None:
    status = Dataset()
    status.Status, status.ErrorComment = 0xC123, "no such patient here"
    with pacs([(evt.EVT_C_STORE, lambda _: status)], KINDS[:1]) as port:
        code, text, error = mri("send", ours, "--to", to(port))
    assert code == 1 and "0 of 4 objects stored" in text
    lines = error.splitlines()
    assert len(lines) == 4 and "ZZMARKED" not in error
    assert sum("status 0xC123 (failure): no such patient here" in line for line in lines) == 3
    assert "std/0001.dcm: refused: the peer takes no Parametric Map Storage" in error


def test_a_busy_peer_is_asked_again(ours: Path) -> None:
    answers = iter([0xA700, 0xA700, 0, 0xB000, 0, 0])
    with pacs([(evt.EVT_C_STORE, lambda _: next(answers))]) as port:
        done = send.send(ours, send.peer_of(to(port)))
    assert (done.stored, done.refused) == (4, {})
    with pacs([(evt.EVT_C_STORE, lambda _: 0xA700)]) as port:
        done = send.send(ours, send.peer_of(to(port)))
    assert done.stored == 0 and len(done.refused) == 4 and "0xA700" in str(done.refused)


def test_an_association_that_breaks_is_made_again(ours: Path) -> None:
    count = 0

    def breaks(event: Any) -> int:
        nonlocal count
        count += 1
        if count in (2, 4):
            event.assoc.abort()
        return 0

    with pacs([(evt.EVT_C_STORE, breaks)]) as port:
        assert send.send(ours, send.peer_of(to(port))).stored == 4


def test_one_that_breaks_for_good_is_one_line(mri: Callable[..., Any], ours: Path) -> None:
    with pacs([(evt.EVT_C_STORE, lambda event: event.assoc.abort() or 0)]) as port:
        code, text, error = mri("send", ours, "--to", to(port))
    assert code == 2 and text == "" and "broke the association off after 0 of 4 objects" in error and error.count("\n") == 1


@contextmanager
def mute(answer: bytes = b"") -> Iterator[int]:
    """A port that says something else than DICOM, and closes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer)

    Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def test_peers_that_are_none(mri: Callable[..., Any], ours: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    cases = [(to(closed), "cannot be reached: Connection refused"), ("PACS@no.such.host.invalid:104", "cannot be reached")]
    with pacs([]) as port, mute(b"HTTP/1.1 200 OK\r\n\r\n") as web:
        cases += [(to(port, "OTHER"), "refused the association: Called AE title not recognised")]
        cases += [(to(web), "answers, but not as DICOM does")]
        for peer, said in cases:
            code, text, error = mri("send", ours, "--to", peer)
            assert code == 2 and text == "" and said in error and error.count("\n") == 1, error


def test_a_peer_that_never_answers(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as idle, pytest.raises(InputError, match="answers, but not as DICOM does"):
        send.send(ours, send.peer_of(to(idle.getsockname()[1])))


@pytest.mark.parametrize(
    "text", ["", "PACS", "PACS@host", "PACS@host:x", "@host:104", "A" * 17 + "@host:104", "PACS@:104", "P@h:70000"]
)
def test_peers_that_cannot_be(text: str, mri: Callable[..., Any], ours: Path) -> None:
    code, _, error = mri("send", ours, "--to", text)
    assert code == 2 and "write AE@host:port" in error and error.count("\n") == 1


def test_an_ae_title_that_cannot_be(mri: Callable[..., Any], ours: Path) -> None:
    code, _, error = mri("send", ours, "--to", "PACS@127.0.0.1:1", "--from", "A" * 17)
    assert code == 2 and "--from" in error and error.count("\n") == 1


def test_files_of_others_are_not_sent(mri: Callable[..., Any], tmp_path: Path) -> None:
    write_series(tmp_path / "theirs", Manufacturer="mri-d3gm")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.dcm").write_text("no DICOM")
    (tmp_path / "empty").mkdir()
    cases = [
        ("theirs", "was not made by mri-d3gm"),
        ("text", "is not a DICOM file"),
        ("empty", "no files"),
        ("none", "not exist"),
    ]
    for name, said in cases:
        code, text, error = mri("send", tmp_path / name, "--to", "PACS@127.0.0.1:1")
        assert code == 2 and text == "" and said in error and error.count("\n") == 1, error


@pytest.mark.parametrize("failed", [0, 1])
def test_commitment_over_the_same_association(failed: int, ours: Path) -> None:
    with pacs([(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_N_ACTION, committing(failed))], commits=True) as port:
        done = send.send(ours, send.peer_of(to(port)))
    assert (done.committed, done.word) == (not failed, f"the peer keeps {4 - failed} of 4")


def test_commitment_reported_to_a_port(ours: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    handlers = [(evt.EVT_C_STORE, lambda _: 0), (evt.EVT_N_ACTION, committing(0, own))]
    with pacs(handlers, commits=True) as port:
        done = send.send(ours, send.peer_of(to(port)), listen=own)
    assert (done.committed, done.word) == (True, "the peer keeps 4 of 4")


def committing(failed: int, port: int | None = None) -> Callable[[Any], Any]:
    """A handler that reports, over the same association or to a port, that some objects are not kept."""

    def act(event: Any) -> Any:
        asked = event.action_information
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence = asked.ReferencedSOPSequence[failed:]
        if failed:
            report.FailedSOPSequence = asked.ReferencedSOPSequence[:failed]
        Thread(target=told, args=(event.assoc, report, port), daemon=True).start()
        return 0, None

    return act


def told(association: Any, report: Dataset, port: int | None) -> None:
    time.sleep(0.2)
    if port is not None:
        entity = AE(ae_title="PACS")
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        entity.add_requested_context(StorageCommitmentPushModel)
        association = entity.associate("127.0.0.1", port, ext_neg=[role])
    kind = 2 if "FailedSOPSequence" in report else 1
    association.send_n_event_report(report, kind, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
    if port is not None:
        association.release()


@pytest.mark.parametrize("kind", ["recon/0002.dcm", "std/0001.dcm"])
@pytest.mark.parametrize("left", [0.999, 0.8])
def test_an_object_that_is_cut_off_is_refused_before_anything_is_sent(
    left: float, kind: str, ours: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(ours, tmp_path / "cut")
    whole = (folder / kind).read_bytes()
    (folder / kind).write_bytes(whole[: int(len(whole) * left)])
    got: list[Any] = []
    keep = [(evt.EVT_C_STORE, lambda event: got.append(event) or 0)]
    with pacs(keep) as port, pytest.raises(InputError, match=f"{kind}: is cut off"):
        send.send(folder, send.peer_of(to(port)))
    assert not got


@pytest.mark.parametrize("left", [1.0, 0.99, 0.95])
@pytest.mark.parametrize("taken", [True, False])
def test_compressed_copies_are_sent_as_they_are(left: float, taken: bool, ours: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(ours, tmp_path / "copy")
    item = pydicom.dcmread(folder / "recon/0002.dcm")
    item.compress(RLELossless)
    item.save_as(folder / "recon/0002.dcm")
    packed = (folder / "recon/0002.dcm").read_bytes()
    (folder / "recon/0002.dcm").write_bytes(packed[: int(len(packed) * left)])
    got: list[Dataset] = []
    keep = [(evt.EVT_C_STORE, lambda event: got.append(event.dataset) or 0)]
    with pacs(keep, packed=taken) as port:
        if left < 1:
            with pytest.raises(InputError, match=r"recon/0002.dcm: is cut off"):
                send.send(folder, send.peer_of(to(port)))
            return
        sent = send.send(folder, send.peer_of(to(port)))
    assert (sent.stored, len(sent.refused)) == ((4, 0) if taken else (3, 1))
    assert sum(one.get("PixelData") == item.PixelData for one in got) == taken


def test_compressed_objects_without_images_are_refused(ours: Path, tmp_path: Path) -> None:
    item = pydicom.dcmread(ours / "recon/0002.dcm")
    item.compress(RLELossless)
    item.PixelData = encapsulate([b"\0\0"])[:16]
    item.save_as(tmp_path / "empty.dcm")
    with pytest.raises(InputError, match="is cut off"):
        send.made_here(tmp_path)


def test_without_the_extra(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with pytest.raises(InputError, match=r"pip install 'mri-d3gm\[dicom\]'"):
        send.send(ours, send.peer_of("PACS@127.0.0.1:1"))
