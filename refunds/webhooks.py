"""Webhooks: verified and stored at once, then what they name is read again from the processor.

A webhook carries no authority. Whether it comes late, twice, out of order or forged, all it can do
is to make us ask its processor, whose answer goes the way of every other report.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from django.db import connection
from django.db import transaction as database
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, QuerySet, Value
from django.db.models.functions import Greatest, Least, Now
from django.utils.translation import gettext as _

from gateways.base import ReportedRefund, WebhookNotice
from gateways.errors import GatewayError, InvalidWebhook, Misconfigured, NotSent, OutcomeUnknown
from gateways.failpoints import reach
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.text import clean
from transactions.upsert import store_payments

from . import circuits
from .attention import raise_case
from .models import Attention, AttentionKind, Refund, WebhookEvent, WebhookState
from .outside import record_reported_refunds
from .placing import awaited_by
from .publishing import hand_out
from .services import NotAllowed
from .states import Status
from .sweeps import hurry_settled

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = structlog.get_logger(__name__)

# One pass of the sweep hands out no more rows than this, and deletes no more than so many.
_BATCH, _DELETED_AT_ONCE = 200, 2_000
# More rejected deliveries than this are counted by the log alone: anybody can send them.
REJECTIONS_PER_MINUTE = 60
_REJECTIONS_KEPT = timedelta(days=90)
# Seconds until the next try after so many that failed; then a person is told, and it goes on.
WAITS = (15, 60, 300, 1800, 3600)
TRIES_BEFORE_A_PERSON = 10
# Who claims an event has it for this long: longer than a worker may live with one task.
_LEASE = 90
# What waits for a refund of ours is tried again after as long as it has waited, within these.
_SOONEST, _LATEST = timedelta(seconds=WAITS[0]), timedelta(seconds=WAITS[-1])
_HURRIES_FOR = timedelta(minutes=5)
# A worker begins with another event of the account for so many seconds after it started.
_GOES_ON_FOR = 10

_OPEN = [WebhookState.RECEIVED, WebhookState.FAILED]
_LOCK = 7_266_857  # the first half of the advisory locks that count rejections

_STORE = """
INSERT INTO refunds_webhookevent AS known
  (account_id, mode, event_id, event_type, payment_id, refund_id, reference, occurred_at,
   body_sha256, state, next_try_at, processed_at, deliveries, tries, problem)
VALUES
  (%(account)s, %(mode)s, %(event_id)s, %(event_type)s, %(payment_id)s, %(refund_id)s,
   %(reference)s, %(occurred_at)s, %(hash)s, %(state)s,
   CASE WHEN %(concerns_us)s THEN now() END, CASE WHEN NOT %(concerns_us)s THEN now() END,
   1, 0, '')
ON CONFLICT (account_id, mode, event_id) WHERE event_id IS NOT NULL
DO UPDATE SET deliveries = known.deliveries + 1, last_received_at = now()
RETURNING id, xmax = 0 AND next_try_at IS NOT NULL
"""
_REJECT = """
INSERT INTO refunds_webhookevent
  (account_id, mode, event_type, payment_id, refund_id, reference, body_sha256, state,
   deliveries, tries, problem)
SELECT %(account)s, %(mode)s, '', '', '', '', %(hash)s, 'rejected', 1, 0, %(why)s
WHERE %(limit)s > (
  SELECT count(*) FROM refunds_webhookevent
  WHERE account_id = %(account)s AND state = 'rejected' AND received_at > now() - interval '1 min')
"""
_CLAIM = """
UPDATE refunds_webhookevent
SET tries = tries + 1,
    next_try_at = now() + make_interval(secs => (%(waits)s)[least(tries + 1, %(last)s)])
