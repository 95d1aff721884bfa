"""The last look before a refund leaves, at what counted as not made and was made all the same.

Processors promise that nothing was done of a 401 or 429, and people rule out what no list shows.
Another identity is used only after one more look, and a new refund of the payment as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Min, Q, QuerySet
from django.db.models.functions import Coalesce

from gateways.base import (
    Lookup,
    Operation,
    PaymentGateway,
    RefundOrder,
    RefundState,
    ReportedRefund,
)

from .clock import CLOCK_SKEW
from .doubts import note_failure, raise_doubts, standing_doubts
from .found import (
    all_like,
    has_left,
    is_counted,
    keeps_references,
    may_be_without_reference,
    told_by_time,
    tried_again,
)
from .models import TAKEN_BACK, Attention, AttentionKind, Refund, RefundAttempt
from .orders import load_order, possible_orders
from .people import is_requester
from .recording import another_payment
from .states import STANDING, AttemptState, Origin, Status

_NOTHING = Lookup((), complete=True)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a processor shows of earlier attempts.

    ``made`` is of the refund itself. ``twin`` is in its stead: of the same amount, or of one that
    it tries again; ``others`` are of its payment, too. No row counts these. ``alike`` are the ids
    of what may be the refund or its like, as only a person can tell. ``is_complete`` says that
    nothing can have been overlooked that would make a difference.
    """

    made: ReportedRefund | None
    twin: ReportedRefund | None
    others: tuple[ReportedRefund, ...]
    alike: tuple[str, ...]
    is_complete: bool


def look_back(refund: Refund, gateway: PaymentGateway) -> Earlier:
    """Look for all that a refund would pay a second time. Raises NotSent or OutcomeUnknown."""
    if refund.look_up_first:
        own = look_everywhere(refund, gateway)
    else:
        own = _look_for(refund.attempts.filter(sends__gt=0), gateway)
    made = next(_not_failed(own), None)
    others = _NOTHING if made else _look_for(_counted_as_not_made(refund), gateway)
    likely = [*own.likely, *others.likely]
    alike = [each for each in likely if each.amount == refund.amount]
    unlike = [each for each in likely if each.has_own_id and each not in alike]
    found = (*_not_failed(others), *unlike)
    uncounted = [each for each in found if not is_counted(refund, each)]
    may_overlook = keeps_references(refund.account) and not refund.look_up_first
    tried = set(tried_again(refund).values_list("attempts__reference", flat=True))
    twins = (
        each for each in uncounted if each.amount == refund.amount or each.reference in tried
    )  # fmt: skip
    return Earlier(
        made=made,
        twin=next(twins, None),
        others=tuple(uncounted),
        alike=_in_doubt(refund, alike),
        is_complete=may_overlook or (own.complete and others.complete),
    )


def look_everywhere(refund: Refund, gateway: PaymentGateway) -> Lookup:
    """Look for every attempt that a refund has or may have had: after a restore rows are missing.

    Raises NotSent or OutcomeUnknown.
    """
    orders = possible_orders(refund, voids=gateway.capabilities.voids_unsettled)
    return _together(look_for(refund, order, gateway) for order in orders)


def look_for(refund: Refund, order: RefundOrder, gateway: PaymentGateway) -> Lookup:
    """Ask what became of one attempt of a refund; to be asked without a lock.

    Without references, what may be the refund is remembered at once: whatever comes between this
    and what follows from it, a list may not show it again. Raises NotSent or OutcomeUnknown.
    """
    found = gateway.find_refund(order)
    if keeps_references(refund.account):
        return found
    for each in found.matches:
        if each.state == RefundState.FAILED:
            note_failure(refund.account, each.external_id)
    shown = [
        each
        for each in (*found.likely, *_not_failed(found))
        if each.amount == refund.amount
        and each.operation is Operation.REFUND
        and not another_payment(refund, each)
    ]
    doubtful = unknown_among(refund, shown)
    raise_doubts(refund, doubtful, doubtful)
    return found


def _counted_as_not_made(refund: Refund) -> QuerySet[RefundAttempt]:
    """What left for other refunds of the payment, and counts as not made: the money was asked anew.

    People ruled it out, or took it back after they had ruled that it was made; or the processor
    turned it away, and its refund ended so.
    """
    others = Refund.objects.filter(transaction=refund.transaction_id).exclude(pk=refund.pk)
    ended = others.filter(status__in=[Status.FAILED, Status.CANCELED])
    return RefundAttempt.objects.filter(
        Q(state=AttemptState.RULED_OUT, refund__in=others)
        | Q(state=AttemptState.NOT_SENT, refund__in=ended)
        | Q(state=AttemptState.ACCEPTED, refund__in=others.filter(TAKEN_BACK)),
        sends__gt=0,
    )


