"""Playing a fault through: a worker's step, time that passes, and what the ledger says at the end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TypeVar

from django.db import connections
from django.db.models import F
from django.utils import timezone

from refunds import execution
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Refund, RefundAttempt
from refunds.resolution import look_up_refund
from refunds.states import Status
from refunds.sweeps import expire_leases
from tests.refunds.desk import Desk
from transactions.models import Transaction

Result = TypeVar("Result")


def sent(refund: Refund) -> Refund:
    """What a worker makes of a refund that is due now."""
    due(refund)
    execution.send_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def looked_up(refund: Refund) -> Refund:
    """What a look-up that is due now makes of it."""
    due(refund)
    look_up_refund(refund.pk)
    refund.refresh_from_db()
    return refund


def due(refund: Refund) -> None:
    """As if half an hour had passed since the last send, and the next step was due."""
    Refund.objects.filter(pk=refund.pk).update(next_action_at=timezone.now())
    half_an_hour_ago = F("last_sent_at") - timedelta(minutes=30)
    RefundAttempt.objects.filter(refund=refund).update(last_sent_at=half_an_hour_ago)


def recovered(refund: Refund) -> Refund:
    """What the sweeps and look-ups make of a refund whose worker is gone, once the lease is over."""
    Refund.objects.filter(pk=refund.pk, status=Status.SENDING).update(lease_until=timezone.now())
    expire_leases()
    refund.refresh_from_db()
    if refund.status == Status.UNKNOWN:
        looked_up(refund)
    return sent(refund) if refund.status == Status.QUEUED else refund


def is_stopped(pid: int) -> bool:
    """Whether the process sleeps by SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def in_parallel(count: int, work: Callable[[int], Result]) -> list[Result]:
    """What ``work`` returns to each of so many threads that start together."""
    start = Barrier(count)

    def run(number: int) -> Result:
        try:
            start.wait()
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def assert_agreement(desk: Desk, transaction: Transaction, *minors: int) -> None:
    """The ledger gave back exactly these amounts, our rows say the same, and no promise is broken."""
    assert sorted(desk.given_back(transaction)) == sorted(minors)
    ours = Refund.objects.filter(transaction=transaction, status=Status.SUCCEEDED)
    assert sorted(ours.values_list("amount_minor", flat=True)) == sorted(minors)
    for invariant in INVARIANTS:
        assert broken_rows(invariant) == [], invariant.name


def run_before_claim(monkeypatch, step) -> None:
    """Let something happen just before a worker claims a refund."""
    claim = execution.claim

    def claim_late(*args, **kwargs):
        step()
        return claim(*args, **kwargs)

    monkeypatch.setattr(execution, "claim", claim_late)
