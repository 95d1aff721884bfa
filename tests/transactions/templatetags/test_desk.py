from datetime import UTC, datetime

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from gateways.money import Money
from transactions.badges import Badge
from transactions.models import Transaction
from transactions.templatetags import desk


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (0, "USD", "0.00 USD"),
        (1, "USD", "0.01 USD"),
        (99_999_999_999, "USD", "999999999.99 USD"),
        (1234, "JPY", "1234 JPY"),
        (1_234_567, "KWD", "1234.567 KWD"),
        (-1234, "USD", "-12.34 USD"),
    ],
)
def test_the_text_of_an_amount_can_be_typed_again(minor, currency, text):
    assert strip_tags(desk.amount(Money(minor, currency))) == text


def test_a_gap_is_drawn_before_every_three_digits():
    html = desk.amount(Money(123_456_789, "JPY"))
    assert html.count('<span class="digits">') == 3


def test_a_badge_escapes_its_words():
    html = desk.badge(Badge("<b>", "bad", '"quoted"'))
    assert html == '<span class="badge badge-bad" title="&quot;quoted&quot;">&lt;b&gt;</span>'


def test_a_day_of_another_year_has_its_year():
    this_year = timezone.localdate().year
    assert desk.day(datetime(this_year, 3, 1, tzinfo=UTC)) == "1 Mar"
    assert desk.day(datetime(2019, 3, 1, tzinfo=UTC)) == "1 Mar 2019"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"brand": "visa", "last4": "4242"}, "Visa •••• 4242"),
        ({"brand": "American Express", "last4": "0005"}, "Amex •••• 0005"),
        ({"brand": "amex"}, "Amex"),
        ({"brand": "new_brand", "last4": "1"}, "New Brand •••• 1"),
        ({"method_type": "card", "last4": "4242"}, "Card •••• 4242"),
        ({"method_type": "bank"}, "Bank account"),
        ({"method_type": "wallet", "wallet": "paypal"}, "PayPal"),
        ({"method_type": "wallet"}, "Wallet"),
        ({"method_type": "card", "wallet": "apple_pay", "last4": "1"}, "Apple Pay •••• 1"),
        ({}, "Other"),
    ],
)
def test_how_somebody_paid(fields, words):
    assert desk.instrument(Transaction(**fields)) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [("google_pay", "Google Pay"), ("some_wallet", "Some Wallet"), ("", "")],
)
def test_wallets(name, words):
    assert desk.wallet(Transaction(wallet=name)) == words
