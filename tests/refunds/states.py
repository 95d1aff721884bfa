"""Bringing a refund into a state, over the edges that exist."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction as database
from django.utils import timezone

from refunds.models import Refund, RefundAttempt, Ruling
from refunds.states import Status
from refunds.transitions import lock_refund, move

_ON_THE_WAY = {
    Status.SENDING: [],
    Status.UNKNOWN: [Status.SENDING],
    Status.PENDING: [Status.SENDING],
    Status.SUCCEEDED: [Status.SENDING],
    Status.FAILED: [Status.SENDING],
    Status.RETURNED: [Status.SENDING, Status.SUCCEEDED],
    Status.CANCELED: [],
}


def bring(refund: Refund, to: Status, kind: str = "moved", **fields: Any) -> Refund:
    """Take a queued refund to a status, with ``fields`` set at the last step."""
    for status in _ON_THE_WAY[to]:
        _step(refund, status, "claimed" if status == Status.SENDING else "succeeded")
    _step(refund, to, kind, **fields)
    return Refund.objects.get(pk=refund.pk)


def bring_back(succeeded: Refund) -> None:
    """The processor reports that the money of a refund that had succeeded came back."""
    _step(succeeded, Status.RETURNED, "returned")


def prove_made(failed: Refund) -> None:
    """The processor reports that a refund which counted as failed was made after all."""
    _step(failed, Status.SUCCEEDED, "succeeded")


def _step(refund: Refund, to: Status, kind: str, **fields: Any) -> None:
    now = timezone.now()
    needed: dict[Status, dict[str, Any]] = {
        Status.SENDING: {"lease_owner": "worker", "lease_until": now + timedelta(minutes=1)},
        Status.UNKNOWN: {"unknown_since": now},
        Status.SUCCEEDED: {"processor_refund_id": f"re_{refund.pk.hex[:8]}"},
    }
    with database.atomic():
        move(lock_refund(refund.pk), to, kind, changes=needed.get(to, {}) | fields)


def add_attempt(refund: Refund, state: str, number: int = 1, **fields: Any) -> RefundAttempt:
    now = timezone.now()
    values = {
        "credential_fingerprint": "",
        "operation": refund.operation,
        "reference": f"{refund.pk.hex[:18].upper()}{number}",
        "order": {},
        "order_hash": b"0" * 32,
        "sends": 1,
        "fence": 1,
        "started_at": now,
        "ended_at": None if state == "started" else now,
    }
    return RefundAttempt.objects.create(
        refund=refund,
        account_id=refund.account_id,
        mode=refund.mode,
        number=number,
        state=state,
        **(values | fields),
    )


def ago(span: timedelta) -> dict[str, Any]:
    """The times of an attempt that was sent so long ago."""
    at = timezone.now() - span
    return {"first_sent_at": at, "last_sent_at": at, "started_at": at}


def missed(first: timedelta, last: timedelta) -> dict[str, Any]:
    """The times of two look-ups that did not find an attempt."""
    now = timezone.now()
    return {"first_absent_at": now - first, "last_absent_at": now - last}


def leave_unknown(refund: Refund, number: int = 1, **attempt: Any) -> Refund:
    """Take a queued refund to ``unknown``, with an attempt that was sent ten hours ago."""
    refund = bring(refund, Status.UNKNOWN)
    for before in range(1, number):
        add_attempt(refund, "not_sent", before)
    add_attempt(refund, "ambiguous", number, **(ago(timedelta(hours=10)) | attempt))
    return refund


def take_back(refund: Refund, first: User, second: User) -> Refund:
    """Take a queued refund to where two people ruled that it was made, and then that it was not."""
    made = bring(refund, Status.SUCCEEDED)
    ruling = Ruling.objects.create(
        refund=made, attempt=add_attempt(made, "accepted"), verdict="did_not", proposed_by=first
    )
    Ruling.objects.filter(pk=ruling.pk).update(
        decided_by=second, decided_at=timezone.now(), confirmed=True
    )
    fields = {"failure_code": "not_made", "processor_refund_id": None}
    with database.atomic():
        move(lock_refund(made.pk), Status.RETURNED, "ruled_did_not", changes=fields)
    return Refund.objects.get(pk=made.pk)