WHERE id = %(id)s AND state IN ('received', 'failed') AND next_try_at <= now()
RETURNING *
"""


class NotProcessable(Exception):
    """The event cannot be processed again; ``str()`` says why in a sentence."""


def receive(account: ProcessorAccount, headers: Mapping[str, str], body: bytes) -> None:
    """Verify a delivery and store it once; a worker does the rest.

    Raises InvalidWebhook or Misconfigured for one that is not verified: nothing was changed, and
    the log keeps why. NotSent or OutcomeUnknown when the processor is needed to verify it and does
    not answer: nothing was kept, so it has to come again.
    """
    try:
        gateway = open_gateway(account)
        with closing(gateway.transport), gateway.transport.one_deadline():
            notice = gateway.parse_webhook(headers, body)
    except (InvalidWebhook, Misconfigured) as error:
        _keep_rejection(account, body, str(error))
        raise
    except (NotSent, OutcomeUnknown) as error:
        log.warning("webhook_not_verified", account=account.slug, why=str(error))
        raise
    event_id, is_new = _store(account, notice, body)
    if is_new:
        hand_out("refunds.tasks.process_webhook", [event_id])


def process(event_id: int) -> None:
    """Do what is due for an event, then for others of its account while there is time.

    Safe to call at any time, any number of times. Whoever finds all slots of the account taken
    leaves the event to the workers that hold them.
    """
    event = WebhookEvent.objects.filter(pk=event_id).first()
    if event is None:
        return
    started = time.monotonic()
    due = _due().filter(account_id=event.account_id).order_by("next_try_at")
    next_id: int | None = event_id
    with circuits.slot(event.account_id, "webhook") as is_free:
        while is_free and next_id is not None:
            if claimed := _claim(next_id):
                _process(claimed)
            goes_on = time.monotonic() - started < _GOES_ON_FOR
            next_id = due.values_list("pk", flat=True).first() if goes_on else None


def publish_due() -> int:
    """Hand out events that are due, and forget rejections that are old; how many were handed out.

    A message that was not needed finds nothing to claim.
    """
    ids = list(_due().order_by("next_try_at").values_list("pk", flat=True)[:_BATCH])
    old = WebhookEvent.objects.filter(
        state=WebhookState.REJECTED, received_at__lt=Now() - _REJECTIONS_KEPT
    ).order_by("received_at")
    WebhookEvent.objects.filter(pk__in=old.values("pk")[:_DELETED_AT_ONCE]).delete()
    return len(hand_out("refunds.tasks.process_webhook", ids))


def process_again(event: WebhookEvent, *, actor: User) -> None:
    """Have an event processed once more, whatever came of it.

    Raises NotAllowed without the right, NotProcessable for one that was rejected.
    """
    if not actor.has_perm("refunds.process_webhook", event):
        raise NotAllowed(_("You may not have webhooks processed again."))
    taken = WebhookEvent.objects.filter(pk=event.pk).exclude(state=WebhookState.REJECTED)
    if not taken.update(
        state=WebhookState.RECEIVED, tries=0, next_try_at=Now(), processed_at=None, problem=""
    ):
        raise NotProcessable(
            _("It could not be verified, so nothing in it is believed, not even what it names.")
        )
    log.info("webhook_processed_again", webhook=event.pk, actor=actor.pk)
    hand_out("refunds.tasks.process_webhook", [event.pk])


def _store(account: ProcessorAccount, notice: WebhookNotice, body: bytes) -> tuple[int, bool]:
    """The row's id, and whether a worker is needed because it is new and names something."""
    concerns_us = bool(notice.payment_id or notice.refund_id)
    values: dict[str, Any] = asdict(notice) | {
        "account": account.pk,
        "mode": account.mode,
        "hash": hashlib.sha256(body).digest(),
        "concerns_us": concerns_us,
        "state": WebhookState.RECEIVED if concerns_us else WebhookState.IGNORED,
    }
    with database.atomic(), connection.cursor() as cursor:
        cursor.execute(_STORE, values)
        reach("in-webhook-store")
        event_id, is_new = cursor.fetchone()
    return event_id, is_new


def _keep_rejection(account: ProcessorAccount, body: bytes, why: str) -> None:
    log.warning("webhook_rejected", account=account.slug, why=why)
    values: dict[str, Any] = {
        "account": account.pk,
        "mode": account.mode,
        "hash": hashlib.sha256(body).digest(),
        "why": clean(why, 500),
        "limit": REJECTIONS_PER_MINUTE,
    }
    with database.atomic(), connection.cursor() as cursor:
        # One after the other, so that a burst does not count itself as nothing.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, account.pk])
        cursor.execute(_REJECT, values)


def _due() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(state__in=_OPEN, next_try_at__lte=Now())


def _claim(event_id: int) -> WebhookEvent | None:
    """Take a due event and set its next try, should this worker be lost; None if it is not due.

    ``next_try_at`` is also the fence: whoever finds another one there has lost the event.
    """
    waits = [max(_LEASE, seconds) for seconds in WAITS]
    claimed = WebhookEvent.objects.raw(_CLAIM, {"id": event_id, "waits": waits, "last": len(waits)})
    return next(iter(claimed), None)


