"""DICOM of this software to a PACS: C-ECHO, C-STORE, and storage commitment where the peer offers it."""

import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from mri_d3gm.compute import Progress
from mri_d3gm.errors import InputError, printable
from mri_d3gm.io.dicom.dicom_study import MAKER
from mri_d3gm.io.image import reading, silent

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.association import Association

OURS = "MRI-D3GM"
TRIES, PAUSE, PATIENCE, ANSWER = 3, 1.0, 10.0, 60.0  # seconds: between tries, to connect, for an answer
BUSY = range(0xA700, 0xA800)  # of status: out of resources
PIXELS = "PixelData", "FloatPixelData", "DoubleFloatPixelData"
CUT = "is cut off: its images are not whole; write the series anew, or leave the file out"
CONTEXTS = 128  # that an association may have


class Peer(NamedTuple):
    """Who is sent to: its AE title, host and port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


class Sent(NamedTuple):
    """What became of files: how many the peer stored, reasons by name of those that it refused, and whether it confirmed that
    it keeps what it stored; None where it offers no commitment or has not answered in time, which `word` says.
    """

    stored: int
    refused: dict[str, str]
    committed: bool | None
    word: str


class Made(NamedTuple):
    """A file of this software: its SOP class and instance, and its transfer syntax where that compresses, else ''."""

    path: Path
    kind: str
    uid: str
    packed: str = ""


def peer_of(text: str) -> Peer:
    """AE@host:port; InputError for anything else."""
    title, _, place = text.partition("@")
    host, _, port = place.rpartition(":")
    if not (is_title(title) and host and port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(f"--to {printable(text)}: write AE@host:port, an AE title of up to 16 letters: PACS@10.0.0.5:104")
    return Peer(title.strip(), host.strip("[]"), int(port))


def is_title(text: str) -> bool:
    """Whether a text can be an AE title."""
    return 0 < len(text.strip()) <= 16 and text.isascii() and text.isprintable() and "\\" not in text


def made_here(folder: str | Path) -> list[Made]:
    """The DICOM files of a folder, all of which this software made; InputError where there are none, others, or such that are
    cut off.
    """
    from pydicom import dcmread

    target = Path(folder)
    paths = sorted(path for path in target.rglob("*") if path.is_file()) if target.is_dir() else [target]
    found = []
    for path in paths:
        with reading(path, "is not a DICOM file"), silent("pydicom"):
            item = dcmread(path)
        if not item:  # what is left of an object whose compressed images do not end
            raise InputError(f"{path}: {CUT}")
        makers = {one.get("Manufacturer") for one in item.get("ContributingEquipmentSequence", [])}
        if item.get("Manufacturer") != MAKER or MAKER not in makers:
            raise InputError(f"{path}: was not made by {MAKER}, which sends only its own series; give a folder of those")
        syntax = item.file_meta.TransferSyntaxUID
        if not (_unpacks(item) if syntax.is_encapsulated else _pixels(item) == _declared(item)):
            raise InputError(f"{path}: {CUT}")
        found.append(Made(path, item.SOPClassUID, item.SOPInstanceUID, syntax if syntax.is_encapsulated else ""))
    if not found:
        raise InputError(f"{folder}: holds no files to send")
    return found


def _unpacks(item: "Dataset") -> bool:
    """Whether compressed images of an object are as many as it says, and none is empty."""
    from pydicom.encaps import generate_frames

    count = int(item.get("NumberOfFrames", 1) or 1)
    try:
        frames = [*generate_frames(item.get("PixelData") or b"", number_of_frames=count)]
    except (ValueError, EOFError, struct.error):
        return False
    return len(frames) == count and all(frames)


def _pixels(item: "Dataset") -> int:
    """Bytes of an object's images."""
    return max(len(item.get(name) or b"") for name in PIXELS)


