"""Connections of clients beside a scanner, several at once: none that goes wrong ends the others."""

import io
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from threading import Lock, Thread
from typing import BinaryIO, NamedTuple

from mri_d3gm.errors import InputError
from mri_d3gm.io.raw.mrd_stream import Incoming, Outgoing
from mri_d3gm.tasks.conversation import Conversation, Say, converse
from mri_d3gm.tasks.serve import Model

LONGEST = 500  # letters of an error that are told
TICK, LINGER, ENDING = 0.2, 2.0, 10.0  # seconds: between looks, that a client has to read the last word, and to end all
GONE = (EOFError, ConnectionError)


class Limits(NamedTuple):
    """How many connections at once, bytes of one message, bytes of readouts held of a connection, and seconds without any."""

    connections: int
    message: int
    held: int
    idle: float


class Arriving(io.RawIOBase):
    """What a socket receives; TimeoutError where nothing comes for `idle` seconds in which nothing is `busy`."""

    def __init__(self, client: socket.socket, idle: float, busy: Callable[[], bool]) -> None:
        self.client, self.idle, self.busy = client, idle, busy

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Wait for some bytes; 0 at the end."""
        since = time.monotonic()
        while True:
            with suppress(TimeoutError):
                return self.client.recv_into(buffer)
            now = time.monotonic()
            since = now if self.busy() else since
            if now - since > self.idle:
                raise TimeoutError


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; port 0 for any that is free. InputError where that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: cannot listen there ({reason}); choose another") from error


class Server:
    """Answers the clients that come to a socket. say: takes a line to log, from any thread."""

    def __init__(self, listener: socket.socket, model: Model, limits: Limits, say: Say) -> None:
        self.listener, self.model, self.limits, self.say = listener, model, limits, say
        self.clients: dict[int, socket.socket] = {}
        self.threads: list[Thread] = []
        self.lock = Lock()
        listener.settimeout(TICK)  # a signal just before it waits would not wake it

    def run(self) -> None:
        """Answer until the listener is closed, by a handler of signals or by `end`."""
        numbers = count(1)
        try:
            while self.listener.fileno() >= 0:
                try:
                    client, peer = self.listener.accept()
                    thread = Thread(target=self._answer, args=(next(numbers), client, f"{peer[0]}:{peer[1]}"), daemon=True)
                    self.threads = [*(one for one in self.threads if one.is_alive()), thread]
                    thread.start()
                except TimeoutError:
                    continue
                except (OSError, RuntimeError) as error:  # closed; too many files, or threads
                    if self.listener.fileno() >= 0:
                        self.say(f"a connection could not be opened: {error}")
                        time.sleep(TICK)
        finally:
            self.end()

    def end(self) -> None:
        """Close all, and wait for what is being computed, for some seconds."""
        with self.lock:
            for each in (self.listener, *self.clients.values()):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        until = time.monotonic() + ENDING
        for thread in filter(Thread.is_alive, self.threads):
            thread.join(max(0.0, until - time.monotonic()))

    def _answer(self, number: int, client: socket.socket, peer: str) -> None:
        """One connection, from its first byte to its last."""

        def say(text: str) -> None:
            self.say(f"connection {number}: {text}")

        with self.lock:
            full = len(self.clients) >= self.limits.connections
            if not full:
                self.clients[number] = client
            if self.listener.fileno() < 0:  # accepted just before the end
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        try:
            with suppress(OSError), client, client.dup() as other:
                client.settimeout(TICK)
                other.settimeout(self.limits.idle)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._talk(client, other, say, peer, full)
                client.shutdown(socket.SHUT_WR)
                drain(client)
        finally:
            with self.lock:
                self.clients.pop(number, None)

    def _talk(self, client: socket.socket, other: socket.socket, say: Say, peer: str, full: bool) -> None:
        say(f"open from {peer}")
        with other.makefile("wb") as out:
            self._converse(client, other, Outgoing(out), say, full)

    def _converse(self, client: socket.socket, other: socket.socket, answers: Outgoing, say: Say, full: bool) -> None:
        """All that is said; other: the socket of the answers."""
        try:
            if full:
                raise InputError(f"{self.limits.connections} connections are open, which is the most; try again later")
            talk = Conversation(answers, self.model, self.limits.held, say)
            arriving = io.BufferedReader(Arriving(client, self.limits.idle, talk.busy))  # type: ignore[type-var]
            converse(Incoming(arriving, self.limits.message), talk)
            say(f"closed, {talk.count} images")
        except GONE as error:
            say(f"the client is gone ({error})")
        except TimeoutError:
            other.settimeout(LINGER)  # who takes nothing is not waited for once more
            refuse(answers, say, f"nothing came, or was taken, for {self.limits.idle:g} s")
        except InputError as error:
            refuse(answers, say, str(error))
        except Exception as error:
            refuse(answers, say, of_its_kind(error))
        answers.close()


def of_its_kind(error: BaseException) -> str:
    """A fault of the software in one line, by its type."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def refuse(answers: Outgoing, say: Say, text: str) -> None:
    """Log why a connection ends, and tell the client if it is there; text may repeat what the client sent, of any length."""
    text = text[:LONGEST]
    say(f"error: {text}")
    with suppress(OSError):
        answers.send(f"ERR {text}")


def drain(client: socket.socket) -> None:
    """Take what still comes: closed before it is read, a connection would lose what was sent last."""
    until = time.monotonic() + LINGER
    while time.monotonic() < until:
        with suppress(TimeoutError):
            if not client.recv(2**16):
                return


def piped(source: BinaryIO, out: BinaryIO, model: Model, limits: Limits, say: Say) -> None:
    """One client through pipes. InputError for what cannot be used, which the stream says too."""
    answers = Outgoing(out)
    try:
        talk = Conversation(answers, model, limits.held, say)
        converse(Incoming(source, limits.message), talk)
        say(f"{talk.count} images")
    except (InputError, EOFError) as error:
        answers.send(f"ERR {error}")
        raise InputError(f"stdin: {error}") from error
    except (Exception, KeyboardInterrupt) as error:
        with suppress(OSError):  # who listens may be interrupted too
            answers.send(f"ERR {'interrupted' if isinstance(error, KeyboardInterrupt) else of_its_kind(error)}")
        raise
    finally:
        with suppress(OSError):
            answers.close()
