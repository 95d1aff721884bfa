"""What an attempt asks of a processor: built once from facts that never change, and stored.

A second send of the same attempt is built from the stored order alone, so its bytes are the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from dataclasses import replace
from typing import Any

from gateways.base import Operation, RefundOrder
from gateways.money import Money

from .models import MAX_ATTEMPTS, Refund, RefundAttempt

_REFERENCE = re.compile(r"[A-Z2-7]{20}")


def reference_of(refund_id: uuid.UUID, number: int) -> str:
    """The identity of an attempt: 20 characters of base 32, the same again after a restore."""
    digest = uuid.uuid5(refund_id, str(number)).bytes + uuid.uuid5(refund_id, f"{number}+").bytes
    return base64.b32encode(digest).decode("ascii")[:20]


def is_reference(text: str) -> bool:
    """Whether it looks like the identity of an attempt, and not like the order id of a payment."""
    return bool(_REFERENCE.fullmatch(text))


def build_order(refund: Refund, operation: Operation, number: int) -> RefundOrder:
    """The order of a refund's attempt ``number``."""
    transaction = refund.transaction
    return RefundOrder(
        reference=reference_of(refund.pk, number),
        payment_id=transaction.external_id,
        amount=refund.amount,
        payment_amount=transaction.amount,
        operation=operation,
        reason=refund.reason_id or "",
        method_type=transaction.method_type,
        last4=transaction.last4,
        related_ids=tuple(transaction.related_ids.split()),
    )


def possible_orders(refund: Refund, *, voids: bool) -> list[RefundOrder]:
    """The orders of all attempts that a refund has, will have, or had before a restore.

    Their references are known without rows. A void, where there are any, needs one only: it has no
    record of its own.
    """
    numbers = range(1, MAX_ATTEMPTS + 1)
    orders = [build_order(refund, Operation.REFUND, number) for number in numbers]
    if voids and refund.amount == refund.transaction.amount:
        orders.append(build_order(refund, Operation.VOID, 1))
    return [replace(order, first_sent_at=refund.created_at) for order in orders]


def dump_order(order: RefundOrder) -> dict[str, Any]:
    """The order as JSON with sorted keys."""
    return {
        "amount_minor": order.amount.minor,
        "currency": order.amount.currency,
        "last4": order.last4,
        "method_type": order.method_type,
        "operation": order.operation.value,
        "payment_amount_minor": order.payment_amount.minor,
        "payment_id": order.payment_id,
        "reason": order.reason,
        "reference": order.reference,
        "related_ids": list(order.related_ids),
    }


def hash_order(dumped: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).digest()


def load_order(attempt: RefundAttempt, *, refund_id: str = "") -> RefundOrder:
    """The order of an attempt, with what was learned since: when it left, the processor's id."""
    stored = attempt.order
    order = RefundOrder(
        reference=stored["reference"],
        payment_id=stored["payment_id"],
        amount=Money(stored["amount_minor"], stored["currency"]),
        payment_amount=Money(stored["payment_amount_minor"], stored["currency"]),
        operation=Operation(stored["operation"]),
        reason=stored["reason"],
        method_type=stored["method_type"],
        last4=stored["last4"],
        related_ids=tuple(stored["related_ids"]),
    )
    return replace(order, refund_id=refund_id, first_sent_at=attempt.first_sent_at)
