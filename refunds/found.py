"""What counted as not made, and was made: by now our rows may tell, so that nobody pays it again.

The processor is asked in :mod:`refunds.earlier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from gateways.base import ReportedRefund
from gateways.registry import gateway_class

from .clock import CLOCK_SKEW
from .history import record_event
from .models import (
    TAKEN_BACK,
    Attention,
    AttentionKind,
    Refund,
    RefundAttempt,
    RefundEvent,
    RefundQuerySet,
)
from .states import STANDING, AttemptState, Origin, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# The evidence of a case which has said from the first that as much went back besides.
PAID_BESIDES = "paid_besides"


def is_counted(refund: Refund, made: ReportedRefund) -> bool:
    """Whether a sync has recorded it meanwhile in a row of its own: ours would be a second one."""
    rows = Refund.objects.filter(account_id=refund.account_id, mode=refund.mode)
    return rows.filter(processor_refund_id=made.external_id).exclude(pk=refund.pk).exists()


def made_already(refund: Refund) -> bool:
    """Whether the money of a refund has gone back by now, so that nothing is owed.

    By the refund itself or one that it tries again; or by one in whose stead it was asked for.
    Reads the rows anew.
    """
    one = Refund.objects.filter(pk=refund.pk)
    rows = (*one.select_related("made_as"), *tried_again(refund), *_replaced_by(refund))
    return any(each.counts_as_made for each in rows)


def tried_again(refund: Refund) -> RefundQuerySet:
    """The refunds that this one tries again, one after the other."""
    found: list[UUID] = []
    before = refund.retry_of_id
    while before:
        found.append(before)
        before = Refund.objects.values_list("retry_of_id", flat=True).get(pk=before)
    return Refund.objects.filter(pk__in=found).select_related("made_as")


def _replaced_by(refund: Refund) -> RefundQuerySet:
    """Refunds of the same amount that counted as not made when this one was asked for, and no more.

    The events are numbered in their order, whatever the clocks of their writers say.
    """
    asked = refund.events.order_by("sequence").values("sequence")[:1]
    events = RefundEvent.objects.filter(refund=OuterRef("pk"))
    ended = events.filter(
        to_status__in=[Status.FAILED, Status.CANCELED, Status.RETURNED], sequence__lt=asked
    )
    found = events.filter(
        Q(kind="made_after_all") | Q(from_status=Status.FAILED, to_status=Status.SUCCEEDED),
        sequence__gt=asked,
    )
    alike = _of_ours(refund).exclude(pk=refund.pk).select_related("made_as")
    return alike.filter(Exists(ended), Exists(found))


def may_be(outside: Refund) -> Refund | None:
    """The refund of ours that one made elsewhere may be, where the processor keeps no references.

    An attempt of it, of the same amount, left before and counts as not made. One that another open
    case asks about is left to that.
    """
    if gateway_class(outside.account.processor).capabilities.keeps_references:
        return None
    asked = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE)
    others = asked.exclude(refund=outside).values_list("evidence__may_be", flat=True)
    attempts = RefundAttempt.objects.filter(
        Q(state__in=[AttemptState.RULED_OUT, AttemptState.NOT_SENT])
        | Q(state=AttemptState.ACCEPTED, refund__in=Refund.objects.filter(TAKEN_BACK)),
        refund__in=_of_ours(outside),
        sends__gt=0,
        first_sent_at__lte=outside.created_at + CLOCK_SKEW,
    )
    newest = attempts.order_by("-first_sent_at").select_related("refund__made_as")
    taken = set(others)
    ours = (each.refund for each in newest if not each.refund.counts_elsewhere)
    free = (each for each in ours if str(each.pk) not in taken)
    # Rather one of which nothing stands.
    return min(free, key=lambda each: each.status in STANDING, default=None)


def is_paid_besides(ours: Refund) -> bool:
    """Whether as much went back, or may have, besides the attempt of a refund that was made after
    all: by the refund itself, by one that was asked for after it, or by one that it stands for.
    """
    left = Q(status__in=STANDING | {Status.SENDING, Status.UNKNOWN})
    besides = Q(pk=ours.pk) & left
    if ours.finished_at:
        besides |= Q(created_at__gt=ours.finished_at) & (left | Q(made_as__status__in=STANDING))
    before = (*tried_again(ours), *_replaced_by(ours))
    return _of_ours(ours).filter(besides).exists() or any(each.counts_as_made for each in before)


def came_back(refund: Refund) -> bool:
    """Whether that for which a refund was called off has failed or come back since.

    Only of one that tries another one again: what was asked for anew is asked for once more.
    """
    called_off = refund.events.filter(kind="made_before").order_by("sequence").last()
    if called_off is None:
        return False
    counted = [pk for each in tried_again(refund) for pk in (each.pk, each.made_as_id)]
    ended = RefundEvent.objects.filter(
        refund__in=counted, to_status__in=[Status.FAILED, Status.RETURNED]
    )
    return ended.filter(sequence__gt=called_off.sequence).exists()


def count_for(outside: Refund, ours: Refund, why: str, actor: User | None = None) -> bool:
    """Say that what was made elsewhere is a refund of ours that counted as not made.

    Then nothing of that is owed, unless the other one fails, and what waits in its stead has its
    turn at once. Only where they are of one payment, which is locked, and ours does not count
    elsewhere; whether that was so. To be done before any event is written.
    """
    counted = Q(made_as__status__in=STANDING)
    rows = Refund.objects.filter(~counted, pk=ours.pk, transaction=outside.transaction_id)
    if not rows.update(made_as=outside):
        return False
    _of_ours(ours).waiting(Status.QUEUED).make_due()
    record_event(ours, "made_after_all", actor=actor, data={"why": why})
    return True


def _of_ours(refund: Refund) -> RefundQuerySet:
    """What was asked for here of the same payment and amount."""
    alike = Refund.objects.filter(
        transaction=refund.transaction_id, amount_minor=refund.amount_minor
    )
    return alike.exclude(origin=Origin.EXTERNAL)
