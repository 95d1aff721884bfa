"""What people are told of the cost of a refund, and of when the customer sees it."""

from __future__ import annotations

import pytest

from gateways.base import Operation
from gateways.models import ProcessorAccount
from gateways.money import Money
from refunds.costs import arrival_in_words, cost_in_words, kept_fee

REFUND, VOID = Operation.REFUND, Operation.VOID


def account(processor: str = "stripe", **fields: object) -> ProcessorAccount:
    return ProcessorAccount(slug="main", processor=processor, mode="test", **fields)


@pytest.mark.parametrize(
    ("minor", "points", "kept"),
    [
        *((10_000, 290, 290), (1, 290, 0), (17, 290, 0), (18, 290, 1), (50, 100, 1), (49, 100, 0)),
        *((99_999_999_999, 10_000, 99_999_999_999), (10_000, 0, 0)),
    ],
)
def test_the_kept_fee_is_rounded_to_the_nearest_unit(minor, points, kept):
    assert kept_fee(account(fee_basis_points=points), Money(minor, "USD")) == Money(kept, "USD")


def test_a_fee_has_the_decimals_of_its_currency():
    words = cost_in_words(account(fee_basis_points=360), Money(1_500, "JPY"), REFUND)
    assert "54 JPY" in words
    words = cost_in_words(account(fee_basis_points=290), Money(12_500, "KWD"), REFUND)
    assert "0.363 KWD" in words


def test_what_it_costs_is_said_where_it_is_known():
    amount = Money(10_000, "EUR")
    own = {"refund_fee_minor": 10, "refund_fee_currency": "USD"}
    assert cost_in_words(account(), amount, REFUND) == ""
    kept = cost_in_words(account(fee_basis_points=290), amount, REFUND)
    assert kept == "It costs about 2.90 EUR: the processing fee is not given back."
    fee = cost_in_words(account(**own), amount, REFUND)
    assert fee == "It costs 0.10 USD: the processor's fee for a refund."
    both = cost_in_words(account(fee_basis_points=290, **own), amount, REFUND)
    assert both == "It costs about 2.90 EUR of processing fees, and 0.10 USD for the refund itself."
    assert "costs nothing" in cost_in_words(account(fee_basis_points=290), amount, VOID)


@pytest.mark.parametrize(
    ("processor", "days", "words"),
    [
        ("stripe", (None, None), "The customer sees it in 5 to 10 business days."),
        ("paypal", (None, None), ""),
        ("paypal", (3, 5), "The customer sees it in 3 to 5 business days."),
        ("nmi", (None, 4), "The customer sees it within 4 business days."),
        ("nmi", (4, 4), "The customer sees it within 4 business days."),
        ("stripe", (None, 7), "The customer sees it within 7 business days."),
        ("stripe", (None, 3), "The customer sees it within 3 business days."),
    ],
)
def test_when_the_customer_sees_it(processor, days, words):
    first, last = days
    found = account(processor, arrives_after_days=first, arrives_within_days=last)
    assert arrival_in_words(found, REFUND) == words
    assert arrival_in_words(found, VOID) == ""
