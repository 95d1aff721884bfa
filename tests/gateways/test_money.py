import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.money import (
    CURRENCIES,
    MAX_MINOR,
    InvalidAmount,
    Money,
    exponent_of,
    parse_amount,
    parse_reported,
    write_amount,
)

currencies = st.sampled_from(sorted(CURRENCIES))
amounts = st.integers(min_value=1, max_value=MAX_MINOR)


class TestMoney:
    @pytest.mark.parametrize(
        ("minor", "currency", "text"),
        [
            (0, "USD", "0.00"),
            (1, "USD", "0.01"),
            (-1, "USD", "-0.01"),
            (-1250, "EUR", "-12.50"),
            (100, "USD", "1.00"),
            (1500, "JPY", "1500"),
            (-5, "JPY", "-5"),
            (1, "KWD", "0.001"),
            (12345, "KWD", "12.345"),
            (MAX_MINOR, "USD", "999999999.99"),
            (MAX_MINOR, "KWD", "99999999.999"),
            (MAX_MINOR, "JPY", "99999999999"),
        ],
    )
    def test_writes_all_decimals_of_its_currency(self, minor, currency, text):
        assert Money(minor, currency).major() == text
        assert str(Money(minor, currency)) == f"{text} {currency}"

    @pytest.mark.parametrize("minor", [1.0, "1", True, None])
    def test_is_never_anything_but_whole(self, minor):
        with pytest.raises(TypeError):
            Money(minor, "USD")

    @pytest.mark.parametrize("currency", ["usd", "USDT", "XXX", "XAU", "", "US"])
    def test_refuses_what_is_no_currency(self, currency):
        with pytest.raises(InvalidAmount) as caught:
            Money(1, currency)
        assert caught.value.code == "unknown_currency"

    def test_is_equal_by_value(self):
        assert Money(5, "USD") == Money(5, "USD") != Money(5, "EUR")
        assert len({Money(5, "USD"), Money(5, "USD")}) == 1


class TestExponents:
    def test_are_those_of_iso_4217(self):
        by_exponent = {
            exponent: {code for code in CURRENCIES if exponent_of(code) == exponent}
            for exponent in (0, 2, 3)
        }
        zero = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()
        assert by_exponent[0] == set(zero) & CURRENCIES
        assert by_exponent[3] == set("BHD IQD JOD KWD LYD OMR TND".split())
        assert by_exponent[2] | by_exponent[0] | by_exponent[3] == CURRENCIES
        assert {"USD", "EUR", "HUF", "TWD", "MGA", "MRU"} <= by_exponent[2]


class TestParseAmount:
    @given(st.integers(min_value=1, max_value=9_999_999_999), currencies)
    def test_reads_what_money_writes(self, minor, currency):
        money = Money(minor, currency)
        assert parse_amount(money.major(), currency) == money

    @given(st.integers(min_value=10_000_000_000, max_value=MAX_MINOR), currencies)
    def test_reads_ten_digits_before_the_point_at_most(self, minor, currency):
        money = Money(minor, currency)
        if exponent_of(currency):
            assert parse_amount(money.major(), currency) == money
        else:
            with pytest.raises(InvalidAmount) as caught:
                parse_amount(money.major(), currency)
            assert caught.value.code == "too_large"

    @pytest.mark.parametrize(
        ("text", "currency", "minor"),
        [
            ("1", "USD", 100),
            ("1.5", "USD", 150),
            ("1.50", "USD", 150),
            ("0.01", "USD", 1),
            ("00012.50", "USD", 1250),
            ("12.345", "KWD", 12345),
            ("12.3", "KWD", 12300),
            ("1500", "JPY", 1500),
            ("19.99", "USD", 1999),  # 1998 through a float
            ("999999999.99", "USD", MAX_MINOR),
        ],
    )
    def test_reads_plain_digits(self, text, currency, minor):
        assert parse_amount(text, currency) == Money(minor, currency)

    @pytest.mark.parametrize(
        ("text", "currency", "code"),
        [
            (None, "USD", "empty"),
            ("", "USD", "empty"),
            (5, "USD", "not_text"),
            (5.0, "USD", "not_text"),
            (True, "USD", "not_text"),
            ([], "USD", "not_text"),
            ({}, "USD", "not_text"),
            ("0", "USD", "not_positive"),
            ("0.00", "USD", "not_positive"),
            ("12.345", "USD", "too_many_decimals"),
            ("100.5", "JPY", "too_many_decimals"),
            ("1.0", "JPY", "too_many_decimals"),
            ("1.2345", "KWD", "too_many_decimals"),
            ("1.00000000000000000001", "USD", "too_many_decimals"),
            ("1000000000.00", "USD", "too_large"),
            ("9999999999", "USD", "too_large"),
            ("9" * 11, "USD", "too_large"),
            ("9" * 400, "USD", "too_large"),
            ("9" * 11 + ".99", "USD", "too_large"),
            ("5", "usd", "unknown_currency"),
            ("5", "USDT", "unknown_currency"),
            ("5", "XXX", "unknown_currency"),
        ],
    )
    def test_says_what_is_wrong(self, text, currency, code):
        with pytest.raises(InvalidAmount) as caught:
            parse_amount(text, currency)
        assert caught.value.code == code

    @pytest.mark.parametrize(
        "text",
        [
            "-0", "-1", "NaN", "sNaN", "Infinity", "1e309", "1e3", "1E-2", "1_000", "0x10", "١٢",
            "１２", "½", " 12.50", "12.50 ", "12,50", "1,250.00", "1.250,00", ".5", "5.", "+5", "−5",
            "$5", "5 USD", "5\n", "\x005", "5\x00", "1\u200b2", "\u202e12", "1.2.3", "true", "null",
        ],
    )  # fmt: skip
    def test_refuses_whatever_else_a_parser_might_take(self, text):
        with pytest.raises(InvalidAmount) as caught:
            parse_amount(text, "USD")
        assert caught.value.code == "not_a_number"

    @given(st.text(max_size=30), currencies)
    def test_accepts_nothing_but_ascii_digits(self, text, currency):
        try:
            money = parse_amount(text, currency)
        except InvalidAmount:
            return
        assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII)
        assert 0 < money.minor <= MAX_MINOR


