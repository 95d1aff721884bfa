"""Text that comes from outside: made fit for a column, and searched for card numbers."""

from __future__ import annotations

import re

from gateways.scrubbing import passes_luhn

# Ends of lines of any kind become a space; other control characters, halves of surrogate pairs and
# marks that turn the reading direction around (a way to fake a name) or cannot be seen go.
_LINE_ENDS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SUSPECT = re.compile(r"[^ -~]")
# Digits in groups of any length, with one blank or dash of whatever kind between them.
_UNSEEN = r"[\xad\u200b-\u200f\u2060-\u2064\ufeff]"
_BLANK_OR_DASH = r"[ \xa0\u2000-\u200a\u202f\u205f\u3000\-\u2010-\u2015\u2212]"
_GAP = rf"(?:{_UNSEEN}+{_BLANK_OR_DASH}?|{_BLANK_OR_DASH}){_UNSEEN}*"
_DIGIT_GROUPS = re.compile(rf"\d+(?:{_GAP}\d+)*")
# Groups as cards have them, with anything between them that is no letter: what was pasted from a
# table. Looked for at each place, as another number may stand before.
_WIDE_GAP = r"[\W_]{1,3}"
_CARD_GROUPS = re.compile(
    rf"(?<!\d)(?=(\d{{4}}(?:{_WIDE_GAP}\d{{4}}){{3}}(?:{_WIDE_GAP}\d{{1,3}})?(?!\d)"
    rf"|\d{{4}}{_WIDE_GAP}\d{{6}}{_WIDE_GAP}\d{{4,5}}(?!\d)))"
)
_CARD_LENGTHS = range(13, 20)


def clean(text: str, size: int) -> str:
    """The text on one line, without control characters, cut to ``size`` characters."""
    if _SUSPECT.search(text):
        text = _UNPRINTABLE.sub("", _LINE_ENDS.sub(" ", text))
    return text.strip()[:size]


def mask_card_numbers(text: str) -> str:
    """The text, no longer than a column, with only the last four digits of card numbers."""
    for number in _card_numbers(text):
        text = text.replace(number, f"[card {_digits_of(number)[-4:]}]")
    return text


def holds_card_number(text: str) -> bool:
    """Whether 13 to 19 digits in it, of any alphabet, in groups or not, pass the cards' check."""
    return bool(_card_numbers(text))


def _card_numbers(text: str) -> list[str]:
    if len(text) < _CARD_LENGTHS.start:
        return []
    runs = (match[0] for match in _DIGIT_GROUPS.finditer(text))
    found = [number for run in runs if len(run) >= _CARD_LENGTHS.start for number in _in_run(run)]
    shaped = (match[1] for match in _CARD_GROUPS.finditer(text))
    return found + [each for each in shaped if each not in found and passes_luhn(_digits_of(each))]


def _digits_of(number: str) -> str:
    return re.sub(r"\D", "", number)


def _in_run(run: str) -> list[str]:
    """The neighbouring groups of a run of digits that together are a card number."""
    groups = list(re.finditer(r"\d+", run))
    found: list[str] = []
    for first, group in enumerate(groups):
        digits = ""
        for last in groups[first : first + _CARD_LENGTHS.stop]:
            digits += last[0]
            if len(digits) in _CARD_LENGTHS and passes_luhn(digits):
                found.append(run[group.start() : last.end()])
    return found
