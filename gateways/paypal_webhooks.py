"""PayPal's webhooks: who signed one, checked here or by PayPal, and what it is about.

The signature is of a checksum (CRC-32) of the body, and anybody can find other bytes of the same
checksum: who saw one webhook can make others. All they achieve is that PayPal is asked again.
So that this ends, a signature counts no longer than PayPal goes on trying to deliver, and a day.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .base import WebhookNotice
from .errors import InvalidWebhook
from .json_fields import iso_time_at, rows_at, value_at
from .paypal_records import payment_of_refund, reference_of
from .webhook_deliveries import (
    MAX_EVENT_ID,
    Delivery,
    checked_id,
    id_at,
    our_reference,
    required_id_at,
    time_or_none,
    wrong_signature,
)

_ABOUT_PAYMENTS = ("PAYMENT.", "CUSTOMER.DISPUTE.")
_ALGORITHM = "SHA256withRSA"
_LIFE = timedelta(days=4)
_AHEAD = timedelta(minutes=5)  # how far PayPal's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Transmission:
    """What the headers say of one delivery."""

    id: str
    time: str
    signature: str
    cert_url: str

    @classmethod
    def of(cls, delivery: Delivery) -> Transmission:
        """Raises InvalidWebhook for a missing header or another algorithm than the one."""
        algorithm = delivery.header("PAYPAL-AUTH-ALGO")
        if algorithm != _ALGORITHM:
            raise InvalidWebhook(f"The webhook is not signed with {_ALGORITHM}.")
        return cls(
            delivery.header("PAYPAL-TRANSMISSION-ID"),
            delivery.header("PAYPAL-TRANSMISSION-TIME"),
            delivery.header("PAYPAL-TRANSMISSION-SIG"),
            delivery.header("PAYPAL-CERT-URL"),
        )

    def check_age(self, now: datetime) -> None:
        """Raises InvalidWebhook for what was sent long ago, or is yet to be sent."""
        sent_at = time_or_none(lambda: iso_time_at({"time": self.time}, "time"))
        if sent_at is None or not -_AHEAD <= now - sent_at <= _LIFE:
            raise InvalidWebhook(
                f"The webhook was not sent within the last {_LIFE.days} days: it is old, or this "
                "machine's clock is wrong."
            )

    def check(self, key: RSAPublicKey, webhook_id: str, body: bytes) -> None:
        """Raises InvalidWebhook unless the signature is the key's, of these bytes."""
        signed = f"{self.id}|{self.time}|{webhook_id}|{zlib.crc32(body)}"
        try:
            signature = base64.b64decode(self.signature, validate=True)
            key.verify(signature, signed.encode("utf-8", "replace"), PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            raise wrong_signature() from None

    def question(self, webhook_id: str, delivery: Delivery) -> str:
        """The request that lets PayPal check. Raises InvalidWebhook where the body is not JSON.

        The body goes in as it came: read and written anew, it would have another checksum. That it
        is one whole object is known, so it cannot add a field to the request.
        """
        delivery.event()
        fields = {
            "auth_algo": _ALGORITHM,
            "cert_url": self.cert_url,
            "transmission_id": self.id,
            "transmission_sig": self.signature,
            "transmission_time": self.time,
            "webhook_id": webhook_id,
        }
        return f'{json.dumps(fields)[:-1]}, "webhook_event": {delivery.body.decode()}}}'


def read_notice(event: dict[str, Any]) -> WebhookNotice:
    """What an event is about, by the kind of its resource. Raises ValueError.

    A dispute about several payments names the first: disputes of the others show in lists.
    """
    event_type = required_id_at(event, "event_type", most=MAX_EVENT_ID)
    resource = value_at(event, "resource")
    payment_id = refund_id = reference = ""
    match value_at(event, "resource_type") if event_type.startswith(_ABOUT_PAYMENTS) else None:
        case "capture" | "sale":
            payment_id = required_id_at(resource, "id")
        case "refund":
            refund_id = required_id_at(resource, "id")
            payment_id = checked_id(payment_of_refund(resource)) or id_at(resource, "sale_id")
            reference = our_reference(reference_of(resource))
        case "dispute":
            disputed = rows_at(resource, "disputed_transactions")
            payment_id = id_at(disputed[0], "seller_transaction_id") if disputed else ""
    return WebhookNotice(
        event_id=required_id_at(event, "id", most=MAX_EVENT_ID),
        event_type=event_type,
        occurred_at=time_or_none(lambda: iso_time_at(event, "create_time")),
        payment_id=payment_id,
        refund_id=refund_id,
        reference=reference,
    )
