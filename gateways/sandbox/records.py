"""What the sandbox remembers: accounts, payments, refunds, stored answers, events, requests."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar, get_type_hints

Row = TypeVar("Row")


class Clock:
    """The real time plus an offset that only grows; aware, in UTC."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, by: timedelta) -> None:
        """Move ahead. Raises ValueError for a negative step: processors' clocks do not go back."""
        if by < timedelta():
            raise ValueError("The clock only moves forward.")
        self.offset += by


@dataclass(slots=True)
class AccountSettings:
    """How one account behaves. ``POST /_sandbox/accounts`` changes these by name."""

    balance: dict[str, int] | None = None  # minor units by currency; None: more than enough
    settles_nightly: bool = False  # captured payments wait for the cut-off
    cutoff_hour: int = 7  # UTC hour of the nightly cut-off
    refund_age_days: int = 0  # 0: no limit
    refund_before_settlement: bool = False  # a refund of an unsettled payment is accepted
    expanded_credit: bool = False  # Authorize.net ECC: neither original nor sum is checked
    refund_shape: str = "A"  # NMI: A, a transaction of its own; B, an action on the original
    refund_keeps_order_id: bool = True  # NMI: a refund's own order id is stored
    first_page: int = 0  # NMI: what page_number the first page has
    void_shows_success: bool = True  # NMI: a void action says whether it succeeded
    voids_refunds: bool = True  # Authorize.net, NMI: a refund that waits can be voided
    test_mode: bool = False  # Authorize.net, NMI: what the account says of itself
    lookup_lag_seconds: int = 0  # how long lists lack what is new


@dataclass(slots=True)
class SandboxAccount:
    """One merchant account. ``credentials`` have the names of ``manage.py account add``."""

    name: str
    dialect: str
    credentials: dict[str, str]
    currencies: tuple[str, ...]
    settings: AccountSettings = field(default_factory=AccountSettings)

    @property
    def currency(self) -> str:
        """The only currency, where a processor has one per account; else the first."""
        return self.currencies[0]


@dataclass(slots=True)
class LedgerPayment:
    """One payment. Money is minor units by ISO 4217; times are aware UTC.

    ``status``: authorized, captured, settled, voided or failed; a processor that makes no
    difference uses ``settled`` at once and ``captured`` for money that is still on its way.
    ``settled_at`` is the cut-off that put the payment in a batch; voided and failed ones are in
    batches too, so only ``status`` says whether money was taken. ``due_at`` and ``due_status``
    are a change that will come by itself. ``extra`` holds what only one dialect knows.
    """

    id: str
    dialect: str
    account: str
    amount_minor: int
    currency: str
    status: str
    created_at: datetime
    settled_at: datetime | None = None
    modified_at: datetime | None = None
    dispute: str = ""  # "", inquiry, open, chargeback
    method_type: str = "card"  # card, bank, wallet
    brand: str = ""  # visa, mastercard, amex, discover, jcb, …; bank: ach, sepa
    last4: str = ""
    wallet: str = ""  # apple_pay, google_pay, paypal
    payer_name: str | None = None
    payer_email: str | None = None
    order_reference: str = ""
    description: str = ""
    due_at: datetime | None = None
    due_status: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    serial: int = 0  # given by the ledger: the order of arrival


@dataclass(slots=True)
class LedgerRefund:
    """Money that went back. ``status``: pending, requires_action, succeeded, failed, canceled.

    ``operation``: refund or void. ``origin``: api, or dashboard for one made by hand at the
    processor. ``reference`` is what the client called it (metadata, custom id, invoice number,
    order id). ``settled_at`` is the cut-off, where there is one.
    """

    id: str
    payment_id: str
    dialect: str
    account: str
    amount_minor: int
    currency: str
    status: str
    created_at: datetime
    operation: str = "refund"
    origin: str = "api"
    reference: str = ""
    reason: str = ""
    failure_reason: str = ""
    settled_at: datetime | None = None
    modified_at: datetime | None = None
    due_at: datetime | None = None
    due_status: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    serial: int = 0


@dataclass(slots=True)
class StoredAnswer:
    """The first answer to an idempotency key. ``fingerprint`` names the request it belongs to."""

    account: str
    key: str
    fingerprint: str
    at: datetime
    status: int = 0  # 0: still running
    body: str = ""
    record_id: str = ""  # the refund or payment that it is about
    request_id: str = ""  # the id of the first request


@dataclass(slots=True)
class LedgerEvent:
    """One notification as the processor would send it: ``body`` is exactly what was signed."""

    id: str
    dialect: str
    account: str
    type: str
    record_id: str
    at: datetime
    body: str
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    """An address that an account's notifications go to."""

    account: str
    url: str


@dataclass(slots=True)
class ReceivedRequest:
    """One request that reached the sandbox, without secrets, and how it was answered."""

    at: datetime
    dialect: str
    call: str
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int | None  # None: no answer was sent
    fault: str = ""


Movement = LedgerPayment | LedgerRefund


def as_json(row: Any) -> dict[str, Any]:
    """A record as JSON values; times as ISO 8601."""
    return {item.name: _json_value(getattr(row, item.name)) for item in fields(row)}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, AccountSettings):
        return as_json(value)
    return value


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(globals()[name])


def from_json(kind: type[Row], data: dict[str, Any]) -> Row:
    """The record that :func:`as_json` wrote."""
    hints = _hints(kind.__name__)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if hints[name] in (datetime, datetime | None) and value is not None:
            values[name] = datetime.fromisoformat(value)
        elif hints[name] is AccountSettings:
            values[name] = from_json(AccountSettings, value)
        elif hints[name] == tuple[str, ...]:
            values[name] = tuple(value)
        else:
            values[name] = value
    return kind(**values)
