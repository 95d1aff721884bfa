"""Every amount that is refused has a sentence, and the sentence says what is wrong."""

import pytest

from gateways.money import InvalidAmount, Money, parse_amount, write_amount
from transactions.amounts import explain

DIGITS_AND_A_DOT = "Enter the amount with digits and a dot only, such as 12.50."
TWO_DECIMALS = "USD has 2 decimals here: write, for example, 12.50."
THREE_DECIMALS = "KWD has 3 decimals here: write, for example, 12.500."
NO_DECIMALS = "JPY has no decimals here: write a whole number, such as 1500."
MORE_THAN_ZERO = "The amount must be more than zero."
TOO_LARGE = "The amount is larger than any payment can be."
AS_TEXT = 'Write the amount as text in quotation marks, such as "12.50".'
NOTHING = "Enter an amount."

REFUSED = [
    *[
        (text, "USD", DIGITS_AND_A_DOT)
        for text in (
            *("-0", "-1", "NaN", "sNaN", "Infinity", "1e309", "1e3", "1E-2", "1_000", "0x10"),
            *("١٢", "１２", "½", " 12,50", "12,50", "1,250.00", "1.250,00", ".5", "5.", "+5", "−5"),
            *("$5", "5 USD", " 12.50", "12.50 ", "12.50\n", "\x0012", "1\u200b2", "\u202e12", " "),
        )
    ],
    ("12.345", "USD", TWO_DECIMALS),
    ("12.3456", "USD", TWO_DECIMALS),
    ("100.5", "JPY", NO_DECIMALS),
    ("100.00", "JPY", NO_DECIMALS),
    ("1.2345", "KWD", THREE_DECIMALS),
    ("0", "USD", MORE_THAN_ZERO),
    ("0.00", "USD", MORE_THAN_ZERO),
    ("0", "JPY", MORE_THAN_ZERO),
    ("0.000", "KWD", MORE_THAN_ZERO),
    ("100000000000000000000", "USD", TOO_LARGE),
    ("9" * 400, "USD", TOO_LARGE),
    ("9" * 400 + ".00", "USD", TOO_LARGE),
    ("9223372036854775808", "USD", TOO_LARGE),
    ("9007199254740993", "USD", TOO_LARGE),
    ("1000000000.00", "USD", TOO_LARGE),
    ("", "USD", NOTHING),
    (None, "USD", NOTHING),
    (True, "USD", AS_TEXT),
    (12, "USD", AS_TEXT),
    (12.5, "USD", AS_TEXT),
    ([], "USD", AS_TEXT),
    (["12.50"], "USD", AS_TEXT),
    ({}, "USD", AS_TEXT),
    ("5", "usd", "usd is not a currency code such as EUR."),
    ("5", "USDT", "USDT is not a currency code such as EUR."),
    ("5", "XXX", "XXX is not a currency code such as EUR."),
]


@pytest.mark.parametrize(("text", "currency", "sentence"), REFUSED)
def test_every_bad_amount_is_explained(text, currency, sentence):
    with pytest.raises(InvalidAmount) as refused:
        parse_amount(text, currency)
    assert explain(refused.value) == sentence


def test_an_amount_finer_than_the_processor_counts_is_explained():
    with pytest.raises(InvalidAmount) as refused:
        write_amount(Money(1250, "HUF"), decimals=0)
    assert explain(refused.value) == "HUF has no decimals here: write a whole number, such as 1500."


def test_the_example_in_the_sentence_is_an_amount_of_that_currency():
    assert parse_amount("12.50", "USD") == Money(1250, "USD")
    assert parse_amount("12.500", "KWD") == Money(12500, "KWD")
    assert parse_amount("1500", "JPY") == Money(1500, "JPY")
