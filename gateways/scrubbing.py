"""Keeps secrets and card numbers out of the evidence that staff, logs and backups see."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Collection, Iterator
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from .card_numbers import is_card_number, masked

MASK = "[secret]"
EXCERPT_CHARS = 4096

# A window is scrubbed, then its end is dropped: a secret that the window cut in two lies there.
_MARGIN = 2048

_FIELDS = (
    "access_token|refresh_token|id_token|api_key|apikey|client_secret|security_key|signature_key|"
    "signatureKey|transaction_key|transactionKey|webhook_secret|signing_key|password|"
    "ccnumber|cardNumber|card_number|cvv|cvv2|cvc|cardCode|security_code"
)
# One pattern for form bodies, JSON and XML; what it finds before the value is kept.
_FIELD = re.compile(
    rf"""((?<!\w)(?:{_FIELDS})(?:["'\]\s]|%5D)*[=:>]\s*["']?)[^"'&<>\s,;}}]+""", re.IGNORECASE
)
_CREDENTIALS = re.compile(r"(\b(?:basic|bearer)\s+)[\w+/=.~-]{8,}", re.IGNORECASE)
_AUTHORIZATION = re.compile(
    r"""(\bauthorization["']?\s*[:=]\s*["']?)(?!basic\b|bearer\b)[^"'\s,}]+""", re.IGNORECASE
)
_CARD_NUMBER = re.compile(r"(?<![\w.-])\d(?:[ +-]?\d){12,18}(?![\w-])", re.ASCII)


_EMAIL = re.compile(r"[^\s@<>\"'(),;:=\[\]]{1,64}@[^\s@<>\"'(),;:=\[\]]{1,190}\.[^\W\d_]{2,20}")


class Scrubber:
    """Masks the given secrets in every form they travel in, and whatever looks like one."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets: list[str] = []
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this secret, too, from now on."""
        if not secret or secret in self._secrets:
            return
        self._secrets.append(secret)
        self._forms.update(_forms(secret))
        for first, second in itertools.product(self._secrets, repeat=2):
            self._forms.add(_base64(f"{first}:{second}"))
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def scrub(self, text: str) -> str:
        """The text without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for pattern in (_FIELD, _CREDENTIALS, _AUTHORIZATION):
            text = pattern.sub(rf"\1{MASK}", text)
        return _CARD_NUMBER.sub(_mask_card_number, text)

    def excerpt(self, data: bytes) -> str:
        """The beginning of the data as text of at most ``EXCERPT_CHARS`` characters, scrubbed."""
        window = EXCERPT_CHARS + _MARGIN
        text = data[: 4 * window].decode("utf-8", "replace")
        scrubbed = self.scrub(text[:window])
        if len(text) > window:
            scrubbed = scrubbed[:-_MARGIN]
        return storable(scrubbed[:EXCERPT_CHARS])


def storable(text: str) -> str:
    """The text without NUL, which PostgreSQL takes in no text: an answer must not be lost to it."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def mask_addresses(text: str) -> str:
    """The text without e-mail addresses."""
    return _EMAIL.sub("[e-mail]", text)


def _mask_card_number(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return masked(digits) if is_card_number(digits) else match[0]


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield escape(secret)
    yield _base64(secret)
    yield _base64(f"{secret}:")  # basic authentication without a password


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
