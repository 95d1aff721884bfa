"""What only a person can tell of a refund that a processor lists: raised, answered, standing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from django.db import transaction as database
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from transactions.models import Transaction

from .clock import CLOCK_SKEW
from .found import first_asked_at, has_left, keeps_references, left_like
from .models import (
    Attention,
    AttentionKind,
    Doubt,
    DoubtAnswer,
    Refund,
    RefundAttempt,
    RefundEvent,
)
from .people import are_one_person, is_requester
from .states import STANDING, Origin

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateways.models import ProcessorAccount

_ID_LENGTH = 100
# What a processor listed without a payment: which one it is of was told by its card and payer.
_PLACED = RefundEvent.objects.filter(
    refund=OuterRef("pk"), kind="recorded_outside", data__payment=""
)
# Listed as made after it had failed. What is said not to be of its own payment is of another one.
_IN_QUESTION = Doubt.objects.filter(
    transaction=OuterRef("transaction"),
    amount_minor=OuterRef("amount_minor"),
    external_id=OuterRef("processor_refund_id"),
    answer__in=["", DoubtAnswer.ANOTHER],
)
_UNANSWERED: dict[str, Any] = {"answer": "", "answered_by": None, "answered_at": None}


def raise_doubts(refund: Refund, ids: Collection[str], listed: Collection[str] = ()) -> None:
    """Say that these may be a refund of this payment and amount; what was answered stays so.

    What had failed and is ``listed`` now is in question again, and what was ours then as well:
    while that stands its row tells. The payment is locked first, so that whoever claims, answers or
    records at this moment sees it, or is seen.
    """
    if not ids:
        return
    rows = [
        Doubt(
            transaction_id=refund.transaction_id,
            amount_minor=refund.amount_minor,
            external_id=each[:_ID_LENGTH],
        )
        for each in sorted(ids)
    ]
    with database.atomic():
        Transaction.objects.select_for_update().only("pk").get(pk=refund.transaction_id)
        Doubt.objects.bulk_create(rows, ignore_conflicts=True)
        told = _of(refund).filter(
            external_id__in=listed, answer__in=[DoubtAnswer.FAILED, DoubtAnswer.OURS]
        )
        told.update(**_UNANSWERED)


def doubt_listed(refund: Refund, external_id: str) -> None:
    """Say that what the processor lists just now, not as failed, may be the refund."""
    raise_doubts(refund, [external_id], [external_id])


def standing_doubts(refund: Refund) -> list[str]:
    """The ids that keep a refund from leaving, where something of ours counts as not made.

    That one is another refund is said by somebody else than who wants the money to leave. What was
    placed on another payment by its looks is in doubt by its row alone, raised or not; and what has
    a row that stands has not failed, whatever was heard of it.
    """
    may_leave = not (refund.look_up_first or has_left(refund))
    if may_leave or keeps_references(refund.account):
        return []
    raised = list(_of(refund).select_related("answered_by"))
    ids = {
        each.external_id
        for each in raised
        if each.answer in {"", DoubtAnswer.ANOTHER}
        and (each.answered_by is None or is_requester(refund, each.answered_by))
    }
    failed = {each.external_id for each in raised if each.answer == DoubtAnswer.FAILED}
    answered = {each.external_id for each in raised} - failed
    ids |= set(_ids(_rows(refund, failed).filter(status__in=STANDING)))
    ids |= set(_placed_elsewhere(refund)) - answered
    return sorted(ids - _known(refund, ids) - _made_before(refund, ids))


def answer(refund: Refund, ids: Iterable[str], said: DoubtAnswer, by: User) -> None:
    """Answer what was raised about the refund's payment and amount."""
    raised = _of(refund).filter(external_id__in=list(ids))
    raised.update(answer=said, answered_by=by, answered_at=Now())


