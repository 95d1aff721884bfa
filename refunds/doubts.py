"""What only a person can tell of a refund that a processor lists: raised, answered, standing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from django.db.models import Q
from django.db.models.functions import Now

from .models import Doubt, DoubtAnswer, Refund
from .people import are_one_person
from .states import STANDING, Origin

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateways.models import ProcessorAccount


def raise_doubts(refund: Refund, ids: Collection[str]) -> None:
    """Say that these may be a refund of this payment and amount; what was answered stays so.

    What had failed and is listed again is in question again.
    """
    if not ids:
        return
    rows = (
        Doubt(
            transaction_id=refund.transaction_id,
            amount_minor=refund.amount_minor,
            external_id=each,
        )
        for each in sorted(ids)
    )
    Doubt.objects.bulk_create(rows, ignore_conflicts=True)
    failed = Doubt.objects.filter(
        transaction=refund.transaction_id,
        amount_minor=refund.amount_minor,
        external_id__in=ids,
        answer=DoubtAnswer.FAILED,
    )
    failed.update(answer="", answered_at=None)


def standing_doubts(refund: Refund) -> list[str]:
    """The ids that keep a refund from leaving.

    That one is another refund is said by somebody else than who wants the money to leave.
    """
    raised = Doubt.objects.filter(
        Q(answer="") | Q(answer=DoubtAnswer.ANOTHER),
        transaction=refund.transaction_id,
        amount_minor=refund.amount_minor,
    )
    ids = {
        each.external_id
        for each in raised.select_related("answered_by")
        if each.answered_by is None or _is_requester(refund, each.answered_by)
    }
    return sorted(ids - _known(refund, ids))


def answer(refund: Refund, ids: Iterable[str], said: DoubtAnswer, by: User) -> None:
    """Answer what was raised about the refund's payment and amount."""
    raised = Doubt.objects.filter(
        transaction=refund.transaction_id,
        amount_minor=refund.amount_minor,
        external_id__in=list(ids),
    )
    raised.update(answer=said, answered_by=by, answered_at=Now())


def note_failure(account: ProcessorAccount, external_id: str) -> None:
    """Whatever it was, it gave nothing back."""
    raised = Doubt.objects.filter(transaction__account=account, external_id=external_id, answer="")
    raised.update(answer=DoubtAnswer.FAILED, answered_at=Now())


def _is_requester(refund: Refund, person: User) -> bool:
    return refund.requested_by is not None and are_one_person(refund.requested_by, person)


def _known(refund: Refund, ids: set[str]) -> set[str]:
    """Those that our rows tell of by now: ours, or counted as ours, or gone."""
    if not ids:
        return set()
    rows = Refund.objects.filter(account_id=refund.account_id, processor_refund_id__in=ids)
    told = rows.filter(
        ~Q(origin=Origin.EXTERNAL) | Q(counts_for__isnull=False) | ~Q(status__in=STANDING)
    )
    return {each or "" for each in told.values_list("processor_refund_id", flat=True)}
