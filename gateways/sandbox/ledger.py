"""The one truth behind all dialects: who paid what, and what went back.

Everything is guarded by one lock. A dialect takes ``ledger.lock``, reads, and changes rows only
through the methods here, so that the indexes, the state file and the webhooks follow.
"""

from __future__ import annotations

import heapq
import random
import string
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from threading import RLock
from typing import Any, Literal

from .records import (
    AccountSettings,
    Clock,
    LedgerEvent,
    LedgerPayment,
    LedgerRefund,
    Movement,
    ReceivedRequest,
    SandboxAccount,
    StoredAnswer,
    Subscription,
)
from .timeline import Timeline

__all__ = [
    "AccountSettings",
    "Clock",
    "ExceedsRefundableError",
    "Ledger",
    "LedgerEvent",
    "LedgerPayment",
    "LedgerRefund",
    "Movement",
    "NotVoidableError",
    "ReceivedRequest",
    "SandboxAccount",
    "StoredAnswer",
    "Timeline",
]

KEPT_REQUESTS = 5_000
KEPT_EVENTS = 20_000

# What a record is sorted by. "unsettled" holds what no cut-off has put in a batch yet.
Order = Literal["created", "modified", "settled", "unsettled"]
_MOMENTS: dict[Order, Callable[[Any], datetime | None]] = {
    "created": lambda entry: entry.created_at,
    "modified": lambda entry: entry.modified_at,
    "settled": lambda entry: entry.settled_at,
    "unsettled": lambda entry: None if entry.settled_at else entry.created_at,
}
Kind = Literal["payments", "refunds", "all"]

_GIVEN_BACK = ("pending", "requires_action", "succeeded")
_REFUNDABLE = ("captured", "settled")
_VOIDABLE = ("authorized", "captured")


class ExceedsRefundableError(Exception):
    """More was asked for than is left. ``refundable_minor`` is what is left."""

    def __init__(self, refundable_minor: int) -> None:
        super().__init__(f"only {refundable_minor} minor units are left")
        self.refundable_minor = refundable_minor


class NotVoidableError(Exception):
    """The payment has settled, is already voided, or was never good."""


