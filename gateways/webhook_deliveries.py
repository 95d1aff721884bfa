"""A webhook as it arrived, and what all processors' webhooks have in common.

Nothing of the body is looked at before its signature holds, and signatures are of the raw bytes.
What is wrong raises InvalidWebhook; its sentence repeats neither a secret nor a signature.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .base import Account, WebhookNotice
from .errors import InvalidWebhook, Misconfigured
from .json_fields import text_at

MAX_BYTES = 1_000_000
MAX_RECORD_ID = 100  # characters, of a payment or refund
MAX_EVENT_ID = 200

_PRINTABLE = re.compile("[!-~]+")
_OUR_REFERENCE = re.compile("[A-Z0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a webhook. Make it with :meth:`of`; ``headers`` has lower-case names."""

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime

    @classmethod
    def of(cls, headers: Mapping[str, str], body: bytes, received_at: datetime | None) -> Delivery:
        """``received_at`` None is now. Raises InvalidWebhook for a body of more than MAX_BYTES."""
        if len(body) > MAX_BYTES:
            raise InvalidWebhook(f"The webhook is larger than {MAX_BYTES} bytes.")
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(lower, body, received_at or datetime.now(UTC))

    def header(self, name: str) -> str:
        """The header's value. Raises InvalidWebhook where there is none."""
        value = self.headers.get(name.lower(), "")
        if not value:
            raise InvalidWebhook(f"The webhook lacks the header {name}.")
        return value

    def event(self) -> dict[str, Any]:
        """The body as the JSON object that it must be. Raises InvalidWebhook."""
        try:
            event = json.loads(
                self.body.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant
            )
        except _RepeatedKey:
            raise InvalidWebhook("The webhook names a key twice.") from None
        except (ValueError, RecursionError):
            raise InvalidWebhook("The webhook is not JSON.") from None
        if not isinstance(event, dict):
            raise InvalidWebhook("The webhook is not a JSON object.")
        return event

    def notice(self, read: Callable[[dict[str, Any]], WebhookNotice]) -> WebhookNotice:
        """What ``read`` makes of the event. Raises InvalidWebhook in place of its ValueError."""
        event = self.event()
        try:
            return read(event)
        except ValueError as error:
            raise InvalidWebhook(f"The webhook cannot be read: {error}.") from error


def secret_of(account: Account, name: str) -> str:
    """What the account's webhooks are verified with. Raises Misconfigured where it is missing."""
    secret = account.credentials.get(name, "")
    if not secret:
        raise Misconfigured(f"Enter the webhook secret ({name}) of account {account.slug}.")
    return secret


def check_hmac(secret: str, message: bytes, digest: str, signatures: Iterable[str]) -> None:
    """Raises InvalidWebhook unless one of the signatures, in hex, is ours of the message."""
    expected = hmac.new(secret.encode(), message, digest).hexdigest().encode()
    sent = [signature.strip().lower().encode("utf-8", "replace") for signature in signatures]
    if not any([hmac.compare_digest(expected, each) for each in sent]):  # noqa: C419  all of them
        raise wrong_signature()


def wrong_signature() -> InvalidWebhook:
    return InvalidWebhook(
        "The webhook's signature does not hold: somebody else sent it, it was changed on its way, "
        "or it belongs to another webhook secret than the account's."
    )


def checked_id(text: str, *, most: int = MAX_RECORD_ID) -> str:
    """The id as it came, or empty. Raises ValueError for what can be none."""
    if text and (len(text) > most or not _PRINTABLE.fullmatch(text)):
        raise ValueError(f"an id in it is longer than {most} characters, or not printable ASCII")
    return text


def id_at(record: object, *path: str, most: int = MAX_RECORD_ID) -> str:
    """The id at the path, empty where there is none. Raises ValueError for what can be none."""
    return checked_id(text_at(record, *path), most=most)


def required_id_at(record: object, *path: str, most: int = MAX_RECORD_ID) -> str:
    """The id at the path. Raises ValueError where there is none."""
    text = id_at(record, *path, most=most)
    if not text:
        raise ValueError(f"{'.'.join(path)} is missing")
    return text


def our_reference(text: object) -> str:
    """The text if it can be a reference of ours; else empty: merchants write what they like."""
    return text if isinstance(text, str) and _OUR_REFERENCE.fullmatch(text) else ""


def time_or_none(read: Callable[[], datetime]) -> datetime | None:
    """When it happened, as far as that can be read: it is shown, and decides nothing."""
    try:
        return read()
    except ValueError:
        return None


class _RepeatedKey(ValueError):
    """Two readers of such an object may see two different values."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedKey
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
