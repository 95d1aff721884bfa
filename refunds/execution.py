"""What a worker does with a queued refund: read the payment again, claim, send, record.

Three database transactions with the processor's calls between them, never inside. Who holds the
``fence`` may write; who loses the lease may only bring evidence.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction as database
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import (
    FailureCode,
    Operation,
    PaymentGateway,
    RefundResult,
    RefundState,
    ReportedRefund,
)
from gateways.errors import GatewayError, Misconfigured, NotSent, OutcomeUnknown
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.sync import refresh_payment

from . import decision
from .attention import flag
from .history import record_event
from .models import MAX_SENDS, AttentionKind, Refund, RefundAttempt
from .orders import build_order, dump_order, hash_order, load_order
from .recording import Answer, fail_unsent, record_answer
from .states import AttemptState, Status
from .transitions import lock_refund, move

log = structlog.get_logger(__name__)

# Longer than any worker may live with one task (CELERY_TASK_TIME_LIMIT), so that a lease which ran
# out means that its worker is gone.
LEASE = timedelta(seconds=120)
# A send starts only with this much of the lease left beyond the processor's own limit.
_MARGIN_SECONDS = 5


def send_refund(refund_id: UUID) -> None:
    """Do what is due for a queued refund. Safe to call at any time, any number of times."""
    refund = (
        Refund.objects.select_related("transaction", "account", "requested_by")
        .filter(pk=refund_id, status=Status.QUEUED, next_action_at__lte=Now())
        .first()
    )
    if refund is None or not _may_go(refund):
        return
    try:
        gateway = open_gateway(refund.account)
        refresh_payment(refund.transaction, gateway)
        made = _made_before(refund, gateway)
    except GatewayError as error:
        _record_unsent(refund, error)
        return
    if made:
        _adopt(refund, made)
        return
    found = decision.blocked(refund.transaction)
    if found and found.code != "exceeds_refundable":  # its own money is reserved, of course
        _refuse(refund, found)
        return
    planned = decision.plan(refund.transaction, refund.amount)
    if planned.waits:
        _postpone(refund, decision.SETTLEMENT_CHECK, "waits_for_settlement", planned.sentence)
        return
    claiming = time.monotonic()
    if attempt := claim(refund, planned.operation):
        deliver(attempt, gateway, claiming)


def claim(refund: Refund, operation: Operation) -> RefundAttempt | None:
    """Take a queued refund and write its next attempt down, in one commit.

    None when another worker was faster.
    """
    with database.atomic():
        taken = Refund.objects.filter(
            pk=refund.pk, status=Status.QUEUED, next_action_at__lte=Now()
        ).update(
            status=Status.SENDING,
            operation=operation,
            fence=F("fence") + 1,
            claims=F("claims") + 1,
            lease_owner=lease_owner(),
            lease_until=Now() + LEASE,
        )
        if not taken:
            return None
        refund.refresh_from_db()
        number = refund.attempts.count() + 1
        order = dump_order(build_order(refund, operation, number))
        attempt = RefundAttempt.objects.create(
            refund=refund,
            account_id=refund.account_id,
            mode=refund.mode,
            credential_fingerprint=refund.account.credential_fingerprint,
            number=number,
            operation=operation,
            reference=order["reference"],
            order=order,
            order_hash=hash_order(order),
            state=AttemptState.STARTED,
            fence=refund.fence,
            started_at=timezone.now(),
        )
        record_event(
            refund,
            "claimed",
            from_status=Status.QUEUED,
            to_status=Status.SENDING,
            data={"attempt": number, "reference": attempt.reference, "operation": operation},
        )
    return attempt


def deliver(attempt: RefundAttempt, gateway: PaymentGateway, claiming: float) -> None:
    """Send a claimed attempt and record what came of it.

    ``claiming`` is the monotonic time just before the claim. A worker that slept through most of
    its lease must not start to send: the sweep has taken the refund, or will.
    """
    if not _mark_sent(attempt):
        return
    needed = settings.PROVIDER_TIMEOUT_SECONDS + _MARGIN_SECONDS
    if time.monotonic() - claiming > LEASE.total_seconds() - needed:
        return
    record_answer(attempt, attempt.fence, _call(attempt, gateway))


def lease_owner() -> str:
    """Who holds a lease: host and process, for the person who reads the row."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def _made_before(refund: Refund, gateway: PaymentGateway) -> ReportedRefund | None:
    """What an earlier attempt made all the same, though its answer said that nothing was done.

    Processors promise that of a 401 or 429; another identity is used only after a look.
    """
    for attempt in refund.attempts.filter(sends__gt=0):
        for found in gateway.find_refund(load_order(attempt)).matches:
            if found.state != RefundState.FAILED:
                return found
    return None


