"""Readouts as they come off a stream: what is kept of them, and which image has its last line."""

import xml.etree.ElementTree as ET
from functools import partial
from typing import NamedTuple

import numpy as np

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.acquisitions import Acquisitions, purposes
from mri_d3gm.io.raw.header import Encoding, encoding_of
from mri_d3gm.io.raw.mrd_stream import HEAD, AcquisitionHeader, Readout
from mri_d3gm.io.raw.readouts import COUNTERS

LAST_IN_SLICE, LAST_IN_REPETITION, LAST_IN_MEASUREMENT = (1 << bit for bit in (7, 13, 24))
Key = tuple[int, ...]  # slice, and the counters of COUNTERS


class Group(NamedTuple):
    """The readouts that an image, or a 3-D volume, is made of; those from `own` on are its own, the others stay kept."""

    readouts: list[Readout]
    own: int

    @property
    def size(self) -> int:
        """Bytes that it alone takes."""
        return sum(one.size for one in self.readouts[self.own :])

    def acquisitions(self) -> Acquisitions:
        """As `scan_of_acquisitions` takes them."""
        heads = np.frombuffer(b"".join(bytes(one.head) for one in self.readouts), HEAD)

        def of(name: str, numbers: np.ndarray) -> list[np.ndarray]:
            return [getattr(self.readouts[number], name) for number in numbers]

        return Acquisitions(heads, partial(of, "values"), partial(of, "places"))

    def nearest_to_centre(self, encoding: Encoding) -> Readout:
        """Of the imaging readouts the one that is nearest to the centre of k-space."""
        middles = [
            size // 2 if limits is None else limits[2]
            for size, limits in zip(encoding.encoded.matrix[1:], (encoding.lines, encoding.partitions), strict=True)
        ]
        heads = self.acquisitions().heads
        steps = (heads["idx"][f"kspace_encode_step_{axis}"].astype(int) for axis in (1, 2))
        away = sum(abs(step - middle) for step, middle in zip(steps, middles, strict=True))
        return self.readouts[int(np.where(purposes(heads["flags"])[0], away, 2**20).argmin())]


def usable(root: ET.Element, number: int) -> Encoding:
    """An encoding of a header; InputError where it cannot be used."""
    try:
        return encoding_of(root, number)
    except ValueError as error:
        raise InputError(f"the XML header cannot be used ({error})") from error


class Gathering:
    """Readouts of a scan by the image that they are of.

    Noise and, where they are apart from the image, calibration lines are kept for good; phase corrections until the slice's
    next repetition. Navigators and all that is no data, and other encodings than the first of an image, are left out. size:
    bytes of all that is kept and not taken.
    """

    def __init__(self, root: ET.Element) -> None:
        self.root, self.encoding = root, usable(root, 0)
        self.number: int | None = None
        self.size = 0
        self.noise: list[Readout] = []
        self.calibration: dict[int, list[Readout]] = {}
        self.correction: dict[int, tuple[int, list[Readout]]] = {}
        self.images: dict[Key, list[Readout]] = {}
        self.done: set[Key] = set()
        last = (root.findtext("{*}encoding/{*}encodingLimits/{*}average/{*}maximum") or "").strip()
        self.averages = int(last) if last.isdecimal() and len(last) < 6 else 0

    @property
    def solid(self) -> bool:
        """Whether the header says that the scan is 3-D."""
        limits = self.encoding.partitions
        return self.encoding.encoded.matrix[2] > 1 and (limits is None or limits[1] > limits[0])

    def add(self, one: Readout) -> list[Key]:
        """Take a readout; the images that are complete with it."""
        head, slice_ = one.head, one.head.idx.slice
        imaging, calibration, noise, correction = (bool(kind) for kind in purposes(np.array(head.flags)))
        if noise:
            self.size += one.size
            self.noise.append(one)
            return []
        if not (imaging or calibration or correction):
            return []
        if imaging and self.number is None:
            self.number = head.encoding_space_ref
            self.encoding = usable(self.root, self.number)
        if self.number is not None and head.encoding_space_ref != self.number:
            return []
        self.size += one.size
        key = (slice_, *(getattr(head.idx, name) for name in COUNTERS))
        if correction:
            repetition, held = self.correction.get(slice_, (head.idx.repetition, []))
            if repetition != head.idx.repetition:
                self.size -= sum(each.size for each in held)
                held = []
            held.append(one)
            self.correction[slice_] = head.idx.repetition, held
        elif imaging or self.encoding.embedded:
            self.images.setdefault(key, []).append(one)
        else:
            self.calibration.setdefault(slice_, []).append(one)
            return []
        return self._complete(head, key)

    def _complete(self, head: AcquisitionHeader, key: Key) -> list[Key]:
        if head.flags & LAST_IN_MEASUREMENT:
            return self.rest()[0]
        if head.flags & LAST_IN_REPETITION and head.idx.average >= self.averages:
            return [other for other in self.rest()[0] if other[1] == key[1]]
        ready = head.flags & LAST_IN_SLICE and head.idx.average >= self.averages and not self.solid
        return [key] if ready and key in self.images else []

    def take(self, key: Key) -> Group:
        """An image's readouts, which are not kept any longer, with all that go with them."""
        self.done.add(key)
        kept = [*self.noise, *self.calibration.get(key[0], []), *self.correction.get(key[0], (0, []))[1]]
        group = Group([*kept, *self.images.pop(key)], len(kept))
        self.size -= group.size
        return group

    def rest(self) -> tuple[list[Key], int]:
        """Images that have lines and were not complete, and how many lines came after their image was."""
        late = sum(len(lines) for key, lines in self.images.items() if key in self.done)
        return [key for key in self.images if key not in self.done], late
