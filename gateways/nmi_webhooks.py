"""NMI's webhooks: who signed one, and what it is about.

The ``t`` of the signature is a nonce, which only looks like a time, so nothing is too old here;
what was sent again is recognised by its id.
"""

from __future__ import annotations

from typing import Any

from .base import WebhookNotice
from .errors import InvalidWebhook
from .json_fields import text_at, value_at
from .nmi_records import read_time
from .webhook_deliveries import (
    MAX_EVENT_ID,
    Delivery,
    check_hmac,
    our_reference,
    required_id_at,
    time_or_none,
)

_OF_PAYMENTS = {"auth", "capture", "check", "sale", "void"}


def check_signature(delivery: Delivery, key: str) -> None:
    """Raises InvalidWebhook."""
    parts = [
        part.strip().partition("=") for part in delivery.header("Webhook-Signature").split(",")
    ]
    found = {name: value for name, _, value in parts}
    if not found.get("t") or not found.get("s"):
        raise InvalidWebhook("The header Webhook-Signature lacks its t or its s.")
    nonce = found["t"].encode("utf-8", "replace")
    check_hmac(key, nonce + b"." + delivery.body, "sha256", [found["s"]])


def read_notice(event: dict[str, Any], mode: str) -> WebhookNotice:
    """What an event is about. Raises ValueError or InvalidWebhook.

    Batches (settlements, chargebacks) concern many payments; those of chargebacks name none. They
    give a notice without ids: lists report what became of the payments.
    """
    event_type = required_id_at(event, "event_type", most=MAX_EVENT_ID)
    body = value_at(event, "event_body")
    is_test = value_at(body, "features", "is_test_mode")
    if isinstance(is_test, bool) and is_test is not (mode == "test"):
        raise InvalidWebhook(f"The webhook is not of the account's mode, which is {mode}.")
    group, _, rest = event_type.partition(".")
    action = rest.partition(".")[0] if group == "transaction" else ""
    payment_id = refund_id = reference = ""
    if action == "refund":
        reference = our_reference(value_at(body, "order_id"))
        refund_id = required_id_at(body, "transaction_id")
    elif action in _OF_PAYMENTS:
        payment_id = required_id_at(body, "transaction_id")
    return WebhookNotice(
        event_id=required_id_at(event, "event_id", most=MAX_EVENT_ID),
        event_type=event_type,
        occurred_at=time_or_none(lambda: read_time(text_at(body, "action", "date"))),
        payment_id=payment_id,
        refund_id=refund_id,
        reference=reference,
    )
