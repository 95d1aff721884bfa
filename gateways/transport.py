"""The only HTTP client: one wall-clock deadline, no redirects, no proxies, no hidden retries.

What it adds to ``http.client`` is certainty. A call either never left this machine
(:class:`~gateways.errors.NotSent`), was answered whole (:class:`Response`, whatever its status), or
its outcome is unknown (:class:`~gateways.errors.OutcomeUnknown`). Each try leaves an
:class:`~gateways.base.Exchange` behind, scrubbed of secrets, that may be shown to staff.
"""

from __future__ import annotations

import http.client
import ipaddress
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from . import calls, clocks, failpoints
from .base import Exchange
from .connection import Connection, Deadline, connect
from .errors import Misconfigured, NotSent, OutcomeUnknown
from .scrubbing import Scrubber

USER_AGENT = "refund-desk"
MAX_EXCHANGES_KEPT = 100  # a long sync must not grow; a money call makes three at most

# Shown in the evidence. An allow-list, because the next header with a secret is not known yet.
_SHOWN_HEADERS = (
    "content-type",
    "idempotency-key",
    "idempotent-replayed",
    "paypal-request-id",
    "prefer",
    "retry-after",
    "stripe-version",
)
_REQUEST_ID_HEADERS = ("request-id", "paypal-debug-id", "x-request-id")
_OURS_TO_SET = {"accept-encoding", "connection", "content-length", "host", "transfer-encoding"}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_UNSAFE_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_IN_URL = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower case; the body is as it came, never decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    exchange: Exchange


