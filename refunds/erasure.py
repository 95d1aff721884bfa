"""Erases a customer: what tells who they are goes, what was paid and given back stays.

Amounts, ids, times, states and the chain of events are the books, and stay as they are; so do the
two sums that the database compares with them. A later sync brings nothing back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db import transaction as database
from django.db.models import Case, Q, QuerySet, Value, When
from django.dispatch import Signal
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit.kinds import Kind
from audit.log import record, take_turn
from transactions import erasure
from transactions.erasure import ERASED, Names
from transactions.models import Customer, Transaction

from .models import Attention, Refund, RefundAttempt, Ruling
from .states import RESERVING

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ERASE = "transactions.erase_customer"
# Sent in the same commit with ``names``, for what stands above the refunds.
customer_erased = Signal()

# The bodies of what was sent and answered; when, where, with which status and id stays.
_EMPTY_BODIES = """
UPDATE refunds_refundattempt SET exchanges = (
  SELECT jsonb_agg(each || jsonb_build_object('request', %(mark)s, 'response', %(mark)s)
                   ORDER BY place)
  FROM jsonb_array_elements(exchanges) WITH ORDINALITY AS of (each, place))
WHERE id = ANY (%(attempts)s) AND exchanges <> '[]'
"""


class NotErased(Exception):
    """The customer cannot be erased now. ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found of a customer, and is gone."""

    payments: int
    refunds: int
    notes: int


def why_not(customer: Customer) -> str:
    """A sentence why the customer cannot be erased now, or nothing."""
    if customer.erased_at:
        return _("This customer is erased already.")
    paid = Transaction.objects.filter(
        Q(customer=customer) | Q(customer__merged_into=customer)
    ).values("pk")
    return _why_not_yet(paid)


def erase(customer: Customer, *, actor: User | None) -> Erased:
    """Erase a customer and all who were merged with them, in one commit. Raises NotErased."""
    with database.atomic():
        customers = erasure.lock(customer)
        if customers[0].erased_at:
            raise NotErased(_("This customer is erased already."))
        payments = erasure.lock_payments(customers)
        if sentence := _why_not_yet(payments):
            raise NotErased(sentence)
        names = erasure.names_of(customers, payments)
        erasure.erase_customers(customers)
        notes = erasure.erase_payments(payments, names.pseudonym)
        refunds = _erase_refunds(payments, names)
        customer_erased.send(sender=Customer, names=names)
        take_turn()  # who keeps or deletes a view has it before the view
        erasure.erase_from_views(names)
        _tell(customers[0], actor)
    return Erased(len(payments), refunds, notes)


def erase_late_payments() -> int:
    """Payments that a sync stored for somebody while they were being erased; how many."""
    late = Transaction.objects.filter(customer__erased_at__isnull=False, is_erased=False)
    with database.atomic():
        found = late.order_by("account_id", "external_id").select_for_update(of=("self",))
        keys = list(found.values_list("pk", "customer_id"))
        for payment, customer in keys:
            erasure.erase_payments([payment], erasure.pseudonym_of(Customer(pk=customer)))
    return len(keys)


def empty_bodies(attempts: QuerySet[RefundAttempt]) -> int:
    """Take the bodies out of the evidence of attempts; of how many."""
    keys = list(attempts.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_EMPTY_BODIES, {"mark": ERASED, "attempts": keys})
        emptied: int = cursor.rowcount
    return emptied


def _why_not_yet(payments: Collection[int] | QuerySet[Transaction, Any]) -> str:
    moving = Refund.objects.filter(transaction__in=payments, status__in=RESERVING).count()
    if moving:
        return (
            ngettext(
                "%d refund to this customer has not ended. Wait for it, or cancel it.",
                "%d refunds to this customer have not ended. Wait for them, or cancel them.",
                moving,
            )
            % moving
        )
    cases = Attention.objects.open().filter(
        Q(transaction__in=payments) | Q(refund__transaction__in=payments)
    )
    if number := cases.count():
        return (
            ngettext(
                "%d case about this customer is open. Close it first.",
                "%d cases about this customer are open. Close them first.",
                number,
            )
            % number
        )
    return ""


def _erase_refunds(payments: Collection[int], names: Names) -> int:
    """What people and processors wrote about refunds; how many refunds."""
    refunds = Refund.objects.filter(transaction__in=payments)
    typed = ("note", "words", "rejected_why")
    refunds.update(**{column: _marked(column) for column in typed})
    names.replaced_in(refunds.exclude(failure_message=""), "failure_message")
    attempts = RefundAttempt.objects.filter(refund__in=refunds)
    empty_bodies(attempts)
    names.replaced_in(attempts.exclude(processor_message=""), "processor_message")
    Ruling.objects.filter(refund__in=refunds).update(evidence=ERASED)
    _erase_cases(refunds, payments, names)
    return refunds.count()


def _erase_cases(refunds: QuerySet[Refund], payments: Collection[int], names: Names) -> None:
    """Closed cases about their payments, and about refunds of which only they were told."""
    about = Q(transaction__in=payments) | Q(refund__in=refunds)
    told = Q(evidence__email__in=names.known) | Q(evidence__payer__in=names.known)
    for spelt in {each.lower() for each in names.known if "@" in each}:
        told |= Q(evidence__email__iexact=spelt)
    names.replaced_in(Attention.objects.filter(about | told), "reason", "evidence", "outcome")
    Attention.objects.filter(about, closed_by__isnull=False).update(outcome=_marked("outcome"))


def _marked(column: str) -> Case:
    return Case(When(**{column: ""}, then=Value("")), default=Value(ERASED))


def _tell(customer: Customer, actor: User | None) -> None:
    record(
        Kind.CUSTOMER_ERASED, actor=actor, about=customer, about_name=erasure.pseudonym_of(customer)
    )