def _process(event: WebhookEvent) -> None:
    if event.tries > TRIES_BEFORE_A_PERSON:
        _tell_a_person(event, event.problem or _("Its worker was lost each time."))
    try:
        _read_again(event)
    except GatewayError as error:
        _fail(event, str(error))
    except Exception as error:
        # A bug of ours, or a time limit: the event stays open, and says so.
        log.exception("webhook_broke", webhook=event.pk)
        _fail(event, _("Refund Desk failed while it processed this (%s).") % type(error).__name__)


def _read_again(event: WebhookEvent) -> None:
    """Ask the processor what a claimed event is about, and record the answer. Raises its errors."""
    if not (event.payment_id or event.refund_id):  # somebody had it processed again
        _finish(event, WebhookState.IGNORED)
        return
    account = event.account
    gateway = open_gateway(account)
    with closing(gateway.transport), gateway.transport.one_deadline():
        reread = gateway.read_again(
            WebhookNotice(
                event_id=event.event_id or "",
                event_type=event.event_type,
                occurred_at=event.occurred_at,
                payment_id=event.payment_id,
                refund_id=event.refund_id,
                reference=event.reference,
            )
        )
        stored = store_payments(account, reread.payments)
        reach("in-webhook-apply")
        recorded = record_reported_refunds(account, gateway, reread.refunds)
    if stored.changed:
        hurry_settled(account)
    if recorded.awaited:
        _hurry(event, reread.refunds)
        _park(event, _("It may tell of a refund of ours whose answer is awaited."))
    elif stored.rejected:
        _fail(event, stored.rejected[0].reason)
    elif recorded.rejected:  # which has put it before a person: asking again brings nothing new
        _finish(event, WebhookState.PROCESSED, recorded.rejected[0].reason)
    elif reread.payments or reread.refunds:
        _finish(event, WebhookState.PROCESSED)
    elif _is_younger(event, gateway.capabilities.lookup_lag):
        _park(event, _("The processor does not show yet what it names."))
    else:
        _finish(event, WebhookState.IGNORED, _("The processor does not know what it names."))


def _hurry(event: WebhookEvent, refunds: tuple[ReportedRefund, ...]) -> None:
    """Look up now what may be the reported refunds: the answer that they wait for seems lost."""
    if not _is_younger(event, _HURRIES_FOR):
        return
    for reported in refunds:
        Refund.objects.waiting(Status.UNKNOWN).filter(
            pk__in=awaited_by(event.account, reported).values("pk")
        ).make_due()


def _ours(event: WebhookEvent) -> QuerySet[WebhookEvent]:
    """The event's row while the claim holds."""
    return WebhookEvent.objects.filter(pk=event.pk, next_try_at=event.next_try_at)


def _is_younger(event: WebhookEvent, age: timedelta) -> bool:
    return _ours(event).filter(received_at__gt=Now() - age).exists()


def _park(event: WebhookEvent, why: str) -> None:
    """Try again soon, then ever more seldom: this is no failure."""
    waited = ExpressionWrapper(Now() - F("received_at"), output_field=DurationField())
    wait = Greatest(Value(_SOONEST), Least(Value(_LATEST), waited))
    _ours(event).update(
        state=WebhookState.RECEIVED,
        tries=0,
        next_try_at=ExpressionWrapper(Now() + wait, output_field=DateTimeField()),
        problem=why,
    )


def _fail(event: WebhookEvent, why: str) -> None:
    why = clean(why, 500)
    wait = timedelta(seconds=WAITS[min(event.tries, len(WAITS)) - 1])
    failed: dict[str, Any] = {"state": WebhookState.FAILED, "problem": why}
    if _ours(event).update(**failed, next_try_at=Now() + wait):
        log.warning("webhook_failed", webhook=event.pk, tries=event.tries, why=why)
        if event.tries >= TRIES_BEFORE_A_PERSON:
            _tell_a_person(event, why)


def _finish(event: WebhookEvent, state: WebhookState, why: str = "") -> None:
    if _ours(event).update(state=state, problem=why, processed_at=Now(), next_try_at=None):
        told = Attention.objects.filter(
            kind=AttentionKind.WEBHOOK_FAILED, subject=_subject(event)
        )  # fmt: skip
        told.close(str(state.label))


def _tell_a_person(event: WebhookEvent, why: str) -> None:
    raise_case(
        AttentionKind.WEBHOOK_FAILED,
        _subject(event),
        _("It failed %(tries)s times, last because: %(why)s") % {"tries": event.tries, "why": why},
        account=event.account,
        webhook=event,
    )


def _subject(event: WebhookEvent) -> str:
    return f"webhook:{event.pk}"
