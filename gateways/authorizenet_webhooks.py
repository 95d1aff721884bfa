"""Authorize.net's webhooks: who signed one, and what it is about.

Nothing in them says when they were signed or in which mode: the key is another one in each mode,
and what was sent again is recognised by its id.
"""

from __future__ import annotations

from typing import Any

from .base import WebhookNotice
from .errors import InvalidWebhook
from .json_fields import iso_time_at, value_at
from .webhook_deliveries import (
    MAX_EVENT_ID,
    Delivery,
    check_hmac,
    our_reference,
    required_id_at,
    time_or_none,
)

_PAYMENTS = "net.authorize.payment."


def check_signature(delivery: Delivery, key: str) -> None:
    """Raises InvalidWebhook. The key is used as the text that it is, not decoded from hex."""
    scheme, _, signature = delivery.header("X-ANET-Signature").strip().partition("=")
    if scheme.lower() != "sha512":
        raise InvalidWebhook("The header X-ANET-Signature does not begin with sha512=.")
    check_hmac(key, delivery.body, "sha512", [signature])


def read_notice(event: dict[str, Any]) -> WebhookNotice:
    """What an event is about. Raises ValueError.

    A refund names itself, not its payment; a void names what was voided, which may be a refund.
    """
    event_type = required_id_at(event, "eventType", most=MAX_EVENT_ID)
    payload = value_at(event, "payload")
    payment_id = refund_id = reference = ""
    if event_type == f"{_PAYMENTS}refund.created":
        refund_id = required_id_at(payload, "id")
        names = (value_at(payload, name) for name in ("merchantReferenceId", "invoiceNumber"))
        reference = next(filter(None, map(our_reference, names)), "")
    elif event_type.startswith(_PAYMENTS):
        payment_id = required_id_at(payload, "id")
    return WebhookNotice(
        event_id=required_id_at(event, "notificationId", most=MAX_EVENT_ID),
        event_type=event_type,
        occurred_at=time_or_none(lambda: iso_time_at(event, "eventDate")),
        payment_id=payment_id,
        refund_id=refund_id,
        reference=reference,
    )
