"""Card numbers in text: 13 to 19 digits of any alphabet, however they are parted.

A number is one when it passes the check digit and begins, and is as long, as those of a card
network. By the check digit alone one in ten order numbers would be one.
"""

from __future__ import annotations

import re
from itertools import chain
from unicodedata import decimal

_LENGTHS = range(13, 20)
# Beginnings of the networks, and how long their numbers are.
_NETWORKS: tuple[tuple[str, range], ...] = (
    ("4", range(13, 20, 3)),  # Visa
    ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", range(16, 17)),  # Mastercard
    ("3[47]", range(15, 16)),  # American Express
    ("30[0-5]|3095|36|3[89]", range(14, 20)),  # Diners Club
    ("35(2[89]|[3-8])", range(16, 20)),  # JCB
    ("6|5[0678]", range(13, 20)),  # Maestro, Discover, UnionPay
    ("8[12]", range(16, 20)),  # UnionPay, RuPay
    ("220[0-4]", range(16, 20)),  # Mir
    ("8600|9792|9860", range(16, 17)),  # Uzcard, Troy, Humo
)
_BEGINNINGS = tuple((re.compile(beginning), lengths) for beginning, lengths in _NETWORKS)
# Twice each digit, and the sum of the digits of that.
_DOUBLED = str.maketrans("0123456789", "0246813579")

# What takes no room, or is drawn over what stands before it.
_UNSEEN = (
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u0300-\u036f\u061c\u180b-\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u20d0-\u20f0\ufe00-\ufe0f\ufeff]"
)
_BLANK_OR_DASH = r"[ \xa0\u2000-\u200a\u202f\u205f\u3000\-\u2010-\u2015\u2212]"
# Digits in groups of any length, with one blank or dash of whatever kind between them.
_GAP = rf"(?:{_UNSEEN}+{_BLANK_OR_DASH}?|{_BLANK_OR_DASH}){_UNSEEN}*"
_RUN = re.compile(rf"\d+(?:{_GAP}\d+)*")
# Groups as cards have them, or single digits, with anything between them that is no letter: what
# was pasted from a table, or typed to pass. Looked for at each place, as another number may stand
# before.
_WIDE_GAP = r"[\W_]{1,3}"
_SHAPED = re.compile(
    rf"(?<!\d)(?=(\d{{4}}(?:{_WIDE_GAP}\d{{4}}){{3}}(?:{_WIDE_GAP}\d{{1,3}})?(?!\d)"
    rf"|\d{{4}}{_WIDE_GAP}\d{{6}}{_WIDE_GAP}\d{{4,5}}(?!\d)))"
)
_SPELT = re.compile(rf"(?<!\d)\d(?:{_WIDE_GAP}\d(?!\d)){{12,}}")


def is_card_number(digits: str) -> bool:
    """Whether 13 to 19 digits, and nothing else, are a card number."""
    if not digits.isascii():
        digits = "".join(str(decimal(digit)) for digit in digits)
    return _is_of_a_network(digits) and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit that card numbers carry (ISO/IEC 7812)."""
    doubled = digits[-2::-2].translate(_DOUBLED)
    return sum(map(int, digits[-1::-2] + doubled)) % 10 == 0


def holds_card_number(text: str) -> bool:
    """Whether a card number stands in it."""
    return bool(_card_numbers(text))


def mask_card_numbers(text: str) -> str:
    """The text with only the last four digits of card numbers; never longer than it was."""
    for number in _card_numbers(text):
        text = text.replace(number, masked(_digits_of(number)))
    return text


def masked(digits: str) -> str:
    """What stands in the place of a card number."""
    return f"[card {digits[-4:]}]"


def _card_numbers(text: str) -> list[str]:
    """Those in the text as they are written there, the longest of overlapping ones first."""
    if len(text) < _LENGTHS.start:
        return []
    runs = (match[0] for match in chain(_RUN.finditer(text), _SPELT.finditer(text)))
    found = {number for run in runs if len(run) >= _LENGTHS.start for number in _in_run(run)}
    shaped = (match[1] for match in _SHAPED.finditer(text))
    found |= {each for each in shaped if is_card_number(_digits_of(each))}
    return sorted(found, key=len, reverse=True)


def _digits_of(number: str) -> str:
    return re.sub(r"\D", "", number)


def _in_run(run: str) -> list[str]:
    """The neighbouring groups of a run of digits that together are a card number."""
    groups = list(re.finditer(r"\d+", run))
    found: list[str] = []
    for first, group in enumerate(groups):
        digits = ""
        for last in groups[first : first + _LENGTHS.stop]:
            digits += last[0]
            if len(digits) in _LENGTHS and is_card_number(digits):
                found.append(run[group.start() : last.end()])
    return found


def _is_of_a_network(digits: str) -> bool:
    return any(
        len(digits) in lengths and beginning.match(digits) for beginning, lengths in _BEGINNINGS
    )
