"""The last line of defence of the log: whatever an event holds, no secret and no person leaves.

Callers log ids and numbers. What others log (libraries, tracebacks) may hold anything, so that
every event passes here just before it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from gateways.card_numbers import mask_card_numbers
from gateways.scrubbing import MASK, Scrubber, mask_addresses

LEFT_OUT = "[left out]"
# Longer texts are cut: a body that was logged by mistake is not searched for megabytes.
_LONGEST = 20_000

# Values under such names are secrets, or people's words and names, whatever they look like.
_SECRET_KEYS = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)|secret|token|authorization|cookies?|credentials?|session_?id|"
    r"otp|(?:api|secret|private|security|signature|signing|transaction|idempotency)_?key)$",
    re.IGNORECASE,
)
_PERSONAL_KEYS = frozenset(
    "address body customer customer_email customer_name data email first_name last_name name note "
    "params payer phone request_body response_body text words".split()
)
# Tracebacks keep their lines.
_OF_LINES = frozenset({"exception", "stack", "exc_text"})

_SECRETS = re.compile(
    r"\b(?:(?:sk|rk|pk)_(?:live|test)_|whsec_)[\w-]{4,}"  # Stripe's
    r"|\brd_[\w-]{24,}"  # our tokens
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # signed claims
    r"|\bgAAAA[\w=-]{20,}|\bsealed1\.[\w.=-]+"  # credentials as they are stored
)
_TOKEN = re.compile(r"(\btoken\s+)[\w+/=.~-]{16,}", re.IGNORECASE)
_PASSWORD_OF_ADDRESS = re.compile(r"(://[^:/@\s]{0,100}:)[^@/\s]+(?=@)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SCRUBBER = Scrubber()


def mask_event(_logger: Any, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """A processor of structlog: the event as it may be written."""
    return {str(key): _mask(str(key), value) for key, value in event.items()}


def mask_text(text: str, *, keep_lines: bool = False) -> str:
    """The text without secrets, addresses, card numbers and control characters."""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if _UUID.fullmatch(text):
        return text
    text = _SECRETS.sub(MASK, text)
    text = _TOKEN.sub(rf"\1{MASK}", text)
    text = _PASSWORD_OF_ADDRESS.sub(rf"\1{MASK}", text)
    text = mask_addresses(mask_card_numbers(_SCRUBBER.scrub(text)))
    return "".join(each if _may_stay(each, keep_lines) else ascii(each)[1:-1] for each in text)


def _mask(key: str, value: Any) -> Any:
    if key in _PERSONAL_KEYS:
        return LEFT_OUT
    if _SECRET_KEYS.search(key):
        return MASK
    match value:
        case None | bool() | int() | float() | UUID() | datetime() | date() | time() | timedelta():
            return value
        case Mapping():
            return {str(name): _mask(str(name), each) for name, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_mask(key, each) for each in value]
        case str():
            return mask_text(value, keep_lines=key in _OF_LINES)
        case _:
            return mask_text(str(value))


def _may_stay(each: str, keep_lines: bool) -> bool:
    return each.isprintable() or (keep_lines and each in "\n\t")
