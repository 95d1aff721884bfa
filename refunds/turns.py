"""A worker's turn with a refund: taken up, counted, ended; and what the breaker hears of its calls.

Who takes a refund up makes it due again for the time when a worker certainly is gone. Until then a
second message finds nothing to do, and a worker that is killed leaves the refund to the next one.
``next_action_at`` is also the token of the turn: whoever finds another one there has lost it.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError
from django.db import transaction as database
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from gateways.errors import GatewayError, NotSent

from .attention import flag
from .circuits import note_answer, note_silence
from .history import record_event
from .models import AttentionKind, Refund, RefundEvent
from .states import Status
from .transitions import lock_refund

log = structlog.get_logger(__name__)

# Longer than any worker is busy with one task, so that a turn or a lease which ran out means that
# it is gone: processes are killed after CELERY_TASK_TIME_LIMIT, threads have the transport's limit.
LEASE = timedelta(seconds=120)
# So many turns that never ended, one after the other, are the refund's fault.
MAX_UNFINISHED = 3
# The id of the request that asked for a refund.
_ASKED_IN = RefundEvent.objects.filter(refund=OuterRef("pk"), kind="requested").values(
    "data__request_id"
)[:1]
# One statement makes no more refunds due than this.
_BATCH = 200


def take_up(refund_id: UUID, *statuses: Status) -> Refund | None:
    """Begin a turn with a due refund; None when there is nothing to do, or never will be."""
    due = Refund.objects.filter(pk=refund_id, status__in=statuses, next_action_at__lte=Now())
    due = due.exclude(status=Status.QUEUED, is_held=True)
    if not due.update(unfinished=F("unfinished") + 1, next_action_at=Now() + LEASE):
        return None
    rows: QuerySet[Refund] = Refund.objects.select_related("transaction", "account", "requested_by")
    refund = rows.annotate(asked_in=Subquery(_ASKED_IN)).get(pk=refund_id)
    _name_in_log(refund, refund.asked_in)
    if refund.unfinished <= MAX_UNFINISHED:
        return refund
    with database.atomic():
        locked = lock_refund(refund_id)
        # What has ended or got on meanwhile is nobody's to look into.
        if locked.status in statuses and locked.unfinished > MAX_UNFINISHED:
            set_aside(locked)
    return None


def _name_in_log(refund: Refund, asked_in: str | None) -> None:
    """Have every line of this turn name the refund and the request that asked for it.

    What handed it out, such as a sweep or an approval, stays as ``cause_id``.
    """
    cause = structlog.contextvars.get_contextvars().get("request_id")
    names = {"refund": str(refund.pk), "account": refund.account.slug}
    if asked_in:
        names |= {"request_id": asked_in}
    if asked_in and cause and cause != asked_in:
        names |= {"cause_id": cause}
    structlog.contextvars.bind_contextvars(**names)


def put_off(refund: Refund, wait: timedelta | None, kind: str = "", why: str = "") -> None:
    """End a turn without a change of status; ``kind`` names the event of the first time.

    Without ``wait`` nothing is due any more.
    """
    ours = Refund.objects.filter(
        pk=refund.pk, status=refund.status, next_action_at=refund.next_action_at
    )
    due = None if wait is None else Now() + wait
    with database.atomic():
        ended = ours.update(next_action_at=due, enqueued_at=None, unfinished=0)
        if ended and kind and not refund.events.filter(kind=kind).exists():
            record_event(refund, kind, data={"why": why})


def set_aside(refund: Refund) -> None:
    """Put a locked refund that ends its workers before a person. Nothing takes it up by itself."""
    refund.next_action_at = refund.enqueued_at = None
    refund.save(update_fields=["next_action_at", "enqueued_at"])
    flag(
        refund,
        AttentionKind.STUCK,
        _(
            "%d workers in a row were lost with this refund, so it is not tried again by itself. "
            "Find out why in their logs, then try it again."
        )
        % MAX_UNFINISHED,
    )


def a_moment() -> timedelta:
    """How long to wait for a free slot: never the same for all who wait."""
    return timedelta(seconds=2 + 2 * random.random())  # noqa: S311


def lease_owner() -> str:
    """Who holds a lease: host and process, for the person who reads the row."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


@contextmanager
def listening(account_id: int) -> Iterator[None]:
    """Around calls to a processor: tell the circuit breaker whether it answers.

    Its return makes all due at once that it owes an answer.
    """
    try:
        yield
    except GatewayError as error:
        if is_silence(error):
            _tell(note_silence, account_id)
        elif any(exchange.status is not None for exchange in error.exchanges):
            _tell(_note_answer, account_id)
        raise
    _tell(_note_answer, account_id)


def is_silence(error: GatewayError) -> bool:
    """Whether the processor was called and gave no answer, not even garbage or half of one.

    Of several calls one that was answered is enough.
    """
    if isinstance(error, NotSent) and error.reason != "unreachable":
        return False
    answered = [exchange for exchange in error.exchanges if exchange.status is not None]
    return bool(error.exchanges) and not answered


def _tell(note: Callable[[int], None], account_id: int) -> None:
    """Tell the breaker; where the database is gone, what the processor answered counts for more."""
    try:
        note(account_id)
    except (OperationalError, InterfaceError):
        log.warning("breaker_not_told", account=account_id)


def _note_answer(account_id: int) -> None:
    if not note_answer(account_id):
        return
    waiting = Refund.objects.waiting(Status.UNKNOWN).filter(account_id=account_id)
    while ids := list(waiting.values_list("pk", flat=True)[:_BATCH]):
        waiting.filter(pk__in=ids).make_due()
