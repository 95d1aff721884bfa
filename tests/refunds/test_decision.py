from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import Operation
from gateways.money import Money
from refunds import decision, services

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("processor", "status", "minor", "operation", "waits"),
    [
        ("stripe", "settled", 10_000, Operation.REFUND, False),
        ("stripe", "captured", 10_000, Operation.REFUND, False),
        ("paypal", "captured", 4_000, Operation.REFUND, False),
        ("authorizenet", "settled", 10_000, Operation.REFUND, False),
        ("authorizenet", "captured", 10_000, Operation.VOID, False),
        ("authorizenet", "captured", 9_999, Operation.REFUND, True),
        ("nmi", "captured", 10_000, Operation.VOID, False),
        ("nmi", "captured", 1, Operation.REFUND, True),
        ("nmi", "settled", 1, Operation.REFUND, False),
    ],
)
def test_void_refund_or_wait(
    make_account, make_transaction, processor, status, minor, operation, waits
):
    transaction = make_transaction(make_account(processor), status=status)
    planned = decision.plan(transaction, Money(minor, "USD"))
    assert (planned.operation, planned.waits) == (operation, waits)
    assert planned.sentence.endswith(".")


def test_a_void_is_never_used_for_a_part_of_what_was_paid(make_account, make_transaction, ask):
    transaction = make_transaction(make_account("authorizenet"), status="captured")
    ask(transaction, 4_000)
    transaction.refresh_from_db()
    planned = decision.plan(transaction, transaction.refundable)
    assert planned.operation is Operation.REFUND


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"status": "authorized"}, "not_captured", "only authorized"),
        ({"status": "voided"}, "not_captured", "cancelled before it settled"),
        ({"status": "failed"}, "not_captured", "failed"),
        ({"disputed": True}, "disputed", "disputed"),
        ({"amount_minor": 0}, "exceeds_refundable", "nothing is left"),
    ],
)
def test_what_stands_against_any_refund(make_transaction, fields, code, words):
    transaction = make_transaction(**fields)
    found = decision.blocked(transaction)
    assert found
    assert found.code == code
    assert words in found.sentence
    assert services.why_not(transaction) == found.sentence


def test_money_on_its_way_back_is_named(make_transaction, ask):
    transaction = make_transaction()
    ask(transaction, 10_000)
    transaction.refresh_from_db()
    assert "on its way" in (services.why_not(transaction) or "")


@pytest.mark.parametrize(
    ("processor", "days", "refundable"),
    [("stripe", 3_000, True), ("paypal", 179, True), ("paypal", 181, False),
     ("authorizenet", 181, False)],
)  # fmt: skip
def test_the_processors_age_limits(make_account, make_transaction, processor, days, refundable):
    old = timezone.now() - timedelta(days=days)
    transaction = make_transaction(make_account(processor), created_at=old)
    assert (services.why_not(transaction) is None) is refundable


def test_amounts_finer_than_the_processor_takes(make_account, make_transaction):
    transaction = make_transaction(make_account("paypal"), currency="HUF")
    found = decision.check_step(transaction, Money(150, "HUF"))
    assert found
    assert "steps of 1.00" in found.sentence
    assert decision.check_step(transaction, Money(200, "HUF")) is None
