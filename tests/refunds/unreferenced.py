"""Accounts at which the processor keeps no reference of ours: what it lists may be anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from gateways.base import RefundState
from gateways.registry import open_gateway
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt, Verdict
from refunds.outside import record_reported_refunds
from refunds.reconciliation import reconcile
from refunds.rulings import confirm, propose
from refunds.states import Status
from refunds.sync import sync_account
from transactions.models import Transaction
from transactions.upsert import SyncCounts

from .desk import Desk
from .faults.play import looked_up, run_before_claim, sent
from .raw import triggers_off

only_nmi = pytest.mark.parametrize("desk", ["nmi"], indirect=True)
LONG = 300_000  # seconds: longer than anything here goes back


def make_unreferenced(
    desk: Desk,
    shape: str = "B",
    when: str = "after",
    payment: Transaction | None = None,
    *,
    is_kept: bool = False,
) -> Refund:
    """Unknown for so long that people may rule; the processor shows nothing of it yet.

    It keeps no references, unless this one ``is_kept``. ``when`` it falls silent: after it made the
    refund, or before.
    """
    refund = desk.ask(payment or desk.pay(), 2_500)
    desk.post(
        "accounts", account=desk.name, refund_shape=shape, lookup_lag_seconds=100_000,
        refund_keeps_order_id=is_kept,
    )  # fmt: skip
    desk.arm("refund", "silence", when, seconds=0.1)
    assert sent(refund).status == Status.UNKNOWN
    RefundAttempt.objects.update(last_sent_at=timezone.now() - timedelta(hours=10))
    looked_up(refund)
    RefundAttempt.objects.update(first_absent_at=timezone.now() - timedelta(hours=1))
    looked_up(refund)
    if when == "after":
        desk.post("clock", advance_seconds=36_000)
    return refund


def miss(desk: Desk, refund: Refund, agent: User, approver: User, wrong: str = "7777") -> Refund:
    """Ruled made under a wrong id while the processor cannot be asked, and missed since."""
    desk.arm("get_payment", "500", times=50)
    named = {"verdict": Verdict.HAPPENED, "evidence": "", "processor_refund_id": wrong}
    refund = confirm(propose(refund, **named, actor=agent), actor=approver)
    assert refund.status == Status.SUCCEEDED
    desk.sandbox.faults.clear(None)
    with triggers_off():  # as an hour later
        RefundAttempt.objects.update(first_sent_at=timezone.now() - timedelta(hours=3))
    reconcile(desk.account)
    assert Attention.objects.open().filter(refund=refund, kind=AttentionKind.MISSING).exists()
    return refund


def record_listed(
    desk: Desk, state: RefundState | None = None, payment: Transaction | None = None
) -> list[SyncCounts]:
    """What a sync does after it has read the payments, for each page.

    As if all had the ``state`` and named the ``payment``, where these are given.
    """
    gateway = open_gateway(desk.account)
    now = timezone.now()
    counts = []
    for page in gateway.list_refunds(now - timedelta(days=3), now + timedelta(days=3)):
        records = [
            replace(
                each,
                state=state or each.state,
                payment_id=payment.external_id if payment else each.payment_id,
            )
            for each in page.records
        ]
        counts.append(record_reported_refunds(desk.account, gateway, records))
    return counts


def list_unplaced(
    desk: Desk, rule: Callable[..., Refund], verdict: Verdict = Verdict.DID_NOT
) -> tuple[Refund, Attention]:
    """Made, ruled out, and listed since without its payment, where a second one has the same card."""
    desk.pay()
    first = rule(make_unreferenced(desk, shape="A"), verdict)
    desk.show_late(0)
    sync_account(desk.account)
    return first, Attention.objects.open().get(kind=AttentionKind.UNPLACED)


def show_before_claim(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processor show what it made, and a sync read it, just before a worker claims."""

    def show_and_sync() -> None:
        desk.show_late(0)
        sync_account(desk.account)

    run_before_claim(monkeypatch, show_and_sync)
