"""Stripe's webhooks: who signed one and when, and what it is about."""

from __future__ import annotations

from typing import Any

from .base import WebhookNotice
from .errors import InvalidWebhook
from .json_fields import unix_time_at, value_at
from .stripe_records import REFERENCE_KEY
from .webhook_deliveries import (
    MAX_EVENT_ID,
    Delivery,
    check_hmac,
    id_at,
    our_reference,
    required_id_at,
    time_or_none,
)

_ABOUT_PAYMENTS = ("charge.", "payment_intent.", "refund.")
TOLERANCE_SECONDS = 300  # both ways: a clock that is ahead must not let one live longer


def check_signature(delivery: Delivery, secret: str) -> None:
    """Raises InvalidWebhook. There are several v1 while a secret is being replaced."""
    parts = [part.strip().partition("=") for part in delivery.header("Stripe-Signature").split(",")]
    time = next((value for name, _, value in parts if name == "t"), "")
    signatures = [value for name, _, value in parts if name == "v1"]
    if not signatures or not (time.isascii() and time.isdigit() and len(time) <= 12):
        raise InvalidWebhook("The header Stripe-Signature lacks its time or its v1 signature.")
    check_hmac(secret, f"{time}.".encode() + delivery.body, "sha256", signatures)
    if abs(delivery.received_at.timestamp() - int(time)) > TOLERANCE_SECONDS:
        raise InvalidWebhook(
            f"The webhook was not signed within {TOLERANCE_SECONDS} seconds of our clock: it is "
            "old, or this machine's clock is wrong."
        )


def read_notice(event: dict[str, Any], mode: str) -> WebhookNotice:
    """What an event is about, by the kind of object in it. Raises ValueError or InvalidWebhook."""
    if value_at(event, "livemode") is not (mode == "live"):
        raise InvalidWebhook(f"The webhook is not of the account's mode, which is {mode}.")
    event_type = required_id_at(event, "type", most=MAX_EVENT_ID)
    shown = value_at(event, "data", "object")
    payment_id = refund_id = reference = ""
    match value_at(shown, "object") if event_type.startswith(_ABOUT_PAYMENTS) else None:
        case "charge":
            payment_id = required_id_at(shown, "id")
        case "refund":
            refund_id, payment_id = required_id_at(shown, "id"), id_at(shown, "charge")
            reference = our_reference(value_at(shown, "metadata", REFERENCE_KEY))
        case "dispute":
            payment_id = required_id_at(shown, "charge")
        case "payment_intent":
            payment_id = id_at(shown, "latest_charge")  # none before the first try to pay
    return WebhookNotice(
        event_id=required_id_at(event, "id", most=MAX_EVENT_ID),
        event_type=event_type,
        occurred_at=time_or_none(lambda: unix_time_at(event, "created")),
        payment_id=payment_id,
        refund_id=refund_id,
        reference=reference,
    )
