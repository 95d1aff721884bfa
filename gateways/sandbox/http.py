"""What a dialect is given and what it gives back: HTTP without sockets."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from .ledger import Ledger
    from .magic import Magic
    from .records import SandboxAccount


def _go_on() -> None:
    """Most requests are not held up."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server read it.

    ``path`` is without the dialect's prefix (``/v1/refunds``) and still percent-encoded;
    ``query`` is decoded pairs in their order; header names are lower case. ``base_url`` is the
    address the client used, with the dialect's prefix and no slash at the end, for links.

    ``hold`` is where the fault ``slow`` waits. A dialect that knows requests in progress calls it
    after it has claimed the request's identity and before it changes the ledger, without
    holding the ledger's lock; for the others the server holds the answer instead.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes = b""
    base_url: str = ""
    hold: Callable[[], None] = field(default=_go_on, repr=False, compare=False)

    def form(self) -> list[tuple[str, str]]:
        """The body's form fields in their order, empty values kept."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. The server adds ``Content-Length``, ``Date`` and ``Connection``."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON; text stays readable UTF-8."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})})


class Dialect(ABC):
    """One processor's language over the common ledger.

    ``handle`` may be called from many threads: it takes ``ledger.lock`` around all that it reads
    and changes. ``echo`` finds, as its first group, digits in an answer that repeat what was
    asked for; the fault ``wrong_echo`` changes the last of them.
    """

    name: ClassVar[str]  # "stripe", "paypal", "authorizenet", "nmi"
    prefix: ClassVar[str]  # "/stripe", …
    echo: ClassVar[re.Pattern[bytes]]
    magic: ClassVar[tuple[Magic, ...]] = ()  # for the page at /_sandbox/

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @abstractmethod
    def call_name(self, request: Request) -> str:
        """What faults match on, the same words in all dialects.

        ``refund``, ``void``, ``get_payment``, ``list_payments``, ``get_refund``, ``list_refunds``,
        ``check_credentials``; one dialect's own: ``token``, ``details``, ``list_batches``, …;
        ``other`` for an unknown call.
        """

    @abstractmethod
    def handle(self, request: Request) -> Reply:
        """Answer as the processor would. Never raises for a client's mistake."""

    @abstractmethod
    def refusal(self, status: int) -> Reply:
        """How this processor words a 401, 403, 429 or 500 that a fault asks for."""

    @abstractmethod
    def refusal_with(self, code: str) -> Reply | None:
        """The refusal that has this code, for the fault ``refusal``; None: it has no such."""

    def account_changed(self, account: SandboxAccount) -> None:  # noqa: B027
        """Settings or credentials of an account are new: what waited for them may go on."""

    def answer_was_replaced(self, request: Request, reply: Reply) -> None:  # noqa: B027
        """A fault gave ``reply`` (a 500) after the request was processed.

        Processors that store first answers store this one.
        """