def _declared(item: "Dataset") -> int:
    """Bytes of images that an object says it has, as they are written here: not compressed, and even in number."""
    sizes = (item.get("Rows"), item.get("Columns"), item.get("BitsAllocated"), item.get("NumberOfFrames", 1))
    rows, columns, bits, frames = (int(size or 0) for size in sizes)
    length = rows * columns * bits // 8 * frames
    return length + length % 2 or -1


def send(
    folder: str | Path, peer: Peer, *, title: str = OURS, listen: int | None = None, progress: Progress | None = None
) -> Sent:
    """Send the DICOM of a folder that this software made.

    title: the AE that asks; listen: port at which the peer may report what it keeps. progress(done, total) counts files. What
    fails for want of resources, or with the association, is tried three times. InputError where the peer is not there, refuses
    or breaks the association, and for files of others.
    """
    if not is_title(title):
        raise InputError(f"--from {printable(title)}: an AE title has up to 16 letters")
    files = made_here(folder)
    try:
        import pynetdicom  # noqa: F401
    except ImportError as error:
        raise InputError("send needs pynetdicom; pip install 'mri-d3gm[dicom]'") from error
    reports: list[Dataset] = []
    came = Event()
    with silent("pynetdicom"), _entity(title, files, listen, _keeper(reports, came)) as connect:
        echo(connect, peer)
        refused: dict[str, str] = {}
        waiting, broken = list(files), 0
        while waiting:
            association = associated(connect, peer)
            before = len(waiting)
            with _released(association):
                waiting = store(association, waiting, refused, len(files), progress)
            broken = broken + 1 if len(waiting) == before else 0
            if waiting and broken >= TRIES:
                done = len(files) - len(waiting)
                raise InputError(f"{peer}: broke the association off after {done} of {len(files)} objects; send again later")
            if waiting:
                time.sleep(PAUSE)
        stored = [file for file in files if str(file.path) not in refused]
        committed, word = commit(connect, peer, stored, reports, came) if stored else (None, "")
    return Sent(len(stored), refused, committed, word)


Connect = Callable[[Peer], "Association"]


def _keeper(reports: "list[Dataset]", came: Event) -> Callable[[Any], int]:
    """A handler of reports of storage commitment, which keeps them."""

    def keep(event: Any) -> int:
        reports.append(event.event_information)
        came.set()
        return 0

    return keep


@contextmanager
def _entity(title: str, files: Sequence[Made], listen: int | None, keep: Callable[[Any], int]) -> Iterator[Connect]:
    """An AE that asks to verify, to store the kinds of files and to commit, and that answers reports at a port."""
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

    entity = AE(ae_title=title)
    entity.acse_timeout = entity.connection_timeout = PATIENCE
    entity.dimse_timeout = entity.network_timeout = ANSWER
    for kind in (Verification, StorageCommitmentPushModel):
        entity.add_requested_context(kind)
    for kind, packed in sorted({(file.kind, file.packed) for file in files})[: CONTEXTS - 2]:
        entity.add_requested_context(kind, packed or None)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, keep)]
    server = None
    if listen is not None:
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        entity.add_supported_context(Verification)
        try:
            server = entity.start_server(("", listen), block=False, evt_handlers=handlers)
        except OSError as error:
            raise InputError(f"--listen {listen}: {error.strerror}; choose another port") from error
    try:
        yield lambda peer: entity.associate(peer.host, peer.port, ae_title=peer.title, evt_handlers=handlers)
    finally:
        if server is not None:
            server.shutdown()


def associated(connect: Connect, peer: Peer) -> "Association":
    """An association; InputError that says why there is none."""
    try:
        association = connect(peer)
    except OSError as error:  # of a name that is none
        raise InputError(f"{peer}: cannot be reached: {error.strerror or error}; check host and port") from error
    if association.is_established:
        return association
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = getattr(answer, "reason_str", "") or "no reason given"
        raise InputError(f"{peer}: refused the association: {reason}; is the AE title right, and this one known there?")
    try:
        socket.create_connection((peer.host, peer.port), PATIENCE).close()
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise InputError(f"{peer}: cannot be reached: {reason}; check host and port, and whether the PACS runs") from error
    raise InputError(f"{peer}: answers, but not as DICOM does, or broke the association off; check host and port")


