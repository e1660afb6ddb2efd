"""A client beside a scanner: its messages in, and images out, each as soon as its last line is there."""

import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread

import numpy as np
from ismrmrd import Image

from mri_d3gm.errors import InputError, memory_said
from mri_d3gm.io.image import reading
from mri_d3gm.io.open_scan import guarded
from mri_d3gm.io.raw.acquisitions import scan_of_acquisitions
from mri_d3gm.io.raw.gathering import Gathering, Group, Key
from mri_d3gm.io.raw.header import parse_xml
from mri_d3gm.io.raw.mrd_stream import Incoming, Outgoing, Readout
from mri_d3gm.io.raw.readouts import COUNTERS
from mri_d3gm.io.scan import Scan
from mri_d3gm.tasks.serve import Model, Pictures, slices_of, wanted

Say = Callable[[str], None]


class Conversation:
    """What came of a client, and a thread that reconstructs and sends what is complete, in that order.

    most: bytes of readouts that are held; say: takes a line to log. count: images that were sent, of the first series.
    """

    def __init__(self, answers: Outgoing, model: Model, most: int, say: Say) -> None:
        self.answers, self.model, self.most, self.say = answers, model, most, say
        self.wanted, self.pictures = wanted("", model)[0], Pictures()
        self.gathering: Gathering | None = None
        self.heard: np.ndarray | None = None
        self.told: set[str] = set()
        self.given, self.waiting, self.count, self.change = 0, 0, 0, Condition()  # bytes and groups that the thread has
        self.queue = SimpleQueue[tuple[Key, Group, float] | None]()
        self.error: BaseException | None = None
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def busy(self) -> bool:
        """Whether images are being made. Raises what has ended the thread's work."""
        if self.error is not None:
            raise self.error
        return self.waiting > 0

    def configure(self, text: str) -> None:
        """Take a configuration."""
        self.wanted, said = wanted(text, self.model)
        settings = self.wanted.settings
        self.say(f"{settings.method}, steps {settings.steps}, samples {settings.samples}, trust {settings.trust}")
        if said:
            self.tell(said)

    def begin(self, xml: bytes) -> None:
        """Take the header of the scan."""
        if self.gathering is not None:
            raise InputError("a second header came; each scan needs a connection of its own")
        try:
            self.gathering = Gathering(parse_xml(xml))
        except ValueError as error:
            raise InputError(f"the XML header cannot be used ({error})") from error

    def take(self, one: Readout) -> None:
        """Take a readout, and give the images that are complete with it to the thread; waits while that has too much to do."""
        if self.gathering is None:
            raise InputError("readouts came before the header")
        room = self.most - self.gathering.size - one.size
        with self.change:
            self.change.wait_for(lambda: self.given <= room or not self.waiting)
            if self.given > room:
                raise InputError(f"more than {self.most} bytes came of images that are not complete")
        self._give(self.gathering.add(one))

    def finish(self, *, whole: bool) -> None:
        """Wait for the thread. Raises what ended its work.

        whole: the client has sent all that it wanted, so that what came without its last line is an image too.
        """
        if whole and self.gathering is not None and self.error is None:
            keys, late = self.gathering.rest()
            if late:
                self.tell(f"warning: {late} readouts came after their image was complete and are not used")
            if not keys and not self.gathering.done:
                self.tell("no imaging readouts came: nothing is reconstructed")
            self._give(keys)
        self.queue.put(None)
        self.thread.join()
        self.busy()

    def tell(self, text: str) -> None:
        """Say it to the client, and log it."""
        self.say(text)
        self.answers.send(text)

    def _give(self, keys: list[Key]) -> None:
        for key in keys:
            assert self.gathering is not None
            group = self.gathering.take(key)
            with self.change:
                self.given, self.waiting = self.given + group.size, self.waiting + 1
            self.queue.put((key, group, time.monotonic()))

    def _work(self) -> None:
        while (item := self.queue.get()) is not None:
            key, group, since = item
            try:
                if self.error is None:
                    self._answer(key, group, since)
            except Exception as error:
                self.error = self.error or error
            with self.change:
                self.given, self.waiting = self.given - group.size, self.waiting - 1
                self.change.notify()

    def _answer(self, key: Key, group: Group, since: float) -> None:
        scan, images = self._made(f"slice {key[0]}", group)
        for warning in scan.warnings:
            if warning not in self.told:
                self.told.add(warning)
                self.tell(f"warning: {warning}")
        for image in images:
            self.answers.send(image)
        self.count += 1
        others = "".join(f", {name} {number}" for name, number in zip(COUNTERS, key[1:], strict=True) if number)
        self.say(f"slice {key[0]}{others}: sent {time.monotonic() - since:.2f} s after its last line")

    def _made(self, name: str, group: Group) -> tuple[Scan, list[Image]]:
        """The scan of an image's readouts, and its images."""
        assert self.gathering is not None
        settings = self.wanted.settings
        with reading(name, "cannot be reconstructed"):
            held = group.acquisitions()
            scan = scan_of_acquisitions(Path(name), self.gathering.root, held, settings.reading(), heard=self.heard)
            head = group.nearest_to_centre(self.gathering.encoding).head
        used = heard_of(scan)
        self.heard = used if self.heard is None or len(used) != len(self.heard) else used | self.heard
        with memory_said(name):
            slices = slices_of(guarded(scan), settings, self.model)
        return scan, self.pictures.of(scan, slices, head, self.wanted)


def heard_of(scan: Scan) -> np.ndarray:
    """Which of the coils that came hold signal, (coils,) bool."""
    return np.ones(scan.coils, bool) if scan.coil_matrix is None else np.abs(scan.coil_matrix).sum(0) > 0


def converse(incoming: Incoming, conversation: Conversation) -> None:
    """All messages of a client, and its images; those that are complete are sent even where the rest cannot be used.

    InputError for what cannot be used, EOFError for a stream that ends inside of a message.
    """
    whole = False
    try:
        for message in incoming.messages():
            conversation.busy()
            if isinstance(message, Readout):
                conversation.take(message)
            elif isinstance(message, bytes):
                conversation.begin(message)
            elif type(message) is not str:
                conversation.configure(message)
        whole = True
        if not incoming.closed:
            conversation.say("the stream ended without a close")
    except KeyboardInterrupt as interrupt:
        conversation.error = interrupt
    finally:
        conversation.finish(whole=whole)
