"""The last look before a refund leaves, at what counted as not made and was made all the same.

Processors promise that nothing was done of a 401 or 429, and people rule out what no list shows.
Another identity is used only after one more look, and a new refund of the payment as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from gateways.base import Lookup, PaymentGateway, RefundState, ReportedRefund

from .found import is_counted
from .models import TAKEN_BACK, Attention, AttentionKind, Refund, RefundAttempt
from .orders import load_order, possible_orders
from .states import AttemptState, Status

_NOTHING = Lookup((), complete=True)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a processor shows of earlier attempts.

    ``made`` is of the refund itself, ``twin`` of another one of its payment, best of the same
    amount, which no row counts. ``is_open`` says that something may be the refund or the like of
    it, and only a person can tell. ``is_complete`` says that nothing can have been overlooked.
    """

    made: ReportedRefund | None
    twin: ReportedRefund | None
    is_open: bool
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
    of_others = [each for each in likely if each.has_own_id and each not in alike]
    twins = [
        each for each in (*_not_failed(others), *of_others) if not is_counted(refund, each)
    ]  # fmt: skip
    return Earlier(
        made=made,
        twin=min(twins, key=lambda each: each.amount != refund.amount, default=None),
        is_open=_is_open(refund, alike),
        is_complete=own.complete,
    )


def look_everywhere(refund: Refund, gateway: PaymentGateway) -> Lookup:
    """Look for every attempt that a refund has or may have had: after a restore rows are missing.

    Raises NotSent or OutcomeUnknown.
    """
    orders = possible_orders(refund, voids=gateway.capabilities.voids_unsettled)
    return _together(gateway.find_refund(order) for order in orders)


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


def _look_for(attempts: Iterable[RefundAttempt], gateway: PaymentGateway) -> Lookup:
    return _together(gateway.find_refund(load_order(attempt)) for attempt in attempts)


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


def _is_open(refund: Refund, likely: Collection[ReportedRefund]) -> bool:
    """Whether one of these is no refund of ours, nor accepted by a person as made elsewhere.

    Those without an id are told by how many there are.
    """
    doubted = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).values("refund")
    rows = Refund.objects.exclude(pk__in=doubted)
    ids = {each.external_id for each in likely if each.has_own_id}
    known = rows.filter(account_id=refund.account_id, processor_refund_id__in=ids)
    explained = set(known.values_list("processor_refund_id", flat=True))
    if ids - explained - _accepted_without_payment(refund, ids):
        return True
    made = rows.exclude(TAKEN_BACK).filter(
        transaction=refund.transaction_id,
        amount_minor=refund.amount_minor,
        status__in=[Status.PENDING, Status.SUCCEEDED, Status.RETURNED],
    )
    return sum(not each.has_own_id for each in likely) > made.count()


def _accepted_without_payment(refund: Refund, ids: set[str]) -> set[str]:
    """Those that fit no payment of ours alone, and that a person has looked at."""
    cases = Attention.objects.filter(
        kind=AttentionKind.UNPLACED,
        account=refund.account_id,
        closed_by__isnull=False,
        evidence__refund__in=ids,
    )
    return set(cases.values_list("evidence__refund", flat=True))
