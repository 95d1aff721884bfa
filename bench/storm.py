"""How long new work takes while one processor takes calls, says nothing, and has much to be asked.

To be imported when Django is set up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

from celery import current_app
from django.db import transaction as database
from django.utils import timezone

from gateways.base import Operation
from gateways.models import ProcessorAccount
from refunds.models import Refund, RefundAttempt, WebhookEvent, WebhookState
from refunds.orders import build_order, dump_order, hash_order
from refunds.publishing import hand_out
from refunds.states import Status
from transactions.models import Transaction

from .outages import ask, open_account, pay
from .stage import Sandbox, Stage

if TYPE_CHECKING:
    from django.contrib.auth.models import User

HANGING = 50  # new refunds of the silent account, which hang in the worker of sends
_names = count(1)


@dataclass
class Waits:
    """Seconds that one kind of work took, before the storm and in it, and how many it may take."""

    what: str
    target: float
    measure: Callable[[], float]
    peace: list[float] = field(default_factory=list)
    storm: list[float] = field(default_factory=list)


def measure(stage: Stage, person: User, *, unknown: int, seconds: int) -> list[Waits]:
    """Measure each kind of work five times, then again and again for so many seconds of storm."""
    answering, silent = Sandbox(stage, "answering"), Sandbox(stage, "silent")
    stage.start(answering.service, silent.service)
    down = open_account(silent, "stripe")
    payments = [pay(silent, down) for _ in range(HANGING)]
    stage.start_desk()
    all_waits = _kinds_of_work(answering, person)
    for waits in all_waits:
        waits.peace = [waits.measure() for _ in range(5)]
    silent.control("POST", "faults", what="silence", seconds=600, times=1_000_000)
    make_unknowns(down, person, unknown)
    for payment in payments:
        ask(payment, person)
    current_app.send_task("refunds.tasks.sync_all_accounts")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for waits in all_waits:
            waits.storm.append(waits.measure())
        time.sleep(1)
    silent.control("DELETE", "faults")  # or the workers would wait for answers before they end
    return all_waits


def _kinds_of_work(answering: Sandbox, person: User) -> list[Waits]:
    paypal, stripe = open_account(answering, "paypal"), open_account(answering, "stripe")

    def refund(account: ProcessorAccount) -> float:
        payment = pay(answering, account)
        started = time.monotonic()
        refund = ask(payment, person)
        return _seconds_until(
            Refund.objects.filter(pk=refund.pk, processor_refund_id__isnull=False).exists, started
        )

    def look_up() -> float:
        started = time.monotonic()
        (refund,) = make_unknowns(stripe, person, 1)
        never_asked = Refund.objects.filter(pk=refund.pk, status=Status.UNKNOWN, lookups=0)
        return _seconds_until(lambda: not never_asked.exists(), started)

    def webhook() -> float:
        payment = pay(answering, stripe)
        started = time.monotonic()
        event = WebhookEvent.objects.create(
            account=stripe,
            mode=stripe.mode,
            event_id=f"evt_storm_{next(_names)}",
            payment_id=payment.external_id,
            body_sha256=b"0" * 32,
            state=WebhookState.RECEIVED,
            next_try_at=timezone.now(),
        )
        hand_out("refunds.tasks.process_webhook", [event.pk])
        processed = WebhookEvent.objects.filter(pk=event.pk, processed_at__isnull=False)
        return _seconds_until(processed.exists, started)

    return [
        Waits("new refund, another processor", 2, lambda: refund(paypal)),
        Waits("new refund, another account there", 2, lambda: refund(stripe)),
        Waits("question about another refund", 4, look_up),  # the pass comes every two seconds
        Waits("webhook of another account", 2, webhook),
    ]


def _seconds_until(holds: Callable[[], bool], started: float) -> float:
    while not holds():
        if time.monotonic() - started > 120:
            raise SystemExit("Something that was asked for did not happen in two minutes.")
        time.sleep(0.01)
    return time.monotonic() - started


def make_unknowns(account: ProcessorAccount, person: User, number: int) -> list[Refund]:
    """Payments of the account, each with one refund that was sent and never answered, due now."""
    payments = [_payment(account) for _ in range(number)]
    refunds = [_refund(payment, person) for payment in payments]
    with database.atomic():  # the sums are compared with the refunds at its end
        Transaction.objects.bulk_create(payments, batch_size=500)
        Refund.objects.bulk_create(refunds, batch_size=500)
        RefundAttempt.objects.bulk_create(map(_attempt, refunds), batch_size=500)
    return refunds


def _payment(account: ProcessorAccount) -> Transaction:
    return Transaction(
        account=account,
        processor=account.processor,
        mode=account.mode,
        external_id=f"ch_storm_{next(_names)}",
        currency="USD",
        amount_minor=1_000,
        reserved_minor=1_000,
        status="settled",
        created_at=timezone.now() - timedelta(days=3),
        method_type="card",
        brand="visa",
        last4="4242",
    )


def _refund(payment: Transaction, person: User) -> Refund:
    now = timezone.now()
    return Refund(
        transaction=payment,
        account=payment.account,
        mode=payment.mode,
        currency=payment.currency,
        amount_minor=payment.amount_minor,
        origin="staff",
        status="unknown",
        requested_by=person,
        idem_scope="storm",
        idem_key=payment.external_id,
        request_hash=b"0" * 32,
        unknown_since=now,
        fence=1,
        claims=1,
        next_action_at=now,
        created_at=now,
    )


def _attempt(refund: Refund) -> RefundAttempt:
    order = dump_order(build_order(refund, Operation.REFUND, 1))
    return RefundAttempt(
        refund=refund,
        account=refund.account,
        mode=refund.mode,
        credential_fingerprint=refund.account.credential_fingerprint,
        number=1,
        operation=Operation.REFUND,
        reference=order["reference"],
        order=order,
        order_hash=hash_order(order),
        state="ambiguous",
        sends=1,
        fence=1,
        started_at=refund.created_at,
        first_sent_at=refund.created_at,
        last_sent_at=refund.created_at,
        ended_at=refund.created_at,
    )
