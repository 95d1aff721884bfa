"""The server: sockets, faults and the request log around the four dialects."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from .authorizenet import AuthorizeNetDialect
from .control import Control
from .faults import Fault, FaultError, Faults, spoil
from .http import Dialect, Reply, Request, json_reply
from .ledger import Clock, Ledger, ReceivedRequest
from .nmi import NmiDialect
from .paypal import PayPalDialect
from .scrub import scrubbed
from .seed import fill
from .state import StateFile, StateFileError
from .stripe import StripeDialect
from .webhooks import Notifier

DIALECTS: tuple[type[Dialect], ...] = (
    StripeDialect,
    PayPalDialect,
    AuthorizeNetDialect,
    NmiDialect,
)
MAX_BODY = 1_000_000
_LOGGED_HEADERS = (
    "content-type",
    "idempotency-key",
    "paypal-request-id",
    "prefer",
    "stripe-version",
    "user-agent",
)
_KEPT_OF_A_BODY = 4_000


class _Handler(BaseHTTPRequestHandler):
    """One connection. Its faults are real: resets, silences and half answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # with Nagle an answer waits 40 ms for the client's ACK
    timeout = 120
    server: _Sockets

    def handle_one_request(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle_one_request()
            return
        self.close_connection = True

    def route(self) -> None:
        """Read one request, find who answers it, and answer."""
        body = self._read_body()
        if body is None:
            return
        sandbox = self.server.sandbox
        url = urlsplit(self.path)
        address = f"http://{self.headers.get('Host') or self.server.address}"
        dialect = sandbox.dialect_at(url.path)
        prefix = dialect.prefix if dialect else ""
        request = Request(
            method=self.command,
            path=url.path[len(prefix) :] or "/",
            query=parse_qsl(url.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            base_url=address + prefix,
        )
        if dialect is None:
            self._send(sandbox.control.handle(request))
        else:
            self._converse(sandbox, dialect, request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = route  # noqa: N815

    def _converse(self, sandbox: SandboxServer, dialect: Dialect, request: Request) -> None:
        call = dialect.call_name(request)
        fault = sandbox.faults.take(dialect.name, call, lambda: self.path.encode() + request.body)
        received = _received(sandbox, dialect, call, request, fault)
        sandbox.ledger.requests.append(received)
        reply = sandbox.perform(dialect, request, fault)
        received.status = reply.status
        if fault is None or not self._break_wire(sandbox, fault, received, reply):
            self._send(reply)

    def _break_wire(
        self, sandbox: SandboxServer, fault: Fault, received: ReceivedRequest, reply: Reply
    ) -> bool:
        """Do what the fault does to the connection; True when nothing is left to send."""
        match fault.what:
            case "reset" | "silence":
                received.status = None
                if fault.what == "silence":
                    sandbox.faults.wait(fault.seconds)
                self._reset()
            case "truncated":
                head, body = self._head(reply), reply.body
                self.connection.sendall(head + body[: len(body) // 2])
                self.close_connection = True
            case "drip":
                self.close_connection = True
                for byte in self._head(reply) + reply.body:
                    self.connection.sendall(bytes((byte,)))
                    if sandbox.stopping.wait(fault.seconds):
                        break
            case _:
                return False
        return True

    def _read_body(self) -> bytes | None:
        """The request's body; None when it was refused and answered."""
        length = self.headers.get("Content-Length") or "0"
        status, sentence = None, ""
        if self.headers.get("Transfer-Encoding"):
            status, sentence = HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length, not chunks."
        elif not length.isascii() or not length.isdigit():
            status, sentence = HTTPStatus.BAD_REQUEST, "Content-Length is not a number."
        elif int(length) > MAX_BODY:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            sentence = f"A body has at most {MAX_BODY} bytes."
        if status is None:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            raise ConnectionError  # the client went away in the middle: it asked for nothing
        self.close_connection = True
        self._send(json_reply({"error": sentence}, status))
        return None

    def _send(self, reply: Reply) -> None:
        self.connection.sendall(self._head(reply) + reply.body)

    def _head(self, reply: Reply) -> bytes:
        phrase = HTTPStatus(reply.status).phrase
        lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items() if value]
        if reply.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(reply.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _reset(self) -> None:
        """Close with a reset instead of a goodbye."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """The ledger keeps the requests; the terminal stays quiet."""


class _Sockets(ThreadingHTTPServer):
    """The listening socket, one thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self.open: set[socket.socket] = set()
        super().__init__(address, _Handler)
        self.address = f"{self.server_address[0]!s}:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Bind without asking the name service for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        """Take no more connections and end the open ones."""
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _received(
    sandbox: SandboxServer, dialect: Dialect, call: str, request: Request, fault: Fault | None
) -> ReceivedRequest:
    query = "&".join(f"{name}={value}" for name, value in request.query)
    path = dialect.prefix + request.path + ("?" + query if query else "")
    body = request.body[:_KEPT_OF_A_BODY].decode("utf-8", "replace")
    return ReceivedRequest(
        at=sandbox.clock.now(),
        dialect=dialect.name,
        call=call,
        method=request.method,
        path=scrubbed(path),
        headers={
            name: request.headers[name] for name in _LOGGED_HEADERS if name in request.headers
        },
        body=scrubbed(body),
        status=None,
        fault=f"{fault.what} {fault.when}" if fault else "",
    )


class SandboxServer:
    """Four processors at ``url``, with control at ``url + "/_sandbox/"``.

    ``port`` 0 takes a free one. ``payments`` is how many the demo set has, made from ``seed``;
    0 leaves the accounts empty. ``state`` is a file that keeps everything between runs.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 1,
        payments: int = 0,
        state: Path | None = None,
    ) -> None:
        self.seed, self.payments = seed, payments
        self.ledger = Ledger(seed=seed)
        self.faults = Faults()
        self.stopping = Event()
        self._sockets = _Sockets((host, port), self)  # first: who has the port has the state
        # Who listens everywhere is reached here; plain http goes no farther anyway.
        self.url = f"http://{self._sockets.address}".replace("//0.0.0.0:", "//127.0.0.1:")
        self.state = StateFile(state, self.ledger) if state else None
        try:
            self._fill()
        except StateFileError:
            self._sockets.server_close()
            raise
        self.dialects: list[Dialect] = [dialect(self.ledger) for dialect in DIALECTS]
        self.notifier = Notifier(self.ledger, self.url)
        self.control = Control(self)
        self._threads = [
            Thread(target=self._sockets.serve_forever, args=(0.05,), name="sandbox", daemon=True),
            Thread(target=self._keep_time, name="sandbox-clock", daemon=True),
        ]

    def _fill(self) -> None:
        """Continue from the state file, or begin with the demo set."""
        if not (self.state and self.state.load()):
            fill(self.ledger, self.payments)
        if self.state:
            self.state.start()

    @property
    def clock(self) -> Clock:
        return self.ledger.clock

    def start(self) -> Self:
        """Serve in threads of their own; returns at once, ready."""
        for thread in self._threads:
            thread.start()
        self.notifier.start()
        return self

    def stop(self) -> None:
        """End every connection, silent ones too, and write the state."""
        self.stopping.set()
        self.faults.clear()
        self._sockets.stop()
        self.notifier.stop()
        for thread in self._threads:
            thread.join()
        if self.state:
            self.state.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reset(self, *, seed: int, payments: int) -> None:
        """Begin anew, now, with a fresh demo set; faults, stored answers and the rest are gone."""
        self.faults.clear()
        self.notifier.forget()
        with self.ledger.lock:
            self.ledger.clock.offset = timedelta()
            self.ledger.clear(seed)
            fill(self.ledger, payments)
            if self.state:
                self.state.start()

    def arm(self, wish: Mapping[str, Any]) -> Fault:
        """Arm a fault. Raises FaultError, also when the dialect knows no such refusal."""
        names = {dialect.name: dialect for dialect in self.dialects}
        if wish.get("dialect") and wish["dialect"] not in (*names, "*"):
            raise FaultError(f"`dialect` is one of {', '.join(names)}.")
        if wish.get("what") == "refusal":
            dialect = names.get(wish.get("dialect", ""))
            if not dialect or not dialect.refusal_with(str(wish.get("code", ""))):
                raise FaultError("A refusal needs a `dialect`, and a `code` that it knows.")
        return self.faults.arm(wish)

    def dialect_at(self, path: str) -> Dialect | None:
        """Whose address this is."""
        for dialect in self.dialects:
            if path.startswith(dialect.prefix + "/"):
                return dialect
        return None

    def perform(self, dialect: Dialect, request: Request, fault: Fault | None) -> Reply:
        """The dialect's answer, or what a fault makes of it."""
        self.ledger.advance()
        if fault is None:
            return dialect.handle(request)
        if fault.what == "slow" and fault.when == "before":
            return self._answer_slowly(dialect, request, fault)
        if fault.when == "before":
            return spoil(fault, dialect, replace(dialect.refusal(500), status=200))
        reply = spoil(fault, dialect, dialect.handle(request))
        if fault.what == "500":
            dialect.answer_was_replaced(request, reply)
        if fault.what == "slow":
            self.faults.wait(fault.seconds)
        return reply

    def _answer_slowly(self, dialect: Dialect, request: Request, fault: Fault) -> Reply:
        waited = Event()

        def hold() -> None:
            waited.set()
            self.faults.wait(fault.seconds)

        reply = dialect.handle(replace(request, hold=hold))
        if not waited.is_set():
            hold()
        return reply

    def _keep_time(self) -> None:
        while not self.stopping.wait(0.5):
            self.ledger.advance()
