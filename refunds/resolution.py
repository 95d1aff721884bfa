"""What follows a send: look-ups of what is not proven, sweeps of what lost its worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction as database
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import (
    Capabilities,
    Lookup,
    PaymentGateway,
    RefundResult,
    RefundState,
    ReportedRefund,
)
from gateways.errors import GatewayError
from gateways.models import ProcessorAccount
from gateways.registry import open_gateway
from transactions.models import TransactionStatus

from .attention import flag
from .execution import LEASE, deliver, lease_owner
from .models import MAX_ATTEMPTS, MAX_SENDS, Attention, AttentionKind, Refund, RefundAttempt
from .orders import load_order
from .publishing import publish
from .recording import apply_result, end_attempt, keep_exchanges, next_lookup
from .states import LIVE_ATTEMPTS, AttemptState, Status
from .transitions import lock_refund, move

# One pass of a sweep touches no more rows than this.
_BATCH = 200
# A message for a due row that nobody took after this long counts as lost.
_LOST_AFTER = timedelta(seconds=15)
# An outcome that stays unknown this long is shown to a person; a pending one after some days.
_UNKNOWN_ATTENTION = timedelta(minutes=15)
_PENDING_ATTENTION = timedelta(days=3)
# A key is not sent again in the last hours of its life: look-ups decide then.
_KEY_MARGIN = timedelta(hours=4)


def publish_due() -> int:
    """Hand out queued refunds that are due and that no message is under way for; how many."""
    lost = Q(enqueued_at__isnull=True) | Q(enqueued_at__lt=Now() - _LOST_AFTER)
    due = Refund.objects.filter(lost, status=Status.QUEUED, next_action_at__lte=Now())
    return publish(due.order_by("next_action_at").values_list("pk", flat=True)[:_BATCH])


def hurry_settled(account: ProcessorAccount) -> int:
    """Make refunds due that waited for payments which have settled meanwhile; how many."""
    waiting = Refund.objects.filter(
        account=account,
        status=Status.QUEUED,
        next_action_at__gt=Now(),
        transaction__status=TransactionStatus.SETTLED,
        events__kind="waits_for_settlement",
        attempts__isnull=True,
    )
    ids = list(waiting.values_list("pk", flat=True)[:_BATCH])
    return Refund.objects.filter(pk__in=ids, status=Status.QUEUED).update(
        next_action_at=Now(), enqueued_at=None
    )


def look_up_due() -> int:
    """Hand out unknown and pending refunds whose next question is due; how many."""
    lost = Q(enqueued_at__isnull=True) | Q(enqueued_at__lt=Now() - _LOST_AFTER)
    due = Refund.objects.filter(
        lost, status__in=[Status.UNKNOWN, Status.PENDING], next_action_at__lte=Now()
    )
    ids = due.order_by("next_action_at").values_list("pk", flat=True)[:_BATCH]
    return publish(ids, task="refunds.tasks.look_up_refund")


def expire_leases() -> int:
    """Turn sends whose worker is gone into ``unknown``: bytes may have left. How many."""
    gone = Refund.objects.filter(status=Status.SENDING, lease_until__lt=Now())
    expired = 0
    for refund_id in gone.values_list("pk", flat=True)[:_BATCH]:
        with database.atomic():
            refund = lock_refund(refund_id)
            if not gone.filter(pk=refund_id).exists():
                continue
            attempt = _live_attempt(refund)
            end_attempt(attempt, AttemptState.AMBIGUOUS)
            attempt.save()
            move(
                refund,
                Status.UNKNOWN,
                "lease_expired",
                data={"worker": refund.lease_owner},
                changes={
                    "unknown_since": refund.unknown_since or timezone.now(),
                    "next_action_at": timezone.now(),
                },
            )
            expired += 1
    return expired


def flag_overdue() -> int:
    """Show people what stays unproven for too long; how many refunds were new to them."""
    unknown = Refund.objects.filter(
        status=Status.UNKNOWN, unknown_since__lt=Now() - _UNKNOWN_ATTENTION
    )
    pending = Refund.objects.filter(
        status=Status.PENDING, created_at__lt=Now() - _PENDING_ATTENTION
    )
    flagged = 0
    for kind, late, sentence in (
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
    ):
        is_raised = Attention.objects.filter(
            refund=OuterRef("pk"), kind=kind, closed_at__isnull=True
        )
        overdue = late.exclude(Exists(is_raised))
        for refund_id in overdue.values_list("pk", flat=True)[:_BATCH]:
            with database.atomic():
                refund = lock_refund(refund_id)
                if overdue.filter(pk=refund_id).exists():
                    flag(refund, kind, sentence)
                    flagged += 1
    return flagged


def look_up_refund(refund_id: UUID) -> None:
    """Ask the processor what became of an unknown or pending refund; write down what is proven."""
    refund = Refund.objects.select_related("account").filter(
        pk=refund_id, status__in=[Status.UNKNOWN, Status.PENDING], next_action_at__lte=Now()
    ).first()  # fmt: skip
    if refund is None:
        return
    attempt = _live_attempt(refund)
    try:
        gateway = open_gateway(refund.account)
        lookup = gateway.find_refund(
            load_order(attempt, refund_id=refund.processor_refund_id or "")
        )
    except GatewayError as error:
        _ask_again(refund, Lookup((), complete=False, exchanges=error.exchanges))
        return
    if len(lookup.matches) == 1:
        apply_reported(refund.pk, lookup.matches[0], lookup)
    elif lookup.matches:
        _ask_again(refund, lookup)
    elif may_resend(refund, attempt, gateway.capabilities):
        _resend(refund, attempt, gateway)
    elif not attempt.sends and attempt.number < MAX_ATTEMPTS:
        _queue_again(refund, attempt)
    else:
        _ask_again(refund, lookup)


def apply_reported(
    refund_id: UUID, reported: ReportedRefund, lookup: Lookup | None = None
) -> Refund:
    """Move a refund of ours by what its processor reports now. Repeating it changes nothing."""
    with database.atomic():
        refund = lock_refund(refund_id)
        attempt = refund.attempts.select_for_update().order_by("-number").first()
        if attempt is None:
            return refund
        if lookup:
            keep_exchanges(attempt, lookup.exchanges)
        if reported.amount != refund.amount:
            flag(
                refund,
                AttentionKind.AMOUNT_DIFFERS,
                _("The processor reports %(theirs)s where %(ours)s was asked for.")
                % {"theirs": reported.amount, "ours": refund.amount},
            )
            _plan_next(refund)
        else:
            _follow(refund, attempt, reported)
        attempt.save()
    return refund


def mark_returned(refund: Refund, changes: Mapping[str, Any] | None = None) -> None:
    """Give the money of a locked refund that had succeeded back to the balance, and tell people."""
    move(refund, Status.RETURNED, "returned", changes=changes)
    flag(refund, AttentionKind.RETURNED, _("The refund had succeeded, and the money came back."))


def may_resend(refund: Refund, attempt: RefundAttempt, capabilities: Capabilities) -> bool:
    """Whether the same bytes may leave again under a key that the processor still knows."""
    life = capabilities.idempotency_key_life
    return (
        life is not None
        and refund.status == Status.UNKNOWN
        and attempt.sends < MAX_SENDS
        and attempt.credential_fingerprint == refund.account.credential_fingerprint
        and (
            attempt.first_sent_at is None
            or timezone.now() - attempt.first_sent_at < life - _KEY_MARGIN
        )
    )


def _follow(refund: Refund, attempt: RefundAttempt, reported: ReportedRefund) -> None:
    result = RefundResult(
        state=reported.state,
        refund_id=reported.external_id,
        amount=reported.amount,
        failure=reported.failure,
    )
    status = Status(refund.status)
    if status in {Status.SENDING, Status.UNKNOWN, Status.PENDING}:
        if status == Status.PENDING and reported.state == RefundState.PENDING:
            _plan_next(refund)
        elif status != Status.SENDING:
            apply_result(refund, attempt, result)
    elif status == Status.SUCCEEDED and reported.state == RefundState.FAILED:
        mark_returned(refund)
    elif status == Status.FAILED and reported.state == RefundState.SUCCEEDED:
        apply_result(refund, attempt, result)
        flag(
            refund,
            AttentionKind.PAID_AFTER_ALL,
            _("The refund counted as failed, and the processor reports that it succeeded."),
        )


def _resend(refund: Refund, attempt: RefundAttempt, gateway: PaymentGateway) -> None:
    """Send the same attempt again, byte for byte, under a new lease."""
    claiming = time.monotonic()
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status != Status.UNKNOWN:
            return
        move(
            locked,
            Status.SENDING,
            "sent_again",
            data={"attempt": attempt.number, "sends": attempt.sends + 1},
            changes={
                "fence": locked.fence + 1,
                "claims": locked.claims + 1,
                "lookups": locked.lookups + 1,
                "lease_owner": lease_owner(),
                "lease_until": Now() + LEASE,
            },
        )
        attempt.fence = locked.fence
        attempt.save(update_fields=["fence"])
    deliver(attempt, gateway, claiming)


def _queue_again(refund: Refund, attempt: RefundAttempt) -> None:
    """Its worker was lost before it counted a send, and lost the lease: nothing has left or will.

    Then another identity may leave, also where there are no keys.
    """
    with database.atomic():
        locked = lock_refund(refund.pk)
        attempt = RefundAttempt.objects.select_for_update().get(pk=attempt.pk)
        if locked.status != Status.UNKNOWN or attempt.sends:
            return
        attempt.state = AttemptState.RULED_OUT
        attempt.save(update_fields=["state"])
        move(locked, Status.QUEUED, "not_sent", changes={"next_action_at": timezone.now()})


def _ask_again(refund: Refund, lookup: Lookup) -> None:
    with database.atomic():
        locked = lock_refund(refund.pk)
        if locked.status not in {Status.UNKNOWN, Status.PENDING}:
            return
        attempt = _live_attempt(locked)
        keep_exchanges(attempt, lookup.exchanges)
        attempt.save(update_fields=["exchanges"])
        if len(lookup.matches) > 1:
            flag(
                locked,
                AttentionKind.FOUND_SEVERAL,
                _("The processor reports several refunds for this one. Money may have left twice."),
            )
        _plan_next(locked)


def _plan_next(refund: Refund) -> None:
    """Count a question that brought nothing new, and set the next."""
    if refund.status not in {Status.UNKNOWN, Status.PENDING}:
        return
    Refund.objects.filter(pk=refund.pk).update(
        lookups=F("lookups") + 1, next_action_at=next_lookup(refund.lookups), enqueued_at=None
    )


def _live_attempt(refund: Refund) -> RefundAttempt:
    """The one attempt that may have moved money. A sending, unknown or pending refund has one."""
    return refund.attempts.get(state__in=sorted(LIVE_ATTEMPTS))