def _adopt(refund: Refund, made: ReportedRefund) -> None:
    """Take a refund that an earlier attempt made for ours, instead of sending again."""
    sentence = _("Attempt %s counted as not made, and the processor reports it as made.")
    sentence %= made.reference
    if made.amount != refund.amount:
        _postpone(refund, timedelta(hours=1), "waits_for_a_person", sentence)
    elif attempt := claim(refund, made.operation):
        answer = RefundResult(made.state, made.external_id, made.amount)
        record_answer(attempt, attempt.fence, answer)
    with database.atomic():
        flag(lock_refund(refund.pk), AttentionKind.PAID_AFTER_ALL, sentence)


def _call(attempt: RefundAttempt, gateway: PaymentGateway) -> Answer:
    # The attempt was read before this send was counted: a time in the order tells the adapter that
    # it was sent before, so that a 401 or 429 now proves nothing.
    order = load_order(attempt)
    move_money = gateway.void if order.operation is Operation.VOID else gateway.refund
    try:
        # However many calls the adapter makes, they end well within the lease.
        with gateway.transport.one_deadline():
            return move_money(order)
    except GatewayError as error:
        return error
    except Exception as error:
        # A bug of ours after the request may have left: the outcome is unknown, and never lost.
        log.exception("gateway_raised", attempt=str(attempt.pk))
        return OutcomeUnknown(
            f"Refund Desk failed while it read the answer ({type(error).__name__}).",
            exchanges=gateway.transport.take_exchanges(),
        )


def _mark_sent(attempt: RefundAttempt) -> bool:
    """Count the send before the first byte leaves.

    False when the lease is lost or the sends are used up: then nothing may leave.
    """
    holds = Refund.objects.filter(
        pk=OuterRef("refund_id"), fence=attempt.fence, status=Status.SENDING
    )
    return bool(
        RefundAttempt.objects.filter(
            Exists(holds),
            pk=attempt.pk,
            state__in=[AttemptState.STARTED, AttemptState.AMBIGUOUS],
            sends__lt=MAX_SENDS,
        ).update(
            sends=F("sends") + 1,
            fence=attempt.fence,
            first_sent_at=Coalesce("first_sent_at", Now()),
            last_sent_at=Now(),
        )
    )


def _may_go(refund: Refund) -> bool:
    """Whether authority holds at the moment of sending, and the account is not paused."""
    account = ProcessorAccount.objects.get(pk=refund.account_id)
    if account.paused_reason or not account.is_active:
        _postpone(refund, timedelta(minutes=1), "account_paused", account.paused_reason)
        return False
    person = refund.requested_by
    if person and person.is_active and person.has_perm("refunds.request_refund"):
        return True
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status == Status.QUEUED:
            move(locked, Status.CANCELED, "authority_lost")
            flag(
                locked,
                AttentionKind.NOT_SENT,
                _("Who requested this refund may no longer refund, so it was not sent."),
            )
    return False


def _postpone(refund: Refund, wait: timedelta, kind: str, why: str) -> None:
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status != Status.QUEUED:
            return
        locked.next_action_at, locked.enqueued_at = Now() + wait, None
        locked.save(update_fields=["next_action_at", "enqueued_at"])
        if not locked.events.filter(kind=kind).exists():
            record_event(locked, kind, data={"why": why})


def _record_unsent(refund: Refund, error: GatewayError) -> None:
    """Nothing of the refund left, because the payment could not even be read."""
    attempt = claim(refund, Operation(refund.operation))
    if attempt is None:
        return
    if isinstance(error, NotSent):
        answer = error
    else:
        reason = "refused_locally" if isinstance(error, Misconfigured) else "unreachable"
        answer = NotSent(str(error), reason=reason, exchanges=error.exchanges)
    record_answer(attempt, attempt.fence, answer)


def _refuse(refund: Refund, found: decision.Blocked) -> None:
    """The payment changed since the request, and can no longer be refunded."""
    attempt = claim(refund, Operation(refund.operation))
    if attempt is None:
        return
    codes = {"disputed": FailureCode.DISPUTED, "too_old": FailureCode.TOO_OLD}
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status == Status.SENDING and locked.fence == attempt.fence:
            code = codes.get(found.code, FailureCode.NOT_REFUNDABLE)
            fail_unsent(locked, attempt, code, found.sentence)
            attempt.save()