@contextmanager
def _released(association: "Association") -> Iterator[None]:
    """An association that is released at the end, or broken off where that fails."""
    try:
        yield
    finally:
        with suppress(Exception):
            association.release() if association.is_established else association.abort()


def echo(connect: Connect, peer: Peer) -> None:
    """Ask whether the peer is there, as DICOM; InputError where it is not."""
    association = associated(connect, peer)
    with _released(association):
        try:
            status = association.send_c_echo()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{peer}: does not answer C-ECHO; is it a PACS?") from error
        if status.get("Status") != 0:
            raise InputError(f"{peer}: answered C-ECHO with {_status(status) or 'nothing'}; is it a PACS?")


def store(
    association: "Association", files: Sequence[Made], refused: dict[str, str], total: int, progress: Progress | None
) -> list[Made]:
    """Store files over an association; those that are left where it breaks off. Reasons of the refused are added by name."""
    from pydicom import dcmread

    known = {context.abstract_syntax for context in association.accepted_contexts}
    for place, file in enumerate(files):
        if not association.is_established:
            return list(files[place:])
        if file.kind not in known:
            refused[str(file.path)] = f"the peer takes no {_name(file.kind)}"
        else:
            status = _stored(association, dcmread(file.path))
            if status is None:
                return list(files[place:])
            if status:
                refused[str(file.path)] = status
        if progress is not None:
            progress(total - len(files) + place + 1, total)
    return []


def _stored(association: "Association", item: "Dataset") -> str | None:
    """'' where an object was stored, else the peer's reason; None where the association broke off."""
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE)
        try:
            status = association.send_c_store(item)
        except RuntimeError:  # it is not established any more
            return None
        except ValueError as error:
            return " ".join(str(error).split())
        if "Status" not in status:
            return None
        code = int(status.Status)
        if code == 0 or code in (0x0001, *range(0xB000, 0xC000)):  # stored, with a warning or without
            return ""
        if code not in BUSY:
            break
    return _status(status)


def _status(status: "Dataset") -> str:
    """A status and what the peer said of it."""
    if "Status" not in status:
        return ""
    from pynetdicom.status import code_to_category

    code = int(status.Status)
    text = " ".join(str(status.get("ErrorComment") or "").split())
    return f"status 0x{code:04X} ({code_to_category(code).lower()}){': ' + printable(text)[:64] if text else ''}"


def _name(uid: str) -> str:
    from pydicom.uid import UID

    return UID(uid).name


def commit(
    connect: Connect, peer: Peer, files: Sequence[Made], reports: "list[Dataset]", came: Event
) -> tuple[bool | None, str]:
    """Ask the peer to confirm that it keeps files: whether it does, None where it does not say, and what it said."""
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid
    from pynetdicom.sop_class import (  # type: ignore[attr-defined]
        StorageCommitmentPushModel,
        StorageCommitmentPushModelInstance,
    )

    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = []
    for file in files:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = file.kind, file.uid
        asked.ReferencedSOPSequence.append(item)
    association = associated(connect, peer)
    with _released(association):
        offered = {context.abstract_syntax for context in association.accepted_contexts}
        if StorageCommitmentPushModel not in offered:
            return None, "the peer offers no storage commitment"
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        if status.get("Status") != 0:
            return None, f"storage commitment: {_status(status) or 'no answer'}"
        came.wait(PATIENCE)
    mine = [one for one in reports if one.get("TransactionUID") == asked.TransactionUID]
    if not mine:
        return None, f"storage commitment was asked for, and not reported within {PATIENCE:g} s"
    failed = len(mine[0].get("FailedSOPSequence", []))
    return not failed, f"the peer keeps {len(files) - failed} of {len(files)}"
