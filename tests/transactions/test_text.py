"""Card numbers in whatever somebody pasted, and what cannot be seen."""

import pytest

from transactions.text import clean, holds_card_number, mask_card_numbers

VISA, AMEX = "4242424242424242", "378282246310005"
GAPS = [
    "", " ", "-", "  ", "\xa0", "\u202f", "\t", "\n", "\r\n", ".", "/", "_", ",", "\u2013", " - ",
    "\u200b", "\u2060 ",
]  # fmt: skip


def grouped(digits: str, gap: str, *sizes: int) -> str:
    groups, start = [], 0
    for size in sizes:
        groups.append(digits[start : start + size])
        start += size
    return gap.join(groups)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("before", ["", "Card ", "Order 9999, "])
def test_a_card_number_is_found_whatever_stands_between_its_groups(gap, before):
    for number in (grouped(VISA, gap, 4, 4, 4, 4), grouped(AMEX, gap, 4, 6, 5)):
        text = f"{before}{number}!"
        assert holds_card_number(text)
        assert (
            mask_card_numbers(text)
            == f"{before}[card {VISA[-4:] if '4242' in number else '0005'}]!"
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",
        "4242 4242 4242 4241",
        "from 2026-11-28 12:30 to 2026-11-30 18:00",
        "1001\n1002\n1003\n1004",
        "+40 721 000 000, +40 721 000 001",
        "4242a4242b4242c4242",
    ],
)
def test_other_digits_are_left_alone(text):
    assert not holds_card_number(text)
    assert mask_card_numbers(text) == text


@pytest.mark.parametrize(
    "unseen", ["\u200b", "\u200e", "\u200f", "\ufeff", "\u2060", "\xad", "\x07", "\u202e"]
)
def test_what_cannot_be_seen_goes(unseen):
    assert clean(f"{unseen}Ana{unseen} ", 10) == "Ana"
    assert clean(unseen, 10) == ""


def test_what_joins_letters_and_pictures_stays():
    assert (
        clean("می\u200cخواهم \U0001f469\u200d\U0001f4bb", 30)
        == "می\u200cخواهم \U0001f469\u200d\U0001f4bb"
    )
