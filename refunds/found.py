"""What counted as not made, and was made: by now our rows may tell, so that nobody pays it again.

The processor is asked in :mod:`refunds.earlier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q

from gateways.base import ReportedRefund
from gateways.registry import gateway_class

from .clock import CLOCK_SKEW
from .history import record_event
from .models import TAKEN_BACK, Attention, AttentionKind, Refund, RefundAttempt, RefundEvent
from .states import AttemptState, Origin, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def is_counted(refund: Refund, made: ReportedRefund) -> bool:
    """Whether a sync has recorded it meanwhile in a row of its own: ours would be a second one."""
    rows = Refund.objects.filter(account_id=refund.account_id, mode=refund.mode)
    return rows.filter(processor_refund_id=made.external_id).exclude(pk=refund.pk).exists()


def made_already(refund: Refund) -> bool:
    """Whether the money of a refund has gone back by now, so that nothing is owed.

    By the refund itself, or one that it tries again; or by one of the same amount that counted as
    not made when this one was asked for in its stead. Reads the rows anew.
    """
    each_id: UUID | None = refund.pk
    while each_id:
        each = Refund.objects.select_related("made_as").get(pk=each_id)
        if each.counts_as_made:
            return True
        each_id = each.retry_of_id
    alike = Refund.objects.filter(
        transaction=refund.transaction_id, amount_minor=refund.amount_minor
    ).exclude(pk=refund.pk)
    found = RefundEvent.objects.filter(
        Q(kind="made_after_all") | Q(from_status=Status.FAILED, to_status=Status.SUCCEEDED),
        refund__in=alike,
        at__gt=refund.created_at,
    )
    since = alike.filter(pk__in=found.values("refund")).select_related("made_as")
    return any(each.counts_as_made for each in since)


def may_be(outside: Refund) -> Refund | None:
    """The refund of ours that one made elsewhere may be, where the processor keeps no references.

    An attempt of it, of the same amount, left before and counts as not made. No other is taken for
    it, nor asked about.
    """
    if gateway_class(outside.account.processor).capabilities.keeps_references:
        return None
    asked = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE)
    taken = set(asked.values_list("evidence__may_be", flat=True))
    attempts = RefundAttempt.objects.filter(
        Q(state__in=[AttemptState.RULED_OUT, AttemptState.NOT_SENT])
        | Q(state=AttemptState.ACCEPTED, refund__in=Refund.objects.filter(TAKEN_BACK)),
        refund__transaction=outside.transaction_id,
        refund__amount_minor=outside.amount_minor,
        refund__made_as=None,
        sends__gt=0,
        first_sent_at__lte=outside.created_at + CLOCK_SKEW,
    )
    ours = (each.refund for each in attempts.order_by("-first_sent_at").select_related("refund"))
    return next((each for each in ours if str(each.pk) not in taken), None)


def is_sent_since(ours: Refund) -> bool:
    """Whether a refund that counted as not made, or one in its stead, has left again."""
    rows = Refund.objects.exclude(origin=Origin.EXTERNAL).filter(
        Q(pk=ours.pk) | Q(created_at__gt=ours.created_at),
        transaction=ours.transaction_id,
        amount_minor=ours.amount_minor,
        status__in=[Status.SENDING, Status.UNKNOWN, Status.PENDING, Status.SUCCEEDED],
    )
    return rows.exists()


def count_for(outside: Refund, ours: Refund, why: str, actor: User | None = None) -> bool:
    """Say that what was made elsewhere is a refund of ours that counted as not made.

    Then nothing of that is owed, unless the other one fails. Only where both are of one payment,
    which is locked, and ours was not found otherwise; whether that was so. To be done before any
    event is written.
    """
    rows = Refund.objects.filter(
        pk=ours.pk, transaction=outside.transaction_id, made_as=None
    )  # fmt: skip
    if not rows.update(made_as=outside):
        return False
    record_event(ours, "made_after_all", actor=actor, data={"why": why})
    return True
