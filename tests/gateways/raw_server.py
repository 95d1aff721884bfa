"""A server below HTTP: each connection is played by a function that gets its socket."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

Play = Callable[[socket.socket], None]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def read_request(connection: socket.socket) -> bytes:
    """The bytes of one request; empty when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


class RawServer:
    """Plays ``plays`` in order, the last one again and again. ``requests`` are what was read."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.plays: list[Play] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = Event()
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def answer(self, *answers: bytes) -> Play:
        """A play that reads a request and answers, for each answer; then it closes."""

        def play(connection: socket.socket) -> None:
            for answer in answers:
                request = read_request(connection)
                if not request:
                    return
                self.requests.append(request)
                connection.sendall(answer)

        return play

    def drip(self, data: bytes, every: float = 0.02) -> Play:
        """A play that answers byte by byte until the test ends."""

        def play(connection: socket.socket) -> None:
            self.requests.append(read_request(connection))
            for byte in data:
                connection.sendall(bytes((byte,)))
                if self.ended.wait(every):
                    return

        return play

    def silence(self, connection: socket.socket) -> None:
        """A play that reads and says nothing until the test ends."""
        self.requests.append(read_request(connection))
        self.ended.wait(30)

    def stop(self) -> None:
        self.ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake accept()
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            play = self.plays[min(self.connections, len(self.plays) - 1)]
            self.connections += 1
            Thread(target=self._play, args=(play, connection), daemon=True).start()

    def _play(self, play: Play, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                play(connection)


@contextmanager
def raw_server(tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Set ``server.plays`` before the first connection."""
    server = RawServer(tls)
    try:
        yield server
    finally:
        server.stop()