class Ledger:
    """All accounts and movements.

    ``listeners`` are told ``(kind, movement)`` of each change, under the lock. Kinds:
    ``payment.created``, ``payment.settled``, ``payment.failed``, ``payment.voided``,
    ``payment.disputed``, ``payment.updated``, ``refund.created``, ``refund.succeeded``,
    ``refund.failed``, ``refund.canceled``, ``refund.updated``. ``journal`` is told of every row
    that was written.
    """

    def __init__(self, *, seed: int = 1, clock: Clock | None = None) -> None:
        self.lock = RLock()
        self.clock = clock or Clock()
        self.listeners: list[Callable[[str, Movement], None]] = []
        self.journal: Callable[[Any], None] = lambda _row: None
        self.clear(seed)

    def clear(self, seed: int) -> None:
        """Forget every row; the clock and those who listen stay."""
        self.seed = seed
        self.random = random.Random(seed)
        self.accounts: dict[str, SandboxAccount] = {}
        self.payments: dict[str, LedgerPayment] = {}
        self.refunds: dict[str, LedgerRefund] = {}
        self.answers: dict[tuple[str, str], StoredAnswer] = {}
        self.events: deque[LedgerEvent] = deque(maxlen=KEPT_EVENTS)
        self.requests: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.subscriptions: list[Subscription] = []
        self._refunds_of: dict[str, list[LedgerRefund]] = defaultdict(list)
        self._called: dict[tuple[str, str], list[LedgerRefund]] = defaultdict(list)
        self._timelines: dict[tuple[str, Kind, Order], Timeline[Any]] = {}
        self._due: list[tuple[datetime, int, str]] = []
        self._serial = 0
        self._settled_until: dict[str, datetime] = {}

    # Who and what there is

    def add_account(self, account: SandboxAccount) -> None:
        with self.lock:
            self.accounts[account.name] = account
            self.journal(account)

    def account_with(self, dialect: str, **credentials: str) -> SandboxAccount | None:
        """The dialect's account that has exactly these credentials, or None."""
        for account in self.accounts.values():
            if account.dialect == dialect and credentials.items() <= account.credentials.items():
                return account
        return None

    def payment(self, account: SandboxAccount, payment_id: str) -> LedgerPayment | None:
        """A payment of this account; another account's payment is not there."""
        payment = self.payments.get(payment_id)
        return payment if payment and payment.account == account.name else None

    def refund(self, account: SandboxAccount, refund_id: str) -> LedgerRefund | None:
        """A refund (or void) of this account."""
        refund = self.refunds.get(refund_id)
        return refund if refund and refund.account == account.name else None

    def refunds_of(self, payment: LedgerPayment) -> list[LedgerRefund]:
        """All refunds and voids of a payment, failed ones too, oldest first."""
        return self._refunds_of.get(payment.id, [])

    def refunds_called(self, account: SandboxAccount, reference: str) -> list[LedgerRefund]:
        """The account's refunds that the client called so."""
        return self._called.get((account.name, reference), [])

    def refunded_minor(self, payment: LedgerPayment) -> int:
        """What went back or is on its way: pending and succeeded refunds."""
        return sum(
            refund.amount_minor
            for refund in self.refunds_of(payment)
            if refund.operation == "refund" and refund.status in _GIVEN_BACK
        )

    def refundable_minor(self, payment: LedgerPayment) -> int:
        """What may still be refunded; nothing of a payment that took no money."""
        if payment.status not in _REFUNDABLE:
            return 0
        return payment.amount_minor - self.refunded_minor(payment)

    def timeline(self, account: SandboxAccount, kind: Kind, order: Order) -> Timeline[Any]:
        """An account's movements in an order. "refunds" has refunds and voids; "all" has payments
        and refunds, but no voids, which are no movement of their own. Read it under the lock.
        """
        name = (account.name, kind, order)
        if name not in self._timelines:
            rows: list[Movement] = [*self.payments.values(), *self.refunds.values()]
            mine = [row for row in rows if row.account == account.name and _is_of(row, kind)]
            self._timelines[name] = Timeline(_MOMENTS[order], mine)
        return self._timelines[name]

    # Writing

    def next_serial(self) -> int:
        """A number that was never given before: the order of arrival, and part of numeric ids."""
        with self.lock:
            self._serial += 1
            return self._serial

    def new_id(
        self, prefix: str, length: int, alphabet: str = string.ascii_letters + string.digits
    ) -> str:
        """A random id that no payment or refund has yet."""
        while True:
            made = prefix + "".join(self.random.choices(alphabet, k=length))
            if made not in self.payments and made not in self.refunds:
                return made

    def add_payment(self, payment: LedgerPayment) -> LedgerPayment:
        """Take in a new payment. Tells listeners ``payment.created``."""
        with self.lock:
            self._take_in(payment)
            self.payments[payment.id] = payment
            self._tell("payment.created", payment)
        return payment

    def add_refund(self, refund: LedgerRefund, *, enforce_cap: bool = True) -> LedgerRefund:
        """Take in a new refund, never past what is refundable.

        Raises ExceedsRefundableError; a refund that is failed from the start counts nothing.
        Without the cap it may name no payment at all.
        """
        with self.lock:
            payment = self.payments.get(refund.payment_id)  # a credit without a payment has none
            left = self.refundable_minor(payment) if payment else 0
            counts = refund.operation == "refund" and refund.status in _GIVEN_BACK
            if enforce_cap and counts and refund.amount_minor > left:
                raise ExceedsRefundableError(left)
            self._file(refund)
            if payment and (payment.modified_at or payment.created_at) < refund.created_at:
                self.change(payment, at=refund.created_at)
            self._tell("refund.created", refund)
        return refund

    def void(self, payment: LedgerPayment, record: LedgerRefund) -> LedgerRefund:
        """Call the whole payment off. ``record`` is kept as the void (``operation="void"``).

        Raises NotVoidableError unless the payment is authorized or captured and untouched.
        """
        with self.lock:
            if payment.status not in _VOIDABLE or self.refunded_minor(payment):
                raise NotVoidableError
            self.change(
                payment,
                tell="payment.voided",
                at=record.created_at,
                status="voided",
                due_at=None,
                due_status="",
            )
            self._file(record)
            self._tell("refund.created", record)
        return record

    def pay_out(self, account: SandboxAccount, currency: str, amount_minor: int) -> bool:
        """Take a refund's amount from the account's balance; False when that is too low."""
        with self.lock:
            funds = account.settings.balance
            if funds is None:
                return True
            if funds.get(currency, 0) < amount_minor:
                return False
            funds[currency] -= amount_minor
            self.journal(account)
        return True

    def change(
        self, row: Movement, *, tell: str = "", at: datetime | None = None, **values: Any
    ) -> None:
        """Set attributes of a payment or refund, as of now (or ``at``), and tell listeners."""
        with self.lock:
            lines = self._lines_of(row)
            for line in lines:
                line.discard(row)
            for name, value in values.items():
                setattr(row, name, value)
            row.modified_at = at or self.clock.now()
            for line in lines:
                line.add(row)
            self._schedule(row)
            self.journal(row)
            if tell:
                self._tell(tell, row)

    def keep_answer(self, answer: StoredAnswer) -> None:
        """Remember the answer to an idempotency key (also: that it is running)."""
        with self.lock:
            self.answers[answer.account, answer.key] = answer
            self.journal(answer)

    def forget_answer(self, answer: StoredAnswer) -> None:
        """Give a claimed key free: what it stood for never began."""
        with self.lock:
            self.answers.pop((answer.account, answer.key), None)

    def add_event(self, event: LedgerEvent) -> None:
        with self.lock:
            event.serial = event.serial or self.next_serial()
            self.events.append(event)
            self.journal(event)

    def subscribe(self, subscription: Subscription) -> None:
        """Send an account's notifications to an address, too."""
        with self.lock:
            if subscription not in self.subscriptions:
                self.subscriptions.append(subscription)
                self.journal(subscription)

    def restore(
        self,
        *,
        accounts: Iterable[SandboxAccount],
        payments: Iterable[LedgerPayment],
        refunds: Iterable[LedgerRefund],
        answers: Iterable[StoredAnswer],
        events: Iterable[LedgerEvent],
        subscriptions: Iterable[Subscription],
    ) -> None:
        """Take back the rows of an earlier run, as they were."""
        with self.lock:
            self.accounts.update((account.name, account) for account in accounts)
            for payment in payments:
                self.payments[payment.id] = payment
                self._take_in(payment)
            for refund in refunds:
                self._file(refund)
            self.answers.update(((kept.account, kept.key), kept) for kept in answers if kept.status)
            self.events.extend(events)
            self.subscriptions.extend(subscriptions)
            self.random = random.Random(f"{self.seed}-{self._serial}")

    # Time

    def advance(self) -> None:
        """Let happen what is due by the clock: awaited changes, and the nightly settlement."""
        now = self.clock.now()
        with self.lock:
            while self._due and self._due[0][0] <= now:
                _, _, row_id = heapq.heappop(self._due)
                self._come_due(row_id, now)
            self.settle(now)

    def settle(self, now: datetime) -> None:
        """Put in a batch, at its cut-off, whatever waits in an account that settles nightly."""
        for account in self.accounts.values():
            if not account.settings.settles_nightly:
                continue
            cutoff = next_cutoff(account, now) - timedelta(days=1)
            if self._settled_until.get(account.name) == cutoff:
                continue
            self._settled_until[account.name] = cutoff
            waiting = self.timeline(account, "all", "unsettled")
            for row in waiting.at(waiting.span(until=cutoff)):
                self._settle_row(account, row)

    def _settle_row(self, account: SandboxAccount, row: Movement) -> None:
        if row.status in ("authorized", "requires_action"):
            return
        batch = next_cutoff(account, row.created_at)
        if isinstance(row, LedgerPayment):
            status = "settled" if row.status == "captured" else row.status
            self.change(row, tell="payment.settled", status=status, settled_at=batch)
        else:
            status = "succeeded" if row.status == "pending" else row.status
            self.change(row, tell="refund.updated", status=status, settled_at=batch)

    def _come_due(self, row_id: str, now: datetime) -> None:
        row: Movement | None = self.payments.get(row_id) or self.refunds.get(row_id)
        if row is None or row.due_at is None or row.due_at > now:
            return
        kind = "payment" if isinstance(row, LedgerPayment) else "refund"
        status = row.due_status
        self.change(row, tell=f"{kind}.{status}", status=status, due_at=None, due_status="")

    # Inside

    def _take_in(self, row: Movement) -> None:
        row.serial = row.serial or self.next_serial()
        self._serial = max(self._serial, row.serial)
        row.modified_at = row.modified_at or row.created_at
        for line in self._lines_of(row):
            line.add(row)
        self._schedule(row)
        self.journal(row)

    def _file(self, refund: LedgerRefund) -> None:
        self._take_in(refund)
        self.refunds[refund.id] = refund
        self._refunds_of[refund.payment_id].append(refund)
        if refund.reference:
            self._called[refund.account, refund.reference].append(refund)

    def _schedule(self, row: Movement) -> None:
        if row.due_at:
            heapq.heappush(self._due, (row.due_at, row.serial, row.id))

    def _lines_of(self, row: Movement) -> list[Timeline[Any]]:
        return [
            line
            for (account, kind, _), line in self._timelines.items()
            if account == row.account and _is_of(row, kind)
        ]

    def _tell(self, kind: str, row: Movement) -> None:
        for listener in self.listeners:
            listener(kind, row)


def next_cutoff(account: SandboxAccount, moment: datetime) -> datetime:
    """The first nightly cut-off of the account after a moment."""
    cutoff = moment.replace(hour=account.settings.cutoff_hour, minute=0, second=0, microsecond=0)
    return cutoff if cutoff > moment else cutoff + timedelta(days=1)


def _is_of(row: Movement, kind: Kind) -> bool:
    if kind == "payments":
        return isinstance(row, LedgerPayment)
    if isinstance(row, LedgerPayment):
        return kind == "all"
    return kind == "refunds" or row.operation == "refund"
