"""What the approval rules measure, from the rows, as it was when a refund was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Q, Sum

from gateways.money import Money
from transactions.models import Customer, Transaction

from .models import Refund, RefundQuerySet, RuleKind
from .people import accounts_of, of_person
from .states import RESERVING, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# What went back, or is on its way.
_GIVEN = sorted(RESERVING | {Status.SUCCEEDED})
_DAY, _MONTH, _QUARTER, _YEAR = (timedelta(days=days) for days in (1, 30, 90, 365))
# Of fewer refunds nobody can say what is usual.
_USUAL_LEAST = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """A refund that is asked for at a moment, or was: then ``refund`` is its row."""

    transaction: Transaction
    amount: Money
    requester: User
    at: datetime
    retry_of: Refund | None = None
    refund: Refund | None = None

    def others(self, since: timedelta | None = None) -> RefundQuerySet:
        """What went back or is on its way, and was asked for before this one."""
        found = Refund.objects.filter(status__in=_GIVEN).order_by()
        if self.refund:
            found = found.exclude(pk=self.refund.pk).filter(created_at__lte=self.at)
        return found.filter(created_at__gt=self.at - since) if since else found

    def of_requester(self, since: timedelta) -> RefundQuerySet:
        return self.others(since).filter(requested_by__in=accounts_of(self.requester))


def measure(kind: RuleKind, asked: Asked) -> int | None:
    """What is compared with the rule; None where there is nothing to compare."""
    return _MEASURES[kind](asked)


def _of_payment(asked: Asked) -> int:
    before = asked.others().filter(transaction=asked.transaction)
    return asked.amount.minor + _sum(before)


def _of_day(asked: Asked) -> int:
    """At the person's word alone: what others approved is not among it."""
    alone = asked.of_requester(_DAY).filter(needs_approval=False, approved_by=None)
    return asked.amount.minor + _sum(alone.filter(currency=asked.amount.currency))


def _age_in(unit: timedelta) -> Callable[[Asked], int]:
    return lambda asked: max(asked.at - asked.transaction.created_at, timedelta(0)) // unit


def _tries(asked: Asked) -> int:
    tries, earlier = 0, asked.retry_of
    while earlier:
        tries, earlier = tries + 1, earlier.retry_of
    return tries


def _of_customer(asked: Asked) -> int | None:
    customer = asked.transaction.customer_id
    if customer is None:
        return None
    return asked.others(_MONTH).filter(transaction__customer=customer).count()


def _of_card(asked: Asked) -> int | None:
    """A card is known by its brand and last four digits only: others share them."""
    payment = asked.transaction
    if not (payment.last4 and payment.brand):
        return None
    like_it = {"transaction__last4": payment.last4, "transaction__brand": payment.brand}
    return asked.others(_MONTH).filter(**like_it).count()


def _of_own_customer(asked: Asked) -> int | None:
    customer = asked.transaction.customer_id
    if customer is None:
        return None
    return asked.of_requester(_QUARTER).filter(transaction__customer=customer).count()


def _disputes(asked: Asked) -> int | None:
    customer = asked.transaction.customer_id
    if customer is None:
        return None
    paid = Transaction.objects.filter(customer=customer, disputed=True)
    return paid.filter(created_at__gt=asked.at - _YEAR).count()


def approved_by(person: User, payments: Collection[int]) -> RefundQuerySet:
    """What the person let go back of the payments, under whatever account."""
    given = Refund.objects.filter(transaction__in=payments, status__in=_GIVEN)
    return given.filter(approved_by__in=accounts_of(person)).order_by()


def is_risky(asked: Asked) -> bool:
    """Whether people marked the customer; who took that back did so for others only."""
    customer = asked.transaction.customer_id
    if customer is None:
        return False
    counts = Q(is_risky=True) | of_person(asked.requester, "cleared_by")
    return Customer.objects.filter(counts, pk=customer).exists()


def _times_the_usual(asked: Asked) -> int | None:
    theirs = asked.of_requester(_QUARTER).filter(currency=asked.amount.currency)
    found = theirs.aggregate(number=Count("pk"), minor=Sum("amount_minor"))
    if found["number"] < _USUAL_LEAST:
        return None
    # Rounded up, so that more than a whole number of times is more than that number.
    return int(-(-asked.amount.minor * found["number"] // found["minor"]))


def _sum(refunds: RefundQuerySet) -> int:
    return int(refunds.aggregate(minor=Sum("amount_minor"))["minor"] or 0)


_MEASURES: dict[RuleKind, Callable[[Asked], int | None]] = {
    RuleKind.PAYMENT: _of_payment,
    RuleKind.DAY: _of_day,
    RuleKind.AGE: _age_in(timedelta(days=1)),
    RuleKind.SOON: _age_in(timedelta(minutes=1)),
    RuleKind.TRIES: _tries,
    RuleKind.CUSTOMER: _of_customer,
    RuleKind.CARD: _of_card,
    RuleKind.OWN_CUSTOMER: _of_own_customer,
    RuleKind.RISKY: _disputes,
    RuleKind.UNUSUAL: _times_the_usual,
}
