"""MRD's streaming protocol: messages in and out over a stream of bytes, by the package ismrmrd (the extra `scanner`).

Every message is a number, uint16, and what follows it, little endian: 1 and 2 the configuration, 3 the XML header, 4 the end,
5 text, 1008 an acquisition, 1022 an image, 1026 a waveform.
"""

import ctypes
import struct
import warnings
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mri_d3gm.errors import InputError

try:
    with warnings.catch_warnings():  # it changes the filters of whoever imports it
        import ismrmrd
        from ismrmrd import AcquisitionHeader
        from ismrmrd.serialization import ISMRMRDMessageID, ProtocolDeserializer, ProtocolSerializer
except ImportError as error:
    raise InputError("MRD's streaming protocol needs ismrmrd; pip install 'mri-d3gm[scanner]'") from error

TEXT = 2**22  # bytes of the longest text or header that is taken
HEAD = np.dtype(AcquisitionHeader)
NOWHERE = np.empty(0, np.float32)
TEXTS = (ISMRMRDMessageID.CONFIG_FILE, ISMRMRDMessageID.CONFIG_TEXT, ISMRMRDMessageID.HEADER, ISMRMRDMessageID.TEXT)


class Readout(NamedTuple):
    """An acquisition: its header, as ismrmrd has it, real and imaginary parts in turn, and places in k-space, float32."""

    head: AcquisitionHeader
    values: np.ndarray
    places: np.ndarray = NOWHERE

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self.values.nbytes + self.places.nbytes + 2 * HEAD.itemsize


Message = str | bytes | Readout


class Whole:
    """A stream of which as many bytes are read as are asked for, up to `most`; EOFError where it ends before."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self.stream, self.most = stream, most

    def read(self, count: int, *, or_end: bool = False) -> bytes:
        """So many bytes; or_end: none where it has ended here."""
        if count > self.most:
            raise InputError(f"a message of {count} bytes came; at most {self.most} are taken")
        found = self.stream.read(count)
        if len(found) < count and (found or not or_end):
            raise EOFError("the stream ended inside of a message")
        return found


class Incoming(ProtocolDeserializer):
    """Messages of a client, none of more than `most` bytes. Texts end at their first NUL, which known clients add.

    closed: whether the client has said that it was at its end.
    """

    def __init__(self, stream: BinaryIO, most: int) -> None:
        super().__init__(Whole(stream, most))
        self.closed = False

    def messages(self) -> Iterator[Message]:
        """All until the end: configurations, the header's XML as bytes, texts and readouts; waveforms are left out.

        InputError for what is no message of a client, EOFError where the stream ends inside of one.
        """
        while start := self._stream.read(2, or_end=True):
            (kind,) = struct.unpack("<H", start)
            if kind == ISMRMRDMessageID.CLOSE:
                self.closed = True
                return
            if kind in TEXTS:
                self._peeked_id = kind
                yield next(self.deserialize())
            elif kind == ISMRMRDMessageID.ACQUISITION:
                yield self._acquisition()
            elif kind == ISMRMRDMessageID.WAVEFORM:
                head = self._head(ismrmrd.WaveformHeader)
                self._stream.read(head.channels * head.number_of_samples * 4)
            else:
                raise InputError(f"a message of kind {kind} came, which is none of a client with raw data")

    def _acquisition(self) -> Readout:
        head = self._head(AcquisitionHeader)
        places = self._stream.read(head.number_of_samples * head.trajectory_dimensions * 4)
        data = self._stream.read(head.number_of_samples * head.active_channels * 8)
        return Readout(head, np.frombuffer(data, np.float32), np.frombuffer(places, np.float32))

    def _head(self, kind: type[ctypes.Structure]) -> Any:
        return kind.from_buffer_copy(self._stream.read(ctypes.sizeof(kind)))

    def _deserialize_config_file(self) -> ismrmrd.ConfigFile:
        return ismrmrd.ConfigFile(_decoded(self._stream.read(1024)))

    def _deserialize_text(self) -> str:
        return _decoded(self._counted())

    def _deserialize_ismrmrd_header(self) -> bytes:
        return self._counted().split(b"\0")[0]

    def _counted(self) -> bytes:
        (length,) = struct.unpack("<I", self._stream.read(4))
        if length > TEXT:
            raise InputError(f"a text of {length} bytes came; at most {TEXT} are taken")
        return self._stream.read(length)


def _decoded(text: bytes) -> str:
    return text.split(b"\0")[0].decode(errors="replace")


class Plane(NamedTuple):
    """Where an image is: unit vectors of readout, phase encode and across, LPS, its centre, LPS in mm, its size along each in
    mm, and whether all but the size is the patient's.
    """

    read: np.ndarray
    phase: np.ndarray
    normal: np.ndarray
    centre: np.ndarray
    fov: tuple[float, float, float]
    known: bool


def plane_of(affine: np.ndarray, shape: tuple[int, int, int], voxel: tuple[float, float, float], known: bool = True) -> Plane:
    """The place of an image of `shape` (readout, phase encode, across) whose voxels are of so many mm.

    affine: from (readout, phase encode, across) to mm, RAS. MRD's centre is the voxel n // 2 of each axis.
    """
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    read, phase, normal = (column / np.linalg.norm(column) for column in lps[:, :3].T)
    centre = lps @ [*(size // 2 for size in shape), 1.0]
    first, second, third = (size * mm for size, mm in zip(shape, voxel, strict=True))
    return Plane(read, phase, normal, centre, (first, second, third), known)


def image_of(array: np.ndarray, head: AcquisitionHeader, where: Plane, meta: Mapping[str, Any], **fields: int) -> ismrmrd.Image:
    """A message of an image (readout, phase encode, across) float32.

    The head of a readout is copied, but for what `where` knows. meta: its attributes; fields: others of ImageHeader.
    """
    data = np.ascontiguousarray(array.T, np.float32)
    image = ismrmrd.Image.from_array(data, head, transpose=False, image_type=ismrmrd.IMTYPE_MAGNITUDE, **fields)
    image.field_of_view[:] = where.fov
    directions: dict[str, Any] = {}
    if where.known:
        image.position[:], image.slice_dir[:] = where.centre, where.normal
        image.read_dir[:], image.phase_dir[:] = where.read, where.phase
        directions = {"ImageRowDir": where.read.tolist(), "ImageColumnDir": where.phase.tolist()}
    image.meta = {**meta, **directions}
    return image


class Outgoing(ProtocolSerializer):
    """Messages to a client, each sent at once and whole, from whichever thread."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.lock = Lock()

    def send(self, message: ismrmrd.Image | str) -> None:
        """An image, or a text."""
        with self.lock:
            self.serialize(message)
            self._stream.flush()
