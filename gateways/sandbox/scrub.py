"""Keeps secrets out of the request log."""

from __future__ import annotations

import re

_FIELDS = r"security_key|password|client_secret|transactionKey|ccnumber|cvv|checkaccount"
_PATTERNS = (
    re.compile(rf"(?i)\b((?:{_FIELDS})=)[^&\s]*"),
    re.compile(rf"(?i)(<(?:\w+:)?(?:{_FIELDS})>)[^<]*"),
    re.compile(rf'(?i)("(?:{_FIELDS})"\s*:\s*")[^"]*'),
)


def scrubbed(text: str) -> str:
    """The text with the values of credential and card fields replaced: form, XML or JSON."""
    for pattern in _PATTERNS:
        text = pattern.sub(r"\1***", text)
    return text