class Transport:
    """Sends requests for one account. Not shared between threads.

    ``exchanges`` is what was sent since :meth:`take_exchanges`; every error carries it. ``guard``
    runs before each call, so that a caller can forbid calls, say inside a database transaction.
    Seconds are wall-clock: ``total_seconds`` spans resolving, connecting, TLS, sending and reading
    to the last byte, ``connect_seconds`` the part before the request may leave. ``account`` is its
    name in the log, ``processor`` the one in what is measured. ``near_hosts`` may have addresses
    that are not public; this machine may, too.
    """

    def __init__(
        self,
        *,
        secrets: Collection[str] = (),
        total_seconds: float = 25,
        connect_seconds: float = 3,
        max_bytes: int = 1_000_000,
        guard: Callable[[], None] | None = None,
        account: str = "",
        processor: str = "",
        near_hosts: Collection[str] = (),
    ) -> None:
        self.exchanges: list[Exchange] = []
        self._scrubber = Scrubber(secrets)
        self._total_seconds = total_seconds
        self._connect_seconds = connect_seconds
        self._max_bytes = max_bytes
        self._guard = guard
        self._account = account
        self._processor = processor
        self._near_hosts = near_hosts
        self._shared_deadline: Deadline | None = None
        self._not_after = math.inf
        self._kept: tuple[str, Connection] | None = None

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes = b"",
        reuse_connection: bool = False,
        max_bytes: int | None = None,
    ) -> Response:
        """Send one request and read the whole answer, whatever its status.

        ``reuse_connection`` marks what changes nothing, a read or a login: it may travel over a
        kept connection, and once more over a new one if the kept one turns out to be dead. Without
        it the request may move money: the connection is always new, so that nothing is ever sent
        twice, and the failpoints of :mod:`~gateways.failpoints` lie on its way.

        Raises:
            NotSent: ``unreachable`` (name, connection, TLS), ``refused_locally`` (not a request) or
                ``too_late`` (see :meth:`one_deadline`).
            OutcomeUnknown: anything that went wrong once the first byte may have left.
            Misconfigured: not an http or https address, or plain http to another machine.
        """
        if self._guard is not None:
            self._guard()
        request = _Request(method, url, headers, body, keep_alive=reuse_connection)
        origin = request.check_address()
        limit = self._max_bytes if max_bytes is None else max_bytes
        deadline = self._shared_deadline or Deadline(self._total_seconds)
        kept = self._take_kept(origin) if reuse_connection else None
        if kept is not None:
            try:
                return self._exchange(request, kept, deadline, limit)
            except _ConnectionWasDead:
                pass  # a read: asking again over a new connection changes nothing
        return self._exchange(request, None, deadline, limit)

    @contextmanager
    def one_deadline(
        self, *, not_after: float = math.inf, seconds: float = math.inf
    ) -> Iterator[None]:
        """Let all calls inside share one ``total_seconds``, or fewer, for a worker with a lease.

        ``not_after`` is the moment of ``time.monotonic()`` when the lease no longer allows to
        send: what may move money is then refused just before its first byte, however long the
        process slept on the way there. Inside another block the outer limits stand.
        """
        outer = self._shared_deadline, self._not_after
        own = Deadline(min(self._total_seconds, seconds))
        self._shared_deadline = self._shared_deadline or own
        self._not_after = min(self._not_after, not_after)
        try:
            yield
        finally:
            self._shared_deadline, self._not_after = outer

    def take_exchanges(self) -> tuple[Exchange, ...]:
        """Return what was sent since the last call of this, and forget it."""
        taken = tuple(self.exchanges)
        self.exchanges.clear()
        return taken

    def protect(self, secret: str) -> None:
        """Scrub one more secret from all evidence to come, such as an access token just fetched."""
        self._scrubber.add(secret)

    def close(self) -> None:
        """Close the kept connection, if there is one."""
        if self._kept is not None:
            self._kept[1].sock.close()
            self._kept = None

    def _take_kept(self, origin: str) -> Connection | None:
        if self._kept is None or self._kept[0] != origin:
            self.close()
            return None
        connection = self._kept[1]
        self._kept = None
        return connection

    def _exchange(
        self, request: _Request, kept: Connection | None, deadline: Deadline, limit: int
    ) -> Response:
        log = _Log(request)
        connection = kept
        try:
            data = request.serialise()
            if connection is None:
                request.reach("before-connect")
                is_near = request.is_near(self._near_hosts)
                connection = request.connect(deadline, self._connect_seconds, is_near=is_near)
            connection.deadline = deadline
            connection.sock.settimeout(deadline.left())
            if not request.keep_alive and time.monotonic() >= self._not_after:
                raise _TooLate("the time to send it was over")
        except (OSError, ValueError) as error:
            if connection is not None:
                connection.sock.close()
            raise self._not_sent(log, error) from error
        try:
            connection.sock.sendall(data)
            request.reach("after-send")
            answer = _read(connection, log, limit)
            request.reach("after-response")
        except Exception as error:  # whatever it is: the request may have left
            connection.sock.close()
            raise self._unknown(log, connection, error, was_kept=kept is not None) from error
        self._keep_or_close(request, connection, answer)
        clocks.compare(self._account, request.host, log.headers.get("date", ""), log.at)
        return Response(answer.status, log.headers, log.body, self._record(log))

    def _keep_or_close(
        self, request: _Request, connection: Connection, answer: http.client.HTTPResponse
    ) -> None:
        if request.keep_alive and not answer.will_close:
            connection.received.clear()
            self._kept = (request.origin, connection)
        else:
            connection.sock.close()

    def _not_sent(self, log: _Log, error: Exception) -> NotSent:
        log.error = self._scrubber.scrub(_describe(error))
        self._record(log)
        host = log.request.host
        match error:
            case _TooLate():
                reason, what = "too_late", f"{host} was not asked"
            case OSError():
                reason, what = "unreachable", f"{host} could not be reached"
            case _:
                reason, what = "refused_locally", "The request could not be built"
        return NotSent(
            f"{what}: {log.error}. Nothing was sent.", reason=reason, exchanges=self.exchanges
        )

    def _unknown(
        self, log: _Log, connection: Connection, error: Exception, *, was_kept: bool
    ) -> OutcomeUnknown:
        was_dead = was_kept and isinstance(error, ConnectionError) and not connection.received
        log.error = self._scrubber.scrub(_describe(error))
        log.body = bytes(connection.received)
        self._record(log)
        kind = _ConnectionWasDead if was_dead else OutcomeUnknown
        so = "" if log.request.keep_alive else " What was asked may have been done."
        said = f"{log.request.host} gave no whole answer: {log.error}.{so}"
        return kind(said, exchanges=self.exchanges)

    def _record(self, log: _Log) -> Exchange:
        excerpt = self._scrubber.excerpt
        shown = f"{log.request.method} {log.request.target}\n{_shown(log.request.headers)}\n"
        exchange = Exchange(
            at=log.at,
            method=log.request.method,
            url=excerpt(log.request.url.encode()),
            request=excerpt(shown.encode() + log.request.body),
            status=log.status,
            response=excerpt(_shown(log.headers).encode() + b"\n" + log.body),
            request_id=_request_id(log.headers),
            error=log.error,
            milliseconds=round((time.monotonic() - log.started) * 1000),
        )
        del self.exchanges[: -(MAX_EXCHANGES_KEPT - 1)]
        self.exchanges.append(exchange)
        calls.note(
            self._processor,
            self._account,
            log.request.host,
            exchange,
            may_move_money=not log.request.keep_alive,
        )
        return exchange


class _TooLate(OSError):
    """The caller's right to send ended while the request was on its way to the first byte."""


