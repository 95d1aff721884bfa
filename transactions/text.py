"""Text that comes from outside: made fit for a column, and searched for card numbers."""

from __future__ import annotations

import re

from gateways.scrubbing import passes_luhn

# Ends of lines of any kind become a space; other control characters, halves of surrogate pairs and
# marks that turn the reading direction around (a way to fake a name) go.
_LINE_ENDS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_SUSPECT = re.compile(r"[^ -~]")
_DIGIT_GROUPS = re.compile(r"\d+(?:[ -]\d+)*")
_CARD_LENGTHS = range(13, 20)


def clean(text: str, size: int) -> str:
    """The text on one line, without control characters, cut to ``size`` characters."""
    if _SUSPECT.search(text):
        text = _UNPRINTABLE.sub("", _LINE_ENDS.sub(" ", text))
    return text.strip()[:size]


def mask_card_numbers(text: str) -> str:
    """The text, no longer than a column, with only the last four digits of card numbers."""
    for number in _card_numbers(text):
        text = text.replace(number, f"[card {number[-4:]}]")
    return text


def holds_card_number(text: str) -> bool:
    """Whether 13 to 19 digits in it, of any alphabet, in groups or not, pass the cards' check."""
    return bool(_card_numbers(text))


def _card_numbers(text: str) -> list[str]:
    if len(text) < _CARD_LENGTHS.start:
        return []
    runs = (match[0] for match in _DIGIT_GROUPS.finditer(text))
    return [number for run in runs if len(run) >= _CARD_LENGTHS.start for number in _in_run(run)]


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
