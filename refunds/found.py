"""What counted as not made, and was made: by now our rows may tell, so that nobody pays it again.

The processor is asked in :mod:`refunds.earlier`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

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
from .states import RESERVING, STANDING, AttemptState, Origin, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateways.models import ProcessorAccount

# The evidence of a case which has said from the first that as much went back besides.
PAID_BESIDES = "paid_besides"
# In these a refund counts as not made, or no more.
_ENDED = (Status.FAILED, Status.CANCELED, Status.RETURNED)


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
    ended = events.filter(to_status__in=_ENDED, sequence__lt=asked)
    found = events.filter(
        Q(kind="made_after_all") | Q(from_status=Status.FAILED, to_status=Status.SUCCEEDED),
        sequence__gt=asked,
    )
    alike = _of_ours(refund).exclude(pk=refund.pk).select_related("made_as")
    return alike.filter(Exists(ended), Exists(found))


def may_be(outside: Refund, named: str = "") -> Refund | None:
    """The refund of ours that one made elsewhere may be, where the processor keeps no references.

    One that another open case asks about is left to that. ``named`` is the key of the one that
    people were told of.
    """
    asked = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE)
    others = asked.exclude(refund=outside).filter(refund__status__in=STANDING)
    taken = set(others.values_list("evidence__may_be", flat=True))
    free = (each for each in all_like(outside) if str(each.pk) not in taken)

    def place(each: Refund) -> tuple[bool, bool]:
        return str(each.pk) != named, each.status in STANDING  # rather one of which nothing stands

    return min(free, key=place, default=None)


def keeps_references(account: ProcessorAccount) -> bool:
    """Whether what its processor lists as refunds of ours bears the reference that we sent."""
    return gateway_class(account.processor).capabilities.keeps_references


def all_like(outside: Refund) -> list[Refund]:
    """The refunds of ours that one made elsewhere can be, the newest first; none by a reference.

    An attempt of theirs, of the same amount, left before and counts as not made.
    """
    if keeps_references(outside.account):
        return []
    attempts = not_made(outside.created_at).filter(refund__in=_of_ours(outside))
    newest = attempts.order_by("-first_sent_at").select_related("refund__made_as")
    ours = {each.refund_id: each.refund for each in newest}
    return [each for each in ours.values() if not each.counts_elsewhere]


def told_by_time(
    reports: Iterable[ReportedRefund], moments: Iterable[tuple[datetime, UUID]]
) -> dict[str, UUID]:
    """Which of ours each report is, told by when they left; nothing else tells them apart.

    ``moments`` are in their order, with the keys of ours. No report is of what left after it.
    """
    free, found = list(moments), {}
    for each in sorted(reports, key=lambda report: report.created_at):
        if free and free[0][0] <= each.created_at + CLOCK_SKEW:
            _left, found[each.external_id] = free.pop(0)
    return found


def not_made(before: datetime | None = None) -> QuerySet[RefundAttempt]:
    """What left, by then or at all, and counts as not made."""
    taken_back = Refund.objects.filter(TAKEN_BACK)
    left = RefundAttempt.objects.filter(
        Q(state__in=[AttemptState.RULED_OUT, AttemptState.NOT_SENT])
        | Q(state=AttemptState.ACCEPTED, refund__in=taken_back),
        sends__gt=0,
    )
    return left.filter(first_sent_at__lte=before + CLOCK_SKEW) if before else left


def has_left(refund: Refund, before: datetime | None = None) -> bool:
    """Whether something of its payment and amount left, and counts as not made."""
    return left_like(refund, before).exists()


def left_like(refund: Refund, before: datetime | None = None) -> QuerySet[RefundAttempt]:
    """What left for its payment and amount, and counts as not made."""
    return not_made(before).filter(refund__in=_of_ours(refund))


def may_be_without_reference(refund: Refund) -> bool:
    """Whether its processor may list what counts as not made without saying that it is ours."""
    return not keeps_references(refund.account) and has_left(refund)


def is_replaced(ours: Refund) -> bool:
    """Whether as much was asked for since a refund counted as not made, and went back or may."""
    under_way = Q(status__in=RESERVING | STANDING)
    return _asked_since(ours).filter(under_way | Q(made_as__status__in=STANDING)).exists()


def is_paid_besides(ours: Refund) -> bool:
    """Whether as much went back, or may have, besides what was made after all and is not counted.

    By the refund itself or a row that counts it, by one that was asked for after it had counted as
    not made, or by one that it stands for. To be asked before anything is counted.
    """
    left = Q(status__in=STANDING | {Status.SENDING, Status.UNKNOWN})
    elsewhere = Q(made_as__status__in=STANDING)
    before = (*tried_again(ours), *_replaced_by(ours))
    return (
        Refund.objects.filter(left | elsewhere, pk=ours.pk).exists()
        or _asked_since(ours).filter(left | elsewhere).exists()
        or any(each.counts_as_made for each in before)
    )


def told_after_all(sentence: str, ours: Refund) -> str:
    """What people are told of a refund that was made after all, before it is counted."""
    if not is_paid_besides(ours):
        return sentence
    besides = _("As much went back besides: it may have gone back twice.")
    return f"{sentence} {besides}"


def came_back(refund: Refund) -> bool:
    """Whether that for which a refund was called off has failed or come back since.

    Of what was asked for anew nothing is known but its amount: it is asked for once more.
    """
    called_off = refund.events.filter(kind="made_before").order_by("sequence").last()
    if called_off is None:
        return False
    before = [(each.pk, each.made_as_id) for each in tried_again(refund)]
    counted = {refund.made_as_id, *(pk for pair in before for pk in pair)}
    since = RefundEvent.objects.filter(sequence__gt=called_off.sequence)
    ended = Q(refund__in=counted - {None}, to_status__in=[Status.FAILED, Status.RETURNED])
    return since.filter(ended | Q(refund=refund, kind="came_back")).exists()


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
    for in_its_stead in (Refund.objects.filter(pk=ours.pk), _asked_since(ours)):
        in_its_stead.waiting(Status.QUEUED).make_due()
    record_event(ours, "made_after_all", actor=actor, data={"why": why})
    return True


def _asked_since(ours: Refund) -> RefundQuerySet:
    """Refunds of the same amount that were asked for once this one counted as not made."""
    events = RefundEvent.objects.filter(refund=OuterRef("pk")).order_by("sequence")
    ended = ours.events.filter(to_status__in=_ENDED).order_by("sequence").values("sequence")[:1]
    asked = _of_ours(ours).exclude(pk=ours.pk).alias(asked=Subquery(events.values("sequence")[:1]))
    return asked.filter(asked__gt=Subquery(ended))


def first_asked_at(refund: Refund) -> datetime:
    """When as much was first asked for of the refund's payment."""
    return _of_ours(refund).earliest("created_at").created_at


def _of_ours(refund: Refund) -> RefundQuerySet:
    """What was asked for here of the same payment and amount."""
    alike = Refund.objects.filter(
        transaction=refund.transaction_id, amount_minor=refund.amount_minor
    )
    return alike.exclude(origin=Origin.EXTERNAL)
