"""Above which amount another person has to approve."""

from __future__ import annotations

import pytest

from gateways.money import Money
from refunds.policy import why_approval


def usd(minor: int) -> Money:
    return Money(minor, "USD")


@pytest.mark.parametrize(
    ("amount", "before", "limit"),
    [(1, 0, 50_000), (50_000, 0, 50_000), (20_000, 30_000, 50_000), (99_999_999_999, 0, None)],
)
def test_up_to_the_limit_nobody_is_asked(amount, before, limit):
    assert why_approval(usd(amount), usd(before), limit and usd(limit)) == ""


@pytest.mark.parametrize(
    ("amount", "before", "limit", "words"),
    [
        (50_001, 0, 50_000, "because it is more than 500.00 USD."),
        (50_001, 30_000, 50_000, "because it is more than 500.00 USD."),
        (20_001, 30_000, 50_000, "with it 500.01 USD of this payment go back"),
        (1, 0, 0, "because it is more than 0.00 USD."),
    ],
)
def test_above_it_another_person_is_and_reads_why(amount, before, limit, words):
    why = why_approval(usd(amount), usd(before), usd(limit))
    assert why.startswith("Another person has to approve it")
    assert words in why
