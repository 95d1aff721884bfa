"""How soon an unknown refund is settled once its processor answers again.

To be imported when Django is set up.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, product
from typing import TYPE_CHECKING

from django.utils import timezone

from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from gateways.sandbox.accounts import built_in_accounts
from refunds.circuits import down_accounts
from refunds.models import Refund, RefundReason
from refunds.services import request_refund
from refunds.states import Status
from transactions.models import Transaction
from transactions.upsert import store_payments

from .stage import Sandbox, Stage

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KINDS = {
    "silent": "takes calls and says nothing; at its return it drops those that hang",
    # It returns just after one more call has come: the worst moment.
    "swallowing": "takes calls and says nothing, and never answers those that hang",
    "refusing": "refuses connections: its process is stopped, and started again",
}
KEYED = {"stripe": "stripe-main", "paypal": "paypal-main"}
GIVES_UP = 150  # seconds after its return; nobody waits longer for what may never come
_keys = count(1)


@dataclass(frozen=True)
class Recovery:
    """``seconds`` from the return to the end; None when it did not come. ``made`` there: one."""

    kind: str
    processor: str
    when: str
    breaker_opened: bool
    seconds: float | None
    made: int


class Outage:
    """A sandbox with one account, one refund whose answer is lost, and the way in which it is gone.

    The answer is lost ``before`` or ``after`` the refund is made.
    """

    def __init__(self, stage: Stage, kind: str, processor: str, when: str, label: str) -> None:
        self.kind = kind
        self.when = when
        self.sandbox = Sandbox(stage, f"{kind}-{when}-{processor}-{label}")
        self.account = open_account(self.sandbox, processor)
        self.returned_at = timezone.now()
        self._breaker_opened = False
        self._hole = socket.create_server(("127.0.0.1", 0), backlog=1_000)
        self._hole.setblocking(False)
        self._swallowed: list[socket.socket] = []

    def lose_answer(self, person: User) -> None:
        """Ask for a refund whose call will hang, before or after the processor did its work."""
        payment = pay(self.sandbox, self.account)
        self._arm(what="silence", call="refund", when=self.when, seconds=600)
        self.refund = ask(payment, person)

    def hangs(self) -> bool:
        """Whether the call has come and hangs."""
        return not self.sandbox.control("GET", "faults")["faults"]

    def begin(self) -> None:
        if self.kind == "silent":
            self._arm(what="silence", seconds=600, times=1_000_000)
        elif self.kind == "refusing":
            self.sandbox.stop()
        else:
            self._move(f"http://127.0.0.1:{self._hole.getsockname()[1]}")

    def may_end(self) -> bool:
        return self.kind != "swallowing" or self.swallow() > 0

    def swallow(self) -> int:
        """Take the calls that came and keep them without a word; how many are new."""
        before = len(self._swallowed)
        with suppress(BlockingIOError):
            while True:
                self._swallowed.append(self._hole.accept()[0])
        return len(self._swallowed) - before

    def end(self) -> None:
        self._breaker_opened = self.account.pk in down_accounts()
        if self.kind == "silent":
            self.sandbox.control("DELETE", "faults")
        elif self.kind == "refusing":
            self.sandbox.start()
        else:
            self._move(self.sandbox.url)
        self.returned_at = timezone.now()

    def is_over(self) -> bool:
        return Refund.objects.filter(pk=self.refund.pk, finished_at__isnull=False).exists()

    def recovery(self) -> Recovery:
        refund = Refund.objects.get(pk=self.refund.pk)
        seconds = None
        if refund.status == Status.SUCCEEDED and refund.finished_at:
            seconds = (refund.finished_at - self.returned_at).total_seconds()
        made = self.sandbox.control("GET", "ledger")["refunds"]
        processor = self.account.processor
        return Recovery(self.kind, processor, self.when, self._breaker_opened, seconds, len(made))

    def close(self) -> None:
        """Nobody is asked any more, not even by a sync."""
        ProcessorAccount.objects.filter(pk=self.account.pk).update(is_active=False)
        for each in (self._hole, *self._swallowed):
            each.close()
        self.sandbox.stop()

    def _arm(self, **wish: str | int) -> None:
        self.sandbox.control("POST", "faults", dialect=self.account.processor, **wish)

    def _move(self, url: str) -> None:
        ProcessorAccount.objects.filter(pk=self.account.pk).update(
            base_url=f"{url}/{self.account.processor}"
        )


def measure(stage: Stage, person: User, *, seconds: int, timeout: int) -> list[Recovery]:
    """All kinds of outages side by side, for so many seconds, with this limit for a call."""
    outages = [
        Outage(stage, kind, processor, when, str(seconds))
        for kind, processor, when in product(KINDS, KEYED, ("before", "after"))
    ]
    stage.start(*(outage.sandbox.service for outage in outages))
    stage.start_desk(sends=len(outages), PROVIDER_TIMEOUT_SECONDS=str(timeout))  # all hang at once
    for outage in outages:
        outage.lose_answer(person)
    _each_when(outages, Outage.hangs, Outage.begin)
    time.sleep(seconds)
    for kind in KINDS:
        alike = [outage for outage in outages if outage.kind == kind]
        for outage in alike:
            outage.swallow()
        _each_when(alike, Outage.may_end, Outage.end)
    wait_until(lambda: all(outage.is_over() for outage in outages), seconds=GIVES_UP)
    recoveries = [outage.recovery() for outage in outages]
    stage.stop_desk()
    for outage in outages:
        outage.close()
    return recoveries


def _each_when(
    outages: list[Outage], holds: Callable[[Outage], bool], then: Callable[[Outage], None]
) -> None:
    """Do something to each outage as soon as something holds for it."""
    waiting = list(outages)

    def all_are_done() -> bool:
        for outage in filter(holds, list(waiting)):
            then(outage)
            waiting.remove(outage)
        return not waiting

    if not wait_until(all_are_done, seconds=GIVES_UP):
        names = ", ".join(outage.sandbox.name for outage in waiting)
        raise SystemExit(f"{names}: nothing happened in {GIVES_UP} seconds.")


def open_account(sandbox: Sandbox, processor: str) -> ProcessorAccount:
    """An account of ours at one of the sandbox's processors."""
    (known,) = (each for each in built_in_accounts() if each.name == KEYED[processor])
    account = ProcessorAccount(
        slug=f"{sandbox.name}-{processor}",
        processor=processor,
        mode="test",
        base_url=f"{sandbox.url}/{processor}",
        currency="USD",
    )
    account.set_credentials(known.credentials)
    account.save()
    return account


def pay(sandbox: Sandbox, account: ProcessorAccount) -> Transaction:
    """A payment at the processor, and its row here."""
    wish = {"amount_minor": 10_000, "currency": "USD", "status": "settled"}
    made = sandbox.control("POST", "payments", account=KEYED[account.processor], **wish)
    payment = open_gateway(account).get_payment(made["payment"]["id"])
    if payment is None:
        raise SystemExit(f"The sandbox does not know {made['payment']['id']}.")
    store_payments(account, [payment])
    return Transaction.objects.get(account=account, external_id=payment.external_id)


def ask(payment: Transaction, person: User) -> Refund:
    refund, _ = request_refund(
        transaction=payment,
        amount=payment.amount,
        reason=RefundReason.objects.get(code="requested_by_customer"),
        note="",
        requested_by=person,
        idempotency_key=f"bench-{next(_keys)}",
    )
    return refund


def wait_until(holds: Callable[[], bool], *, seconds: float) -> bool:
    """Wait for a condition; whether it held in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return holds()
