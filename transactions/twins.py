"""Payments that may have been made twice: one customer, one amount, a short time apart.

Of those that have a twin the row says so (``has_twin``), so that a list of them reads no others.
What is marked stays marked: whether both still stand is asked when they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from gateways.models import ProcessorAccount

from .models import TAKEN, Customer, RefundProgress, Transaction

_ALIKE = ("customer", "mode", "currency", "amount_minor")
# Taken, and not given back.
_STANDS = Q(status__in=TAKEN) & ~Q(refund_state=RefundProgress.FULL)


# Rows that somebody holds are left out instead of waited for, so that nobody ever waits in turn
# with a sync or a refund; the payments that were just stored are free.
_MARK = """
WITH fresh AS (
  SELECT id, {shared}, created_at FROM transactions_transaction
  WHERE {which} AND customer_id IS NOT NULL
), pairs AS (
  SELECT fresh.id AS one, twin.id AS other
  FROM fresh JOIN transactions_transaction AS twin USING ({shared})
  WHERE twin.id <> fresh.id
    AND twin.created_at BETWEEN fresh.created_at - %(window)s AND fresh.created_at + %(window)s
), free AS (
  SELECT id FROM transactions_transaction
  WHERE NOT has_twin AND id IN (SELECT one FROM pairs UNION SELECT other FROM pairs)
  FOR UPDATE SKIP LOCKED
)
UPDATE transactions_transaction SET has_twin = true WHERE id IN (SELECT id FROM free)
"""
_SHARED = "customer_id, mode, currency, amount_minor"
_MARK_STORED = _MARK.format(
    shared=_SHARED, which="account_id = %(account)s AND external_id = ANY(%(ids)s)"
)
_MARK_CUSTOMER = _MARK.format(shared=_SHARED, which="customer_id = %(customer)s")


def mark_twins(account: ProcessorAccount, external_ids: Sequence[str]) -> None:
    """Mark those of the account's payments that have a twin, at whatever account, and the twins."""
    if external_ids:
        _mark(_MARK_STORED, {"account": account.pk, "ids": list(external_ids)})


def mark_twins_of(customer: Customer) -> None:
    """The same for all payments of a customer."""
    _mark(_MARK_CUSTOMER, {"customer": customer.pk})


def twins_of(payment: Transaction) -> QuerySet[Transaction]:
    """The other payments that this one may be a second time of, and that still stand."""
    if not payment.has_twin:
        return Transaction.objects.none()
    twins = _alike(payment).filter(_STANDS).exclude(pk=payment.pk)
    return twins.select_related("account").order_by("created_at", "pk")


def with_standing_twin(payments: QuerySet[Transaction]) -> QuerySet[Transaction]:
    """Those of the payments of which one of two should perhaps go back."""
    return payments.filter(_STANDS, Exists(_others().filter(_STANDS)), has_twin=True)


def _mark(statement: str, values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values | {"window": _window()})


def _alike(payment: Transaction) -> QuerySet[Transaction]:
    """The payment and all its twins."""
    shared = {name: getattr(payment, name) for name in _ALIKE}
    return _near(payment.created_at).filter(**shared)


def _others() -> QuerySet[Transaction]:
    """The twins of an outer payment."""
    shared = {name: OuterRef(name) for name in _ALIKE}
    return _near(OuterRef("created_at")).filter(**shared).exclude(pk=OuterRef("pk"))


def _near(moment: Any) -> QuerySet[Transaction]:
    around = (moment - _window(), moment + _window())
    return Transaction.objects.filter(created_at__range=around)


def _window() -> timedelta:
    return timedelta(minutes=settings.DUPLICATE_WINDOW_MINUTES)
