"""How soon the work is done of which the broker lost every message.

To be imported when Django is set up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import redis
from django.conf import settings
from django.utils import timezone

from refunds.models import Refund
from refunds.states import Status
from refunds.sweeps import LOST_AFTER
from refunds_site import processes

from .outages import KEYED, ask, open_account, pay, wait_until
from .stage import Sandbox, Stage

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

REFUNDS = 50
GIVES_UP = 120  # seconds


@dataclass(frozen=True)
class MadeGood:
    """Seconds. ``made`` is how many refunds the processors have."""

    since_due: float  # from when a refund was due for the sweep until it was handed out again
    handed_out: float  # from the loss until the last one was
    succeeded: float  # from the loss until the last one succeeded
    made: int


def measure(stage: Stage, person: User) -> MadeGood:
    """Queue refunds while nobody sends, empty the broker, and let the worker come back."""
    sandbox = Sandbox(stage, "queue")
    sandbox.start()
    accounts = [open_account(sandbox, processor) for processor in KEYED]
    payments = [pay(sandbox, accounts[number % 2]) for number in range(REFUNDS)]
    stage.start_desk()
    stage.stop("worker")
    refunds = [ask(payment, person).pk for payment in payments]
    rows = Refund.objects.filter(pk__in=refunds)
    due = {key: sent + LOST_AFTER for key, sent in rows.values_list("pk", "enqueued_at")}
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        if broker.llen(processes.SUBMIT) < REFUNDS:
            raise SystemExit("The messages are not where they were to be lost.")
        broker.flushall()
    lost_at = timezone.now()
    stage.start(stage.submit_worker())
    handed_out = _watch(rows, lost_at)
    ends = rows.filter(status=Status.SUCCEEDED).values_list("finished_at", flat=True)
    result = MadeGood(
        since_due=max((handed_out[key] - due[key]).total_seconds() for key in refunds),
        handed_out=(max(handed_out.values()) - lost_at).total_seconds(),
        succeeded=(max(end for end in ends if end) - lost_at).total_seconds(),
        made=len(sandbox.control("GET", "ledger")["refunds"]),
    )
    stage.stop_desk()
    sandbox.stop()
    return result


def _watch(rows: QuerySet[Refund], lost_at: datetime) -> dict[UUID, datetime]:
    """Look on until all succeeded; when each was handed out again."""
    handed_out: dict[UUID, datetime] = {}

    def all_succeeded() -> bool:
        statuses = set()
        for key, status, sent in rows.values_list("pk", "status", "enqueued_at"):
            statuses.add(status)
            if sent and sent > lost_at:
                handed_out.setdefault(key, sent)
            elif status != Status.QUEUED:  # it was taken between two looks
                handed_out.setdefault(key, timezone.now())
        return statuses == {Status.SUCCEEDED}

    if not wait_until(all_succeeded, seconds=GIVES_UP):
        raise SystemExit(f"Not all refunds of a lost queue succeeded in {GIVES_UP} seconds.")
    return handed_out
