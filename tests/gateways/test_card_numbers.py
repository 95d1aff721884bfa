"""Card numbers in whatever somebody pasted, however they are written."""

import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateways.card_numbers import (
    holds_card_number,
    is_card_number,
    mask_card_numbers,
    passes_luhn,
)

VISA, AMEX = "4242424242424242", "378282246310005"
# What the processors and networks publish for tests: one of each network and length.
PUBLISHED = [
    VISA, AMEX, "4222222222222", "4111111111111111", "4000056655665556", "5555555555554444",
    "2223003122003222", "2720990000000007", "5105105105105100", "371449635398431",
    "6011111111111117", "6011000990139424", "30569309025904", "38520000023237", "36227206271667",
    "3566002020360505", "6200000000000005", "6759649826438453", "5018000000000009",
    "2201382000000013", "8171999927660000", "9792030394440796",
]  # fmt: skip
GAPS = [
    "", " ", "-", "  ", "\xa0", "\u202f", "\t", "\n", "\r\n", ".", "/", "_", ",", "\u2013", " - ",
    "\u200b", "\u2060 ", "\x07", "\u202e", "\ufe0f", "\u0332",
]  # fmt: skip
# The digits of other alphabets, each by its zero.
ZEROS = "0٠۰००๐０𝟎𝟘"


def grouped(digits: str, gap: str, *sizes: int) -> str:
    groups, start = [], 0
    for size in sizes:
        groups.append(digits[start : start + size])
        start += size
    return gap.join(groups)


def with_check_digit(body: str) -> str:
    return next(f"{body}{digit}" for digit in range(10) if passes_luhn(f"{body}{digit}"))


@st.composite
def numbers(draw):
    """Digits that are a card number of some network."""
    beginning, length = draw(
        st.sampled_from([("4", 13), ("4", 16), ("4", 19), ("51", 16), ("2221", 16), ("34", 15),
                         ("36", 14), ("3530", 17), ("62", 18), ("50", 13), ("81", 16),
                         ("2204", 16), ("9860", 16)])
    )  # fmt: skip
    fill = length - len(beginning) - 1
    middle = draw(st.text("0123456789", min_size=fill, max_size=fill))
    return with_check_digit(beginning + middle)


@pytest.mark.parametrize("number", PUBLISHED)
def test_the_published_test_cards_are_card_numbers(number):
    assert is_card_number(number)
    body, check = number[:-1], int(number[-1])
    assert [digit for digit in range(10) if is_card_number(f"{body}{digit}")] == [check]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("before", ["", "Card ", "Order 9999, "])
def test_a_card_number_is_found_whatever_stands_between_its_groups(gap, before):
    for number in (grouped(VISA, gap, 4, 4, 4, 4), grouped(AMEX, gap, 4, 6, 5)):
        text = f"{before}{number}!"
        assert holds_card_number(text)
        masked = f"{before}[card {VISA[-4:] if '4242' in number else '0005'}]!"
        assert mask_card_numbers(text) == masked


@given(
    number=numbers(),
    gap=st.sampled_from(["", " ", "-", "\u2011", "\u200b", "\xad", "\ufeff "]),
    sizes=st.lists(st.integers(1, 6), min_size=4, max_size=19),
    zero=st.sampled_from(ZEROS),
    before=st.sampled_from(["", "no ", "карта: ", "(", "Visa"]),
    after=st.sampled_from(["", ".", " thanks", "年", "X"]),
)
def test_no_way_of_grouping_or_alphabet_hides_one(number, gap, sizes, zero, before, after):
    assume(sum(sizes) >= len(number))
    written = grouped(number, gap, *sizes)
    written = "".join(
        chr(ord(zero) + int(c)) if c.isascii() and c.isdigit() else c for c in written
    )
    text = f"{before}{written.strip(gap)}{after}"
    assert holds_card_number(text)
    masked = mask_card_numbers(text)
    assert not holds_card_number(masked)
    assert len(masked) <= len(text)
    assert masked.startswith(before)
    assert masked.endswith(after)


@given(number=numbers(), gap=st.sampled_from(["\n", ". ", " / ", "_", ", ", "\t"]))
def test_digits_typed_one_by_one_do_not_hide_it(number, gap):
    assert holds_card_number(f"it is {gap.join(number)}, he said")


@given(st.text(), st.text("0123456789 -.\u200b٤", max_size=60))
def test_any_text_is_read_and_what_is_masked_holds_none(some, digits):
    for text in (some, digits, f"{some}{digits}"):
        masked = mask_card_numbers(text)
        assert len(masked) <= len(text)
        assert (masked == text) == (not holds_card_number(text))
        assert not holds_card_number(masked)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",
        "4242 4242 4242 4241",
        "42424242424242424242",
        "from 2026-11-28 12:30 to 2026-11-30 18:00",
        "1001\n1002\n1003\n1004",
        "+40 721 000 000, +40 721 000 001",
        "4242a4242b4242c4242",
        "order 1000000000000008",  # passes the check digit, and begins like no card
        "at 1795335762004 in milliseconds",
        "tracking 0000000000000000",
        "tracking 9400110200881234567894",
        "invoice 7000000000000002",
    ],
)
def test_other_digits_are_left_alone(text):
    assert not holds_card_number(text)
    assert mask_card_numbers(text) == text


def test_of_random_numbers_few_are_taken_for_cards():
    """By the check digit alone it would be one in ten."""
    digits = "314159265358979323846264338327950288419716939937510582097494459230781640628620899"
    orders = [f"{(int(digits[i : i + 9]) * 7919) % 10**16:016d}" for i in range(70)]
    assert sum(map(is_card_number, orders)) <= 5


def test_a_long_text_is_searched_in_no_time():
    for text in (
        "4 " * 50_000,
        "4" * 100_000,
        "4242-" * 20_000,
        "4.\u200b" * 30_000,
        "1,\n" * 30_000,
        "1" + "\u200b" * 200_000,
        "1-" + "\u200b" * 200_000,
    ):
        mask_card_numbers(text)
        holds_card_number(text)


@pytest.mark.parametrize("digit", ["1", "4", "6"])
@pytest.mark.parametrize("gap", ["-", "\u200b", ".", "\n"])
def test_each_character_costs_a_few_steps(digit, gap):
    """Counted and not timed: how many functions are called for a text that means harm."""
    text = f"{digit}{gap}" * 2_000
    steps = 0

    def count(_frame, event, _function):
        nonlocal steps
        steps += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        mask_card_numbers(text)
    finally:
        sys.setprofile(before)
    assert steps < 5 * len(text)
