"""Ids of payments and refunds as each processor writes them."""

from __future__ import annotations

from .authorizenet_transactions import transaction_id
from .ledger import Ledger
from .nmi_transactions import transaction_id_of
from .paypal_refunds import IDS


def new_payment_id(ledger: Ledger, dialect: str, serial: int) -> str:
    """An id for a new payment; the numeric ones grow with its serial."""
    return _new_id(ledger, dialect, serial, "ch_")


def new_refund_id(ledger: Ledger, dialect: str, serial: int) -> str:
    """An id for a new refund."""
    return _new_id(ledger, dialect, serial, "re_")


def _new_id(ledger: Ledger, dialect: str, serial: int, stripe_prefix: str) -> str:
    if dialect == "stripe":
        return ledger.new_id(stripe_prefix, 24)
    if dialect == "paypal":
        return ledger.new_id("", 17, IDS)
    return transaction_id(serial) if dialect == "authorizenet" else transaction_id_of(serial)
