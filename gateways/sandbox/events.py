"""What the processors report of a change: types and bodies of their notifications."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from gateways.money import Money

from . import paypal_objects, stripe_objects
from .ledger import Ledger, LedgerEvent, LedgerPayment, LedgerRefund, Movement

Json = dict[str, Any]
Types = dict[str, dict[str, tuple[str, ...]]]

_STRIPE_TYPES: Types = {
    "payment.created": {
        "authorized": ("charge.succeeded", "payment_intent.amount_capturable_updated"),
        "captured": ("charge.pending", "payment_intent.processing"),
        "settled": ("charge.succeeded", "payment_intent.succeeded"),
        "failed": ("charge.failed", "payment_intent.payment_failed"),
    },
    "payment.settled": {"settled": ("charge.succeeded", "payment_intent.succeeded")},
    "payment.failed": {"failed": ("charge.failed", "payment_intent.payment_failed")},
    "payment.voided": {"voided": ("payment_intent.canceled",)},
    "payment.disputed": {"": ("charge.dispute.created",)},
    "payment.updated": {"": ("charge.updated",)},
    "refund.created": {
        "failed": ("refund.created", "refund.failed"),
        "requires_action": ("refund.created",),
        "": ("refund.created", "charge.refunded"),
    },
    "refund.failed": {"": ("refund.updated", "refund.failed")},
    "refund.succeeded": {"": ("refund.updated",)},
    "refund.canceled": {"": ("refund.updated",)},
    "refund.updated": {"": ("refund.updated",)},
}
_PAYPAL_TYPES: Types = {
    "payment.created": {
        "authorized": ("PAYMENT.AUTHORIZATION.CREATED",),
        "captured": ("PAYMENT.CAPTURE.PENDING",),
        "settled": ("PAYMENT.CAPTURE.COMPLETED",),
        "failed": ("PAYMENT.CAPTURE.DECLINED",),
    },
    "payment.settled": {"settled": ("PAYMENT.CAPTURE.COMPLETED",)},
    "payment.failed": {"failed": ("PAYMENT.CAPTURE.DENIED",)},
    "payment.voided": {"voided": ("PAYMENT.AUTHORIZATION.VOIDED",)},
    "payment.disputed": {"": ("CUSTOMER.DISPUTE.CREATED",)},
    "refund.created": {
        "pending": ("PAYMENT.REFUND.PENDING",),
        "succeeded": ("PAYMENT.CAPTURE.REFUNDED",),
        "failed": ("PAYMENT.REFUND.FAILED",),
    },
    "refund.succeeded": {"succeeded": ("PAYMENT.CAPTURE.REFUNDED",)},
    "refund.failed": {"failed": ("PAYMENT.REFUND.FAILED",)},
}
_AUTHORIZENET_TYPES: Types = {
    "payment.created": {
        "authorized": ("net.authorize.payment.authorization.created",),
        "captured": ("net.authorize.payment.authcapture.created",),
        "settled": ("net.authorize.payment.authcapture.created",),
    },
    "payment.voided": {"voided": ("net.authorize.payment.void.created",)},
    "refund.created": {
        "pending": ("net.authorize.payment.refund.created",),
        "succeeded": ("net.authorize.payment.refund.created",),
    },
}
_NMI_TYPES: Types = {
    "payment.created": {
        "authorized": ("transaction.auth.success",),
        "captured": ("transaction.sale.success",),
        "settled": ("transaction.sale.success",),
        "failed": ("transaction.sale.failure",),
    },
    "payment.voided": {"voided": ("transaction.void.success",)},
    "payment.disputed": {"": ("chargeback.batch.complete",)},
    "refund.created": {
        "pending": ("transaction.refund.success",),
        "succeeded": ("transaction.refund.success",),
        "failed": ("transaction.refund.failure",),
    },
}


def events_of(ledger: Ledger, kind: str, row: Movement, base_url: str) -> Iterator[LedgerEvent]:
    """The notifications that a change leads to; a void is reported by its payment.

    Call it with the ledger's lock held: each body is what the processor knows at this moment.
    """
    if isinstance(row, LedgerRefund) and row.operation == "void" and row.dialect != "stripe":
        return
    types, compose = _DIALECTS[row.dialect]
    by_status = types.get(kind, {})
    for event_type in by_status.get(row.status, by_status.get("", ())):
        event_id, body = compose(ledger, event_type, row, base_url)
        yield LedgerEvent(
            id=event_id,
            dialect=row.dialect,
            account=row.account,
            type=event_type,
            record_id=row.id,
            at=ledger.clock.now(),
            body=body,
        )


def _text(body: Json) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def payment_of(ledger: Ledger, row: Movement) -> LedgerPayment:
    return row if isinstance(row, LedgerPayment) else ledger.payments[row.payment_id]


def _stripe(ledger: Ledger, event_type: str, row: Movement, _base: str) -> tuple[str, str]:
    event_id = f"evt_{secrets.token_hex(12)}"
    payment = payment_of(ledger, row)
    shown: Json
    if event_type.startswith("charge.dispute"):
        shown = stripe_objects.dispute(payment)
    elif event_type.startswith("payment_intent"):
        shown = stripe_objects.intent(ledger, payment)
    elif event_type.startswith("refund") and isinstance(row, LedgerRefund):
        shown = stripe_objects.refund(ledger, row)
    else:
        shown = stripe_objects.charge(ledger, payment)
    return event_id, _text(
        {
            "id": event_id,
            "object": "event",
            "api_version": stripe_objects.API_VERSION,
            "created": stripe_objects.seconds(ledger.clock.now()),
            "data": {"object": shown},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {
                "id": row.extra.get("request_id"),
                "idempotency_key": row.extra.get("idempotency_key"),
            },
            "type": event_type,
        }
    )


def _paypal(ledger: Ledger, event_type: str, row: Movement, base: str) -> tuple[str, str]:
    event_id = f"WH-{secrets.token_hex(9).upper()}"
    payment = payment_of(ledger, row)
    if isinstance(row, LedgerRefund):
        kind, resource = "refund", paypal_objects.refund(ledger, row, base)
    elif "DISPUTE" in event_type:
        kind, resource = "dispute", paypal_objects.dispute(payment, base, whole=True)
    elif "AUTHORIZATION" in event_type:
        kind, resource = "authorization", paypal_objects.authorization(payment, base)
    else:
        kind, resource = "capture", paypal_objects.capture(ledger, payment, base)
    return event_id, _text(
        {
            "id": event_id,
            "event_version": "1.0",
            "create_time": paypal_objects.when(ledger.clock.now()),
            "resource_type": kind,
            "resource_version": "2.0",
            "event_type": event_type,
            "summary": f"{event_type} for {Money(row.amount_minor, row.currency)}",
            "resource": resource,
            "links": [
                paypal_objects.link(base, f"/v1/notifications/webhooks-events/{event_id}", "self")
            ],
        }
    )


def _authorizenet(ledger: Ledger, event_type: str, row: Movement, _base: str) -> tuple[str, str]:
    event_id = str(uuid4())
    reference = {"merchantReferenceId": row.extra["ref_id"]} if row.extra.get("ref_id") else {}
    number = row.reference if isinstance(row, LedgerRefund) else row.order_reference
    body = _text(
        {
            "notificationId": event_id,
            "eventType": event_type,
            "eventDate": ledger.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
            "webhookId": "5a2f3d1e-0000-4000-8000-000000000001",
            "payload": {
                "responseCode": 1,
                "authCode": "",
                "avsResponse": "P",
                "authAmount": None,
                **({"invoiceNumber": number} if number else {}),
                **reference,
                "entityName": "transaction",
                "id": row.id,
            },
        }
    )
    # A JSON number that keeps its decimals, which Python's floats would not.
    major = Money(row.amount_minor, row.currency).major()
    return event_id, body.replace('"authAmount":null', f'"authAmount":{major}', 1)


def _nmi(ledger: Ledger, event_type: str, row: Movement, _base: str) -> tuple[str, str]:
    event_id, payment = str(uuid4()), payment_of(ledger, row)
    if event_type == "chargeback.batch.complete":
        return event_id, _text(_chargebacks(ledger, event_id, payment))
    first, _, last = (payment.payer_name or "").partition(" ")
    masked = f"4xxxxxxxxxxx{payment.last4}" if payment.last4 else ""
    order_id = payment.order_reference
    if isinstance(row, LedgerRefund):
        order_id = row.extra.get("order_id", row.reference)
    good = event_type.endswith("success")
    return event_id, _text(
        {
            "event_id": event_id,
            "event_type": event_type,
            "event_body": {
                "merchant": {"id": "100001", "name": f"Sandbox {row.account}"},
                "features": {"is_test_mode": True},
                "transaction_id": row.id,
                "transaction_type": "ck" if payment.method_type == "bank" else "cc",
                "condition": "failed" if not good else _NMI_CONDITIONS.get(row.status, "complete"),
                "order_id": order_id,
                "order_description": payment.description,
                "currency": row.currency,
                "requested_amount": Money(row.amount_minor, row.currency).major(),
                "billing_address": {
                    "first_name": first,
                    "last_name": last,
                    "email": payment.payer_email or "",
                },
                "card": {"cc_number": masked, "cc_type": payment.brand},
                "action": _nmi_action(ledger, event_type, row),
            },
        }
    )


def _nmi_action(ledger: Ledger, event_type: str, row: Movement) -> Json:
    good = event_type.endswith("success")
    return {
        "amount": Money(row.amount_minor, row.currency).major(),
        "action_type": event_type.split(".")[1],
        "date": ledger.clock.now().strftime("%Y%m%d%H%M%S"),
        "success": "1" if good else "0",
        "source": "api",
        "response_text": "SUCCESS" if good else "DECLINE",
        "response_code": "100" if good else "200",
    }


_NMI_CONDITIONS = {
    "authorized": "pending",
    "captured": "pendingsettlement",
    "pending": "pendingsettlement",
    "voided": "canceled",
}


def _chargebacks(ledger: Ledger, event_id: str, payment: LedgerPayment) -> Json:
    """NMI names no transaction here: card, amount and name must do."""
    now, major = ledger.clock.now(), Money(payment.amount_minor, payment.currency).major()
    return {
        "event_id": event_id,
        "event_type": "chargeback.batch.complete",
        "event_body": {
            "processor": {"id": "sandbox", "name": "Sandbox", "type": "sandbox"},
            "count": 1,
            "chargeback_amount": major,
            "chargebacks": [
                {
                    "id": f"cb-{payment.id}",
                    "date": f"{now.month}/{now.day}/{now.year}",
                    "customer_name": payment.payer_name or "",
                    "cc_number": f"4xxxxxxxxxxx{payment.last4}" if payment.last4 else "",
                    "amount": major,
                    "reason": "4853",
                }
            ],
        },
    }


Compose = Callable[[Ledger, str, Movement, str], tuple[str, str]]
_DIALECTS: dict[str, tuple[Types, Compose]] = {
    "stripe": (_STRIPE_TYPES, _stripe),
    "paypal": (_PAYPAL_TYPES, _paypal),
    "authorizenet": (_AUTHORIZENET_TYPES, _authorizenet),
    "nmi": (_NMI_TYPES, _nmi),
}
