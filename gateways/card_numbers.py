"""Card numbers in text: 13 to 19 digits of any alphabet, however they are parted.

A number is one when it passes the check digit and begins, and is as long, as those of a card
network. By the check digit alone one in ten order numbers would be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, chain
from unicodedata import decimal

_LENGTHS = range(13, 20)
# Beginnings of the networks, and how long their numbers are. No number begins as those of two.
_NETWORKS: tuple[tuple[str, range], ...] = (
    ("4", range(13, 20, 3)),  # Visa
    ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", range(16, 17)),  # Mastercard
    ("3[47]", range(15, 16)),  # American Express
    ("30[0-5]|3095|36|3[89]", range(14, 20)),  # Diners Club
    ("35(?:2[89]|[3-8])", range(16, 20)),  # JCB
    ("6|5[0678]", range(13, 20)),  # Maestro, Discover, UnionPay
    ("8[12]", range(16, 20)),  # UnionPay, RuPay
    ("220[0-4]", range(16, 20)),  # Mir
    ("8600|9792|9860", range(16, 17)),  # Uzcard, Troy, Humo
)
# Which group it is says which network. The first digit is looked at first: it is quick.
_BEGINNING = re.compile(
    f"(?=[2-689])(?:{'|'.join(f'({beginning})' for beginning, _lengths in _NETWORKS)})"
)
# Twice each digit, and the sum of the digits of that.
_DOUBLED = str.maketrans("0123456789", "0246813579")

# What takes no room, or is drawn over what stands before it.
_UNSEEN = (
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u0300-\u036f\u061c\u180b-\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u20d0-\u20f0\ufe00-\ufe0f\ufeff]"
)
_BLANK_OR_DASH = r"[ \xa0\u2000-\u200a\u202f\u205f\u3000\-\u2010-\u2015\u2212]"
# Digits in groups of any length, with one blank or dash of whatever kind between them. Each gap
# reads in one way only: with two, a long one would be read in all of their mixtures.
_GAP = rf"(?:{_UNSEEN}+(?:{_BLANK_OR_DASH}{_UNSEEN}*)?|{_BLANK_OR_DASH}{_UNSEEN}*)"
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
    digits = _in_ascii(digits)
    begins = _BEGINNING.match(digits)
    return begins is not None and len(digits) in _lengths_of(begins) and passes_luhn(digits)


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
    runs = {match[0] for match in chain(_RUN.finditer(text), _SPELT.finditer(text))}
    found = {number for run in runs if len(run) >= _LENGTHS.start for number in _in_run(run)}
    shaped = (match[1] for match in _SHAPED.finditer(text))
    found |= {each for each in shaped if is_card_number(_digits_of(each))}
    return sorted(found, key=len, reverse=True)


def _digits_of(number: str) -> str:
    return "".join(filter(str.isdecimal, number))


def _in_ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(decimal(digit)) for digit in digits)


def _lengths_of(begins: re.Match[str]) -> range:
    """How long the numbers are that begin so."""
    assert begins.lastindex is not None  # each alternative is a group
    return _NETWORKS[begins.lastindex - 1][1]


def _in_run(run: str) -> Iterator[str]:
    """The neighbouring groups of a run of digits that together are a card number.

    However long the run is, each place costs a few steps: that many lengths begin there.
    """
    digits = _in_ascii(_digits_of(run))
    if not _BEGINNING.search(digits):
        return
    groups = [group.span() for group in re.finditer(r"\d+", run)]
    places = list(accumulate((end - start for start, end in groups), initial=0))
    ends = {place: end for place, (_start, end) in zip(places[1:], groups, strict=True)}
    sums = _luhn_sums(digits)
    for first, (start, _end) in zip(places, groups, strict=False):
        if begins := _BEGINNING.match(digits, first):
            for length in _lengths_of(begins):
                last = first + length
                if last in ends and (sums[last % 2][last] - sums[last % 2][first]) % 10 == 0:
                    yield run[start : ends[last]]


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Of the digits before each place: every even one doubled, and every odd one.

    The sum that :func:`passes_luhn` takes of some of them is the difference of two of these: its
    doubled digits stand an even number of places before its end.
    """
    mixed = [list(map(int, digits)), list(map(int, digits))]
    doubled = list(map(int, digits.translate(_DOUBLED)))
    for parity in (0, 1):
        mixed[parity][parity::2] = doubled[parity::2]
    even, odd = (list(accumulate(values, initial=0)) for values in mixed)
    return even, odd