def reopen(refund: Refund, by: User | None = None) -> None:
    """Put in question again what the requester of a locked refund, or who calls it off, answered.

    Only of one that waited for a person or was let go, or that somebody else calls off: they may
    have found that what is listed is ours.
    """
    waits = Attention.objects.open().filter(
        kind=AttentionKind.NOT_SENT, refund=refund, evidence__has_key="listed"
    )
    is_own = by is None or is_requester(refund, by)
    if is_own and not (waits.exists() or refund.events.filter(kind="let_go").exists()):
        return
    said = _of(refund).filter(answer=DoubtAnswer.ANOTHER).select_related("answered_by")
    people = [each for each in (refund.requested_by, by) if each]
    own = [
        each.pk
        for each in said
        if each.answered_by and any(are_one_person(each.answered_by, one) for one in people)
    ]
    Doubt.objects.filter(pk__in=own).update(**_UNANSWERED)


def reopen_all(refund: Refund) -> None:
    """One more counts as not made: what was answered or accepted before was said of others."""
    said = _of(refund).filter(answer=DoubtAnswer.ANOTHER)
    said.update(**_UNANSWERED)
    if not keeps_references(refund.account):
        left = refund.attempts.filter(sends__gt=0)
        raise_doubts(refund, _ids(_made_elsewhere_since(refund, left)))


def note_failure(account: ProcessorAccount, external_id: str) -> None:
    """Whatever it was, it gave nothing back."""
    raised = Doubt.objects.filter(transaction__account=account, external_id=external_id)
    unless_ours = raised.exclude(answer=DoubtAnswer.OURS)
    unless_ours.update(answer=DoubtAnswer.FAILED, answered_by=None, answered_at=Now())


def _placed_elsewhere(refund: Refund) -> list[str]:
    """The ids of what was placed on other payments, and may be what counts as not made here."""
    made = _made_elsewhere_since(refund, left_like(refund))
    return _ids(made.exclude(transaction=refund.transaction_id))


def _made_before(refund: Refund, ids: set[str]) -> set[str]:
    """Those that were made before any refund of this payment and amount was asked for.

    Not before one left: what left before a restore may be known no more.
    """
    rows = _rows(refund, ids).filter(origin=Origin.EXTERNAL)
    return set(_ids(rows.filter(created_at__lt=first_asked_at(refund) - CLOCK_SKEW)))


def _made_elsewhere_since(refund: Refund, left: QuerySet[RefundAttempt]) -> QuerySet[Refund]:
    """What stands as made elsewhere since something left, and may be that by its looks.

    Or what has ended here and was listed as made since: it may stand after all.
    """
    since = left.aggregate(at=Min("first_sent_at"))["at"]
    if since is None:
        return Refund.objects.none()
    alike = Refund.objects.filter(
        origin=Origin.EXTERNAL, account=refund.account_id, mode=refund.mode,
        currency=refund.currency, amount_minor=refund.amount_minor,
        created_at__gte=since - CLOCK_SKEW,
    ).filter(Q(status__in=STANDING) | Exists(_IN_QUESTION))  # fmt: skip
    card = refund.transaction.last4
    of_card = Q(Exists(_PLACED), transaction__last4=card) if card else Q()
    return alike.filter(Q(transaction=refund.transaction_id) | of_card)


def _ids(refunds: QuerySet[Refund]) -> list[str]:
    return [each or "" for each in refunds.values_list("processor_refund_id", flat=True)]


def _of(refund: Refund) -> QuerySet[Doubt]:
    """What was raised about the refund's payment and amount."""
    return Doubt.objects.filter(transaction=refund.transaction_id, amount_minor=refund.amount_minor)


def _rows(refund: Refund, ids: set[str]) -> QuerySet[Refund]:
    """What stands here under these ids of the refund's processor."""
    return Refund.objects.filter(
        account_id=refund.account_id, mode=refund.mode, processor_refund_id__in=ids
    )


def _known(refund: Refund, ids: set[str]) -> set[str]:
    """Those that our rows tell of by now: ours, what stands as ours, or another payment's.

    Not those that have ended here: what is heard of a failure answers the doubt itself, and they
    may be listed as made again.
    """
    told = _rows(refund, ids).filter(
        ~Q(origin=Origin.EXTERNAL)
        | Q(counts_for__isnull=False, status__in=STANDING)
        | (~Q(transaction=refund.transaction_id) & ~Exists(_PLACED))
    )
    return set(_ids(told))
