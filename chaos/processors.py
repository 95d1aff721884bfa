"""The four processors of the sandbox, in a process of their own, driven over a pipe.

Refund Desk reaches them over sockets as ever. The pipe is for what only chaos does: making time
pass, reading their books, signing a notice that the driver delivers itself.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

from gateways.sandbox.http import Request
from gateways.sandbox.records import LedgerEvent, LedgerPayment, LedgerRefund, ReceivedRequest
from gateways.sandbox.server import SandboxServer
from gateways.sandbox.signatures import Notice, sign

from .ageing import age_ledger

ACCOUNTS = {
    "stripe": "stripe-main",
    "paypal": "paypal-main",
    "authorizenet": "authorizenet-us",
    "nmi": "nmi-main",
}
# Seconds until a list shows a new refund: within what our adapters say they can bear.
LONGEST_LAG = {"stripe": 240, "paypal": 9_000, "authorizenet": 540, "nmi": 840}
KEYED = frozenset({"stripe", "paypal"})


class Refused(Exception):
    """The sandbox would not do what was asked of it; the text says why."""


@dataclass(frozen=True, slots=True)
class Books:
    """What one account's processor knows, oldest first: the truth about the money."""

    payments: list[LedgerPayment]
    refunds: list[LedgerRefund]
    events: list[LedgerEvent]
    requests: list[ReceivedRequest]


class Processors:
    """The running sandbox; ``url`` is its address. Ends with whoever made it."""

    def __init__(self) -> None:
        processes = multiprocessing.get_context("spawn")  # nothing of ours is held open by it
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.url: str = self._pipe.recv()

    def stop(self) -> None:
        self._pipe.close()
        self._process.join()

    def reset(self) -> None:
        """Empty accounts, no faults."""
        self._ask("reset")

    def age(self, by: timedelta) -> None:
        self._ask("age", by)

    def post(self, address: str, **wish: Any) -> dict[str, Any]:
        """Use one of the controls below ``/_sandbox/``. Raises Refused."""
        answer: dict[str, Any] = self._ask("control", "POST", address, wish)
        return answer

    def clear_faults(self) -> None:
        self._ask("control", "DELETE", "faults", {})

    def books(self, account: str) -> Books:
        books: Books = self._ask("books", account)
        return books

    def credentials(self, account: str) -> dict[str, str]:
        known: dict[str, str] = self._ask("credentials", account)
        return known

    def sign(self, event_id: str, forge: str = "") -> Notice:
        """An event as its processor would send it now. Raises Refused."""
        notice: Notice = self._ask("sign", event_id, forge)
        return notice

    def _ask(self, name: str, *values: Any) -> Any:
        self._pipe.send((name, values))
        answer, error = self._pipe.recv()
        if error is not None:
            raise error
        return answer


def _serve(pipe: Connection) -> None:
    """The sandbox process, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with SandboxServer() as server:
        pipe.send(server.url)
        answers = _Answers(server)
        while True:
            try:
                name, values = pipe.recv()
            except EOFError:
                return
            answer: Callable[..., Any] = getattr(answers, name)
            try:
                pipe.send((answer(*values), None))
            except Exception as error:  # noqa: BLE001 - raised again on the other side
                error.add_note(traceback.format_exc())
                pipe.send((None, error))


class _Answers:
    """What can be asked over the pipe, by name."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.ledger = server.ledger

    def reset(self) -> None:
        self.server.reset(seed=1, payments=0)

    def age(self, by: timedelta) -> None:
        age_ledger(self.ledger, by)

    def control(self, method: str, address: str, wish: dict[str, Any]) -> Any:
        body = json.dumps(wish).encode()
        reply = self.server.control.handle(Request(method, f"/_sandbox/{address}", [], {}, body))
        answer = json.loads(reply.body)
        if reply.status >= 400:
            raise Refused(answer["error"])
        return answer

    def books(self, account: str) -> Books:
        with self.ledger.lock:
            self.ledger.advance()
            return Books(
                [row for row in self.ledger.payments.values() if row.account == account],
                [row for row in self.ledger.refunds.values() if row.account == account],
                [event for event in self.ledger.events if event.account == account],
                list(self.ledger.requests),
            )

    def credentials(self, account: str) -> dict[str, str]:
        return dict(self.ledger.accounts[account].credentials)

    def sign(self, event_id: str, forge: str) -> Notice:
        with self.ledger.lock:
            known = [event for event in self.ledger.events if event.id == event_id]
            if not known:
                raise Refused(f"There is no event {event_id}.")
            return sign(known[0], self.ledger, datetime.now(UTC), self.server.url, forge)