class _ConnectionWasDead(OutcomeUnknown):
    """The processor had closed the kept connection before this request."""


class _Request:
    """What is asked, and how it looks on the wire."""

    def __init__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, keep_alive: bool
    ) -> None:
        self.method = method
        self.url = url
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        self.keep_alive = keep_alive
        try:
            self.parts = urlsplit(url)
            self.port = self.parts.port or (443 if self.parts.scheme == "https" else 80)
        except ValueError as error:
            raise Misconfigured(f"The processor's address is not one: {error}.") from error
        self.host = self.parts.hostname or ""
        self.origin = f"{self.parts.scheme}://{self.parts.netloc}"
        query = f"?{self.parts.query}" if self.parts.query else ""
        self.target = (self.parts.path or "/") + query

    def check_address(self) -> str:
        """Return the origin. Raises Misconfigured where we do not send to such an address."""
        if self.parts.scheme not in {"http", "https"} or not self.host:
            raise Misconfigured("The processor's address must begin with https:// and name a host.")
        if self.parts.username is not None or self.parts.password is not None:
            raise Misconfigured("The processor's address must not hold a user name or password.")
        if self.parts.scheme == "http" and not _is_loopback(self.host):
            raise Misconfigured(
                f"{self.host} must be reached over https; http is for this machine only."
            )
        return self.origin

    def reach(self, failpoint: str) -> None:
        """Pass a failpoint, where the request may move money: the others are not worth dying at."""
        if not self.keep_alive:
            failpoints.reach(failpoint)

    def is_near(self, hosts: Collection[str]) -> bool:
        """Whether its host is this machine, or one of those that may lie in a private network."""
        return self.host in hosts or _is_loopback(self.host)

    def connect(self, deadline: Deadline, seconds: float, *, is_near: bool) -> Connection:
        tls = self.parts.scheme == "https"
        return connect(
            self.host, self.port, tls=tls, is_near=is_near, deadline=deadline, seconds=seconds
        )

    def serialise(self) -> bytes:
        """The bytes to send. Raises ValueError for anything that could smuggle another request."""
        if _UNSAFE_IN_URL.search(self.url):
            raise ValueError("the address holds a space or a character that is not ASCII")
        headers = {
            "host": self.parts.netloc,
            "user-agent": USER_AGENT,
            **{name: value for name, value in self.headers.items() if name not in _OURS_TO_SET},
            "accept-encoding": "identity",  # a compressed answer could hide its size
            "connection": "keep-alive" if self.keep_alive else "close",
        }
        if self.body or self.method == "POST":
            headers["content-length"] = str(len(self.body))
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or _UNSAFE_IN_VALUE.search(value):
                raise ValueError(f"the header {name!r} holds a character that headers cannot")
            lines.append(f"{name.title()}: {value}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class _Log:
    """One try as it unfolds; becomes an Exchange."""

    def __init__(self, request: _Request) -> None:
        self.request = request
        self.at = datetime.now(UTC)
        self.started = time.monotonic()
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.error = ""


def retry_after(headers: Mapping[str, str]) -> int | None:
    """The seconds that the processor asked us to wait; None where it gave a date or nothing."""
    text = headers.get("retry-after", "")
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) else None


def _read(connection: Connection, log: _Log, limit: int) -> http.client.HTTPResponse:
    """Read one whole answer into the log, or raise OSError or HTTPException."""
    # HTTPResponse uses nothing of a socket but makefile().
    answer = http.client.HTTPResponse(cast("socket.socket", connection), method=log.request.method)
    answer.begin()
    log.status = answer.status
    log.headers = {name.lower(): value for name, value in answer.getheaders()}
    if log.headers.get("content-encoding", "identity").lower() != "identity":
        raise http.client.HTTPException("the answer is compressed, which was not asked for")
    body = answer.read(limit + 1)
    if len(body) > limit:
        raise http.client.HTTPException(f"the answer is larger than {limit} bytes")
    if answer.length:  # read(n) passes over an early end
        raise http.client.IncompleteRead(body, answer.length)
    log.body = body
    return answer


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _describe(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not valid ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or error})"
        case http.client.IncompleteRead():
            return f"the answer broke off after {len(error.partial)} bytes"
        case http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case http.client.BadStatusLine():
            return "the answer is not HTTP"
        case ConnectionRefusedError():
            return "the connection was refused"
        case ConnectionError():
            return "the connection broke"
        case _:
            return str(error) or type(error).__name__


def _shown(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {headers[name]}\n" for name in _SHOWN_HEADERS if name in headers)


def _request_id(headers: Mapping[str, str]) -> str:
    return next((headers[name][:255] for name in _REQUEST_ID_HEADERS if name in headers), "")
