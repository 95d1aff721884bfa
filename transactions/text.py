"""Text that comes from outside: made fit for a column, without card numbers."""

from __future__ import annotations

import re

from gateways.card_numbers import mask_card_numbers

# Ends of lines of any kind become a space; other control characters, halves of surrogate pairs and
# marks that turn the reading direction around (a way to fake a name) or cannot be seen go.
_LINE_ENDS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SUSPECT = re.compile(r"[^ -~]")


def clean(text: str, size: int) -> str:
    """The text on one line, without control characters, cut to ``size`` characters."""
    if _SUSPECT.search(text):
        text = _UNPRINTABLE.sub("", _LINE_ENDS.sub(" ", text))
    return text.strip()[:size]


def as_stored(text: str, size: int) -> str:
    """What a processor says of a payment, as its column holds it."""
    return mask_card_numbers(clean(text, size))
