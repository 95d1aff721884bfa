"""A connection under one deadline, made in a step of its own.

Whoever can tell "never connected" from "connected, then silence" knows when nothing was sent.
"""

from __future__ import annotations

import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_RAW_KEPT = 8192  # of an answer, as evidence where it turns out broken


class Deadline:
    """A moment after which nothing may go on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than zero. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no end after {self._seconds:g} seconds")
        return left

    def sooner(self, seconds: float) -> Deadline:
        """A deadline this many seconds from now, or this one where it comes first."""
        return Deadline(min(seconds, self.left()))


class Connection:
    """A connected socket, as far as reading an answer under one deadline needs it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline
        self.received = bytearray()  # the beginning of the answer, raw

    def receive_into(self, buffer: WriteableBuffer) -> int:
        # A socket's own timeout counts per read: a slow drip would stretch it without end.
        self.sock.settimeout(self.deadline.left())
        count = self.sock.recv_into(buffer)
        room = MAX_RAW_KEPT - len(self.received)
        self.received += memoryview(buffer)[: max(0, min(count, room))]
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What ``http.client.HTTPResponse`` asks of a socket; closing it leaves the socket open."""
        return io.BufferedReader(_Reader(self))


class _Reader(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._connection.receive_into(buffer)


def connect(
    host: str, port: int, *, tls: bool, is_near: bool, deadline: Deadline, seconds: float
) -> Connection:
    """Resolve, connect and shake hands within ``seconds``.

    Only a host that ``is_near`` may be on this machine or in a private network: a public name that
    leads there was not meant, whoever has made it do so.

    Raises:
        OSError: for whatever went wrong; certainly nothing but the handshake was sent.
    """
    until = deadline.sooner(seconds)
    failure: OSError = socket.gaierror("the name has no address")
    for address in _resolve(host, port, until):
        if not (is_near or _is_public(address[0])):
            failure = OSError(f"the name leads to {address[0]}, which is no public address")
            continue
        try:
            sock = socket.create_connection(address, timeout=until.left())
            break
        except OSError as error:
            failure = error
    else:
        raise failure
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            sock.settimeout(until.left())
            sock = _tls_context().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    return Connection(sock, deadline)


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address)
    inside = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (inside or found).is_global


def _resolve(host: str, port: int, until: Deadline) -> list[tuple[str, int]]:
    """Look the name up in a thread of its own, because the system's resolver has no timeout."""
    answers: queue.SimpleQueue[list[tuple[str, int]] | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(str(address[0]), port) for *_, address in found])
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=until.left())
    except queue.Empty:
        raise TimeoutError("its name could not be looked up in time") from None
    if isinstance(answer, list):
        return answer
    raise socket.gaierror(f"its name could not be looked up ({answer})") from answer


@cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