def _look_for(attempts: QuerySet[RefundAttempt], gateway: PaymentGateway) -> Lookup:
    return _together(
        look_for(attempt.refund, load_order(attempt), gateway)
        for attempt in attempts.select_related("refund__account", "refund__transaction")
    )


def _together(lookups: Iterable[Lookup]) -> Lookup:
    """Several look-ups as one, each report once."""
    found = list(lookups)
    return Lookup(
        matches=tuple({each.external_id: each for one in found for each in one.matches}.values()),
        complete=all(one.complete for one in found),
        exchanges=tuple(each for one in found for each in one.exchanges),
        likely=tuple({each.external_id: each for one in found for each in one.likely}.values()),
    )


def _not_failed(lookup: Lookup) -> Iterator[ReportedRefund]:
    return (found for found in lookup.matches if found.state != RefundState.FAILED)


def _in_doubt(refund: Refund, alike: Sequence[ReportedRefund]) -> tuple[str, ...]:
    """The ids of what may be the refund or its like, where only a person can tell and none has.

    What is listed now is raised as a doubt, and what was raised before stands as well.
    """
    ids = listed = unknown_among(refund, alike)
    if may_be_without_reference(refund):
        ids = {*listed, *_asked_about(refund), *_unplaced(refund)}
    raise_doubts(refund, ids, listed)
    return tuple(standing_doubts(refund))


def _asked_about(refund: Refund) -> list[str]:
    """Rows of refunds made outside of which a case asks if they are it, or like it."""
    outside = Refund.objects.filter(
        transaction=refund.transaction_id,
        amount_minor=refund.amount_minor,
        status__in=STANDING,
        pk__in=_unanswered(refund),
    )
    rows = outside.select_related("account")
    return [each.processor_refund_id or "" for each in rows if all_like(each)]


def _unanswered(refund: Refund) -> list[UUID]:
    """The refunds made outside of whose case nobody has said that it is another one.

    Nobody else, that is, than who wants this one to leave.
    """
    cases = Attention.objects.filter(
        kind=AttentionKind.MADE_OUTSIDE,
        transaction=refund.transaction_id,
        refund__isnull=False,
        refund__counts_for__isnull=True,
    )
    return [
        case.refund_id
        for case in cases.select_related("closed_by")
        if case.refund_id
        and (case.closed_at is None or (case.closed_by and is_requester(refund, case.closed_by)))
    ]


def _unplaced(refund: Refund) -> list[str]:
    """What fits no payment alone, and may be it or its like by its card, amount and time.

    Who accepts its case does not say that it is another one.
    """
    by_people = Q(closed_at__isnull=True) | Q(closed_by__isnull=False)
    cases = Attention.objects.filter(
        by_people,
        kind=AttentionKind.UNPLACED,
        account=refund.account_id,
        evidence__has_keys=["refund", "made_at"],
        evidence__amount=str(refund.amount),
        evidence__card=refund.transaction.last4,
    )
    return [
        told["refund"]
        for told in cases.values_list("evidence", flat=True)
        if has_left(refund, datetime.fromisoformat(told["made_at"]))
    ]


def unknown_among(refund: Refund, likely: Sequence[ReportedRefund]) -> set[str]:
    """Those that are no refunds of ours, nor accepted by a person as made elsewhere.

    Those without an id are told by how many had been made by then.
    """
    if not likely:
        return set()
    told = Refund.objects.filter(account_id=refund.account_id).exclude(pk__in=_unanswered(refund))
    # What has ended here, and is listed as made, is in question again.
    told = told.exclude(~Q(status__in=STANDING), origin=Origin.EXTERNAL)
    ids = {each.external_id for each in likely if each.has_own_id}
    known = told.filter(processor_refund_id__in=ids)
    unknown = ids - set(known.values_list("processor_refund_id", flat=True))
    nameless = [each for each in likely if not each.has_own_id]
    if not nameless:
        return unknown
    since = min(each.created_at for each in nameless) - CLOCK_SKEW
    left = Q(attempts__state=AttemptState.ACCEPTED)
    made = (
        told.filter(
            Q(origin=Origin.EXTERNAL) | left,
            transaction=refund.transaction_id,
            amount_minor=refund.amount_minor,
            status__in=STANDING,
        )
        .annotate(left=Coalesce(Min("attempts__first_sent_at", filter=left), "created_at"))
        .filter(left__gte=since)
    )
    moments = made.order_by("left", "pk").values_list("left", "pk")
    explained = told_by_time(nameless, moments)
    return unknown | {each.external_id for each in nameless} - explained.keys()