class TestParseReported:
    @given(st.integers(min_value=-MAX_MINOR, max_value=MAX_MINOR), currencies)
    def test_reads_what_money_writes(self, minor, currency):
        assert parse_reported(Money(minor, currency).major(), currency) == Money(minor, currency)

    @pytest.mark.parametrize(
        ("text", "currency", "minor"),
        [
            ("-1.50", "USD", -150),
            ("10.0", "USD", 1000),
            ("12.5000", "USD", 1250),
            ("100", "USD", 10000),
            ("1500.00", "JPY", 1500),
            ("-0.00", "USD", 0),
            (" 5 ", "USD", 500),
            ("12.340", "KWD", 12340),
        ],
    )
    def test_drops_zeros_that_say_nothing(self, text, currency, minor):
        assert parse_reported(text, currency) == Money(minor, currency)

    @pytest.mark.parametrize(
        ("text", "currency", "code"),
        [
            ("12.345", "USD", "too_many_decimals"),
            ("1500.5", "JPY", "too_many_decimals"),
            ("1,50", "USD", "not_a_number"),
            ("", "USD", "not_a_number"),
            ("1e3", "USD", "not_a_number"),
            ("١٢", "USD", "not_a_number"),
            ("--1", "USD", "not_a_number"),
            ("5", "ZZZ", "unknown_currency"),
        ],
    )
    def test_never_rounds(self, text, currency, code):
        with pytest.raises(InvalidAmount) as caught:
            parse_reported(text, currency)
        assert caught.value.code == code

    def test_minds_a_processor_that_counts_more_coarsely(self):
        assert parse_reported("12.00", "HUF", decimals=0) == Money(1200, "HUF")
        with pytest.raises(InvalidAmount):
            parse_reported("12.50", "HUF", decimals=0)


class TestWriteAmount:
    @pytest.mark.parametrize(
        ("minor", "currency", "decimals", "text"),
        [
            (1250, "USD", 2, "12.50"),
            (1500, "JPY", 2, "1500.00"),
            (1500, "JPY", 0, "1500"),
            (1200, "HUF", 0, "12"),
            (12340, "KWD", 2, "12.34"),
            (12345, "KWD", 3, "12.345"),
        ],
    )
    def test_writes_exactly_so_many_decimals(self, minor, currency, decimals, text):
        assert write_amount(Money(minor, currency), decimals=decimals) == text

    @pytest.mark.parametrize(
        ("minor", "currency", "decimals"), [(1250, "HUF", 0), (12345, "KWD", 2)]
    )
    def test_never_rounds(self, minor, currency, decimals):
        with pytest.raises(InvalidAmount) as caught:
            write_amount(Money(minor, currency), decimals=decimals)
        assert caught.value.code == "too_many_decimals"

    @given(amounts, currencies, st.integers(min_value=0, max_value=4))
    def test_is_read_back_as_the_same(self, minor, currency, decimals):
        money = Money(minor, currency)
        try:
            text = write_amount(money, decimals=decimals)
        except InvalidAmount:
            assert minor % 10 ** max(0, exponent_of(currency) - decimals)
            return
        assert parse_reported(text, currency) == money


@given(
    st.integers(min_value=1, max_value=100_000),
    st.lists(st.integers(1, 1000), max_size=20),
    currencies,
)
def test_parts_and_the_rest_are_exactly_the_whole(total, parts, currency):
    left = total
    sent = []
    for part in parts:
        if part <= left:
            sent.append(Money(part, currency).major())
            left -= part
    if left:
        sent.append(Money(left, currency).major())
    assert sum(parse_amount(text, currency).minor for text in sent) == total
