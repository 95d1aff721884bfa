"""Passes over the rows: what is due is handed out, and what lost its worker or its time is found.

Each pass is made by one process at a time, touches few rows, and is fair between accounts. It only
hands out hints: doing one twice, or never, changes no outcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction as database
from django.db.models import OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import Now, RowNumber
from django.utils.translation import gettext as _

from gateways.failpoints import reach
from gateways.models import ProcessorAccount
from transactions.advisory import advisory_lock
from transactions.models import TransactionStatus

from .attention import Owners, flag_all, without_case
from .circuits import down_accounts
from .clock import database_now
from .models import AttentionKind, Refund, RefundEvent
from .publishing import publish
from .recording import end_attempt, live_attempt
from .states import AttemptState, Status
from .transitions import lock_idle, lock_refund, move
from .turns import MAX_UNFINISHED, set_aside

log = structlog.get_logger(__name__)

# One pass of a sweep touches no more rows than this, and is over soon: others wait for it.
BATCH = 200
_PASS_SECONDS = 1.5
# What one slot of an account gets through between two passes. More would only find all slots taken
# and be put off, which costs thousands of waiting refunds a whole core.
_PER_SLOT = 5
# A message for a due row that nobody took after this long counts as lost.
LOST_AFTER = timedelta(seconds=10)
# What stays unknown, waits for approval or is pending this long is shown to a person.
_UNKNOWN_ATTENTION = timedelta(minutes=15)
_APPROVAL_ATTENTION = timedelta(days=1)
_PENDING_ATTENTION = timedelta(days=3)
# So many are shown to people in one transaction, while which writers of events wait, and in a pass.
_FLAGGED_AT_ONCE = 50
_FLAGGED_AT_MOST = 2_000
LOCKS = 7_266_857 << 32  # PostgreSQL's advisory locks from this number on, one per sweep

_LOOK_UP = "refunds.tasks.look_up_refund"

Row = TypeVar("Row")


def _single_flight(number: int) -> Callable[[Callable[[], int]], Callable[[], int]]:
    """Let one process at a time make a pass; for another there is nothing left to do."""

    def decorate(sweep: Callable[[], int]) -> Callable[[], int]:
        @wraps(sweep)
        def alone() -> int:
            with advisory_lock(LOCKS + number) as is_ours:
                return sweep() if is_ours else 0

        return alone

    return decorate


@_single_flight(1)
def publish_due() -> int:
    """Hand out queued refunds that are due and that no message is under way for; how many."""
    waits = Q(account__circuit_breaker__retry_at__gt=Now())
    return _hand_out(due_refunds(Status.QUEUED).exclude(waits), task="refunds.tasks.send_refund")


@_single_flight(2)
def look_up_due() -> int:
    """Hand out unknown and pending refunds whose next question is due; how many."""
    return _hand_out(due_refunds(Status.UNKNOWN, Status.PENDING), task=_LOOK_UP)


@_single_flight(3)
def probe_down_accounts() -> int:
    """Ask each processor that does not answer about one refund, to notice its return; how many."""
    probes: list[UUID] = []
    for account_id in down_accounts():
        waiting = Refund.objects.filter(
            account_id=account_id,
            status__in=[Status.UNKNOWN, Status.PENDING],
            next_action_at__isnull=False,
            unfinished=0,
        )
        probes += waiting.order_by("next_action_at").values_list("pk", flat=True)[:1]
    Refund.objects.filter(pk__in=probes, next_action_at__gt=Now()).update(next_action_at=Now())
    return publish(probes, task=_LOOK_UP)


@_single_flight(4)
def expire_leases() -> int:
    """Turn sends whose worker is gone into ``unknown``: bytes may have left. How many.

    One that cannot be turned keeps no other from it, though it is first in every pass.
    """
    expired = 0
    for refund_id in one_pass(_gone().order_by("lease_until").values_list("pk", flat=True)):
        try:
            expired += expire_lease(refund_id)
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            log.exception("lease_not_expired", refund=str(refund_id))
    return expired


def expire_lease(refund_id: UUID) -> bool:
    """Turn one send into ``unknown`` if its worker is gone; whether that was so."""
    with database.atomic():
        refund = lock_refund(refund_id)
        is_gone = _gone().filter(pk=refund_id).exists()
        if is_gone:
            _expire(refund)
            reach("in-sweep")
    return is_gone


@_single_flight(5)
def flag_overdue() -> int:
    """Show people what stays unproven or unapproved for too long; how many were new to them."""
    unknown = Refund.objects.filter(
        status=Status.UNKNOWN, unknown_since__lt=Now() - _UNKNOWN_ATTENTION
    )
    pending = Refund.objects.filter(
        status=Status.PENDING, created_at__lt=Now() - _PENDING_ATTENTION
    )
    unapproved = unapproved_since(_APPROVAL_ATTENTION)
    late = (
        (
            AttentionKind.UNKNOWN_OUTCOME,
            unknown,
            _("It is not known whether the processor made this refund."),
        ),
        (
            AttentionKind.PENDING_LONG,
            pending,
            _("The processor has kept this refund pending for days."),
        ),
        (
            AttentionKind.NOT_APPROVED,
            unapproved,
            _("Nobody has approved or rejected this refund for a day."),
        ),
    )
    seconds = _PASS_SECONDS / len(late)
    return sum(_flag(kind, refunds, sentence, seconds) for kind, refunds, sentence in late)


def unapproved_since(patience: timedelta) -> QuerySet[Refund]:
    """What has awaited approval for so long; a rule may have sent it back a moment ago."""
    waits = Refund.objects.filter(status=Status.AWAITING_APPROVAL, created_at__lt=Now() - patience)
    asked = RefundEvent.objects.filter(refund=OuterRef("pk"), to_status=Status.AWAITING_APPROVAL)
    since = Subquery(asked.order_by("-sequence").values("at")[:1])
    return waits.annotate(since=since).filter(since__lt=Now() - patience)


def hurry_settled(account: ProcessorAccount) -> int:
    """Make refunds due that waited for payments which have settled meanwhile; how many."""
    waiting = Refund.objects.waiting(Status.QUEUED).filter(
        account=account,
        transaction__status=TransactionStatus.SETTLED,
        events__kind="waits_for_settlement",
        attempts__isnull=True,
    )
    ids = list(waiting.values_list("pk", flat=True)[:BATCH])
    return Refund.objects.waiting(Status.QUEUED).filter(pk__in=ids).make_due()


def due_refunds(*statuses: Status) -> QuerySet[Refund]:
    """What is due and has no message under way: the oldest of each account, then its second …

    Of many that were asked for at once none is older than what a person asked for by itself.
    """
    lost = Q(enqueued_at__isnull=True) | Q(enqueued_at__lt=Now() - LOST_AFTER)
    oldest = ["is_bulk", "next_action_at"]
    turn = Window(RowNumber(), partition_by="account_id", order_by=oldest)
    due = Refund.objects.filter(lost, status__in=statuses, next_action_at__lte=Now())
    due = due.exclude(status=Status.QUEUED, is_held=True)
    return due.annotate(turn=turn).order_by("turn", "next_action_at")


def one_pass(
    rows: QuerySet[Any, Row] | Sequence[Row], seconds: float = _PASS_SECONDS
) -> Iterator[Row]:
    """Rows to lock one after the other, as many as fit into one pass and its time."""
    ends = time.monotonic() + seconds
    for row in rows[:BATCH]:
        if time.monotonic() > ends:
            return
        yield row


def _hand_out(due: QuerySet[Any], task: str) -> int:
    share = due.filter(turn__lte=_PER_SLOT * settings.PROVIDER_CONCURRENCY)
    return publish(share.values_list("pk", flat=True)[:BATCH], task=task)


def _gone() -> QuerySet[Refund]:
    """What is being sent by a worker that is gone."""
    return Refund.objects.filter(status=Status.SENDING, lease_until__lt=Now())


def _expire(refund: Refund) -> None:
    attempt = live_attempt(refund)
    if attempt is None:
        raise RuntimeError(f"Refund {refund.pk} is being sent without an attempt.")
    end_attempt(attempt, AttemptState.AMBIGUOUS)
    attempt.save()
    now = database_now()
    changes: dict[str, Any] = {
        "unknown_since": refund.unknown_since or now,
        "next_action_at": now,
        "unfinished": refund.unfinished,  # its worker did not finish
    }
    data = {"worker": refund.lease_owner}
    move(refund, Status.UNKNOWN, "lease_expired", data=data, changes=changes)
    if refund.unfinished >= MAX_UNFINISHED:
        set_aside(refund)


def _flag(kind: AttentionKind, late: QuerySet[Refund], sentence: str, seconds: float) -> int:
    overdue = without_case(late, kind)
    ids = list(overdue.values_list("pk", flat=True)[:_FLAGGED_AT_MOST])
    groups = [
        ids[first : first + _FLAGGED_AT_ONCE] for first in range(0, len(ids), _FLAGGED_AT_ONCE)
    ]
    owners, flagged = Owners(), 0
    for group in one_pass(groups, seconds):
        with database.atomic():
            idle = {refund.pk: refund for refund in lock_idle(group)}
            still = overdue.filter(pk__in=idle).values_list("pk", flat=True)
            found = [idle[refund_id] for refund_id in still]
            flag_all(found, kind, sentence, owners)
            flagged += len(found)
    return flagged
