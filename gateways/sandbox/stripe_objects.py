"""Stripe's objects as JSON, made from the ledger's rows.

Ids of one payment share their tail (``ch_X``, ``pi_X``, ``txn_X``, ``dp_X``), so that one leads to
the other without an index.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from gateways.money import exponent_of

from .ledger import Ledger, LedgerPayment, LedgerRefund, SandboxAccount

API_VERSION = "2026-06-24.dahlia"

# Stripe's own exponents where they differ from ISO 4217.
_EXPONENTS = {"ISK": 2, "UGX": 2, "MGA": 0}
_DISPUTE_STATUS = {
    "inquiry": "warning_needs_response",
    "open": "needs_response",
    "chargeback": "lost",
}
_INTENT_STATUS = {
    "authorized": "requires_capture",
    "captured": "processing",
    "settled": "succeeded",
    "voided": "canceled",
    "failed": "requires_payment_method",
}
_CHARGE_STATUS = {"captured": "pending", "failed": "failed"}
_BANK_DETAILS = {"ach": "us_bank_account", "sepa": "sepa_debit"}

Json = dict[str, Any]


def to_stripe(minor: int, currency: str) -> int:
    """ISO minor units as Stripe's integer."""
    decimals = _EXPONENTS.get(currency, exponent_of(currency)) - exponent_of(currency)
    factor: int = 10 ** abs(decimals)
    return minor * factor if decimals >= 0 else minor // factor


def from_stripe(amount: int, currency: str) -> int | None:
    """Stripe's integer as ISO minor units; None when it is finer than the currency allows."""
    if currency in ("ISK", "UGX"):
        return amount // 100 if amount % 100 == 0 else None
    if currency == "MGA":
        return amount * 100
    if exponent_of(currency) == 3 and amount % 10:
        return None
    return amount


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def tail(object_id: str) -> str:
    """What ids of the same thing share."""
    return object_id.partition("_")[2]


def customer_id(payment: LedgerPayment) -> str | None:
    """The same for the same e-mail address."""
    if not payment.payer_email:
        return None
    return "cus_" + sha256(payment.payer_email.encode()).hexdigest()[:14]


def charge(ledger: Ledger, payment: LedgerPayment, expand: Collection[str] = ()) -> Json:
    """A Charge; ``expand`` may name balance_transaction, customer, payment_intent, refunds."""
    amount = to_stripe(payment.amount_minor, payment.currency)
    took = payment.status in ("captured", "settled")
    back = amount if payment.status == "voided" else _refunded(ledger, payment)
    failed = payment.status == "failed"
    transaction = f"txn_{tail(payment.id)}" if took else None
    made: Json = {
        "id": payment.id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if took else 0,
        "amount_refunded": back,
        "balance_transaction": transaction,
        **_payer(payment),
        "captured": took,
        "created": seconds(payment.created_at),
        "currency": payment.currency.lower(),
        "description": payment.description or None,
        "disputed": bool(payment.dispute),
        "failure_code": "card_declined" if failed else None,
        "failure_message": "Your card was declined." if failed else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {"order_id": payment.order_reference} if payment.order_reference else {},
        "outcome": _outcome(failed=failed),
        "paid": not failed,
        "payment_intent": f"pi_{tail(payment.id)}",
        "payment_method": f"pm_{tail(payment.id)}",
        "payment_method_details": _method(payment),
        "receipt_number": None,
        "refunded": back >= amount,
        "review": None,
        "shipping": None,
        "statement_descriptor": None,
        "status": _CHARGE_STATUS.get(payment.status, "succeeded"),
        "transfer_group": None,
    }
    if expand:
        _expand_charge(ledger, payment, made, expand)
    return made


def _expand_charge(
    ledger: Ledger, payment: LedgerPayment, made: Json, expand: Collection[str]
) -> None:
    if "refunds" in expand:
        newest = ledger.refunds_of(payment)[::-1]
        made["refunds"] = {
            "object": "list",
            "url": f"/v1/charges/{payment.id}/refunds",
            "has_more": len(newest) > 10,
            "data": [refund(ledger, row) for row in newest[:10]],
        }
    if "balance_transaction" in expand and made["balance_transaction"]:
        made["balance_transaction"] = balance_transaction(payment)
    if "payment_intent" in expand:
        made["payment_intent"] = intent(ledger, payment)
    if "customer" in expand and made["customer"]:
        made["customer"] = {
            "id": made["customer"],
            "object": "customer",
            "email": payment.payer_email,
            "name": payment.payer_name,
            "livemode": False,
        }


def _refunded(ledger: Ledger, payment: LedgerPayment) -> int:
    return to_stripe(ledger.refunded_minor(payment), payment.currency)


def _payer(payment: LedgerPayment) -> Json:
    return {
        "billing_details": {
            "address": None,
            "email": payment.payer_email,
            "name": payment.payer_name,
            "phone": None,
            "tax_id": None,
        },
        "customer": customer_id(payment),
        "receipt_email": payment.payer_email,
    }


def _outcome(*, failed: bool) -> Json:
    if failed:
        return {
            "network_status": "declined_by_network",
            "reason": "generic_decline",
            "risk_level": "normal",
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }
    return {
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "seller_message": "Payment complete.",
        "type": "authorized",
    }


def _method(payment: LedgerPayment) -> Json:
    if payment.method_type == "bank":
        kind = _BANK_DETAILS.get(payment.brand, "sepa_debit")
        return {"type": kind, kind: {"last4": payment.last4 or None}}
    if payment.method_type != "card":
        kind = payment.wallet or "paypal"
        return {"type": kind, kind: {}}
    wallet: Json | None = None
    if payment.wallet:
        wallet = {"type": payment.wallet, "dynamic_last4": None, payment.wallet: {}}
    return {
        "type": "card",
        "card": {
            "brand": payment.brand or None,
            "country": "US",
            "exp_month": 12,
            "exp_year": 2031,
            "funding": "credit",
            "last4": payment.last4 or None,
            "network": payment.brand or None,
            "wallet": wallet,
        },
    }


def intent(ledger: Ledger, payment: LedgerPayment, expand: Collection[str] = ()) -> Json:
    """The PaymentIntent of a payment; ``expand`` may name latest_charge."""
    amount = to_stripe(payment.amount_minor, payment.currency)
    status = _INTENT_STATUS[payment.status]
    return {
        "id": f"pi_{tail(payment.id)}",
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": amount if status == "requires_capture" else 0,
        "amount_received": amount if status == "succeeded" else 0,
        "canceled_at": seconds(payment.modified_at or payment.created_at)
        if status == "canceled"
        else None,
        "cancellation_reason": payment.extra.get("cancellation_reason") or None,
        "capture_method": "manual" if status in ("requires_capture", "canceled") else "automatic",
        "confirmation_method": "automatic",
        "created": seconds(payment.created_at),
        "currency": payment.currency.lower(),
        "customer": customer_id(payment),
        "description": payment.description or None,
        "latest_charge": charge(ledger, payment) if "latest_charge" in expand else payment.id,
        "livemode": False,
        "metadata": {"order_id": payment.order_reference} if payment.order_reference else {},
        "payment_method": f"pm_{tail(payment.id)}",
        "payment_method_types": [_method(payment)["type"]],
        "receipt_email": payment.payer_email,
        "status": status,
    }


def refund(ledger: Ledger, row: LedgerRefund, expand: Collection[str] = ()) -> Json:
    """A Refund; ``expand`` may name charge, payment_intent, balance_transaction."""
    payment = ledger.payments[row.payment_id]
    gone = row.status in ("failed", "canceled")
    moved = row.operation == "refund" and row.status != "requires_action"
    made: Json = {
        "id": row.id,
        "object": "refund",
        "amount": to_stripe(row.amount_minor, row.currency),
        "balance_transaction": f"txn_{tail(row.id)}" if moved else None,
        "charge": row.payment_id,
        "created": seconds(row.created_at),
        "currency": row.currency.lower(),
        "destination_details": _destination(payment, row),
        "metadata": row.extra.get("metadata", {}),
        "payment_intent": f"pi_{tail(row.payment_id)}",
        "reason": row.reason or None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": row.status,
        "transfer_reversal": None,
    }
    if row.status == "pending":
        made["pending_reason"] = row.extra.get("pending_reason", "processing")
    if gone:
        made["failure_reason"] = row.failure_reason or "unknown"
        made["failure_balance_transaction"] = f"txn_{tail(row.id)}f" if moved else None
    if "charge" in expand:
        made["charge"] = charge(ledger, payment)
    if "payment_intent" in expand:
        made["payment_intent"] = intent(ledger, payment)
    if "balance_transaction" in expand and moved:
        made["balance_transaction"] = balance_transaction(row)
    return made


def _destination(payment: LedgerPayment, row: LedgerRefund) -> Json:
    if payment.method_type != "card":
        kind = "us_bank_transfer" if payment.brand == "ach" else "eu_bank_transfer"
        return {"type": kind, kind: {"reference": None, "reference_status": "pending"}}
    kind = "reversal" if row.operation == "void" else "refund"
    return {
        "type": "card",
        "card": {
            "reference": None,
            "reference_status": "pending",
            "reference_type": "acquirer_reference_number",
            "type": "pending" if row.status == "pending" else kind,
        },
    }


def balance_transaction(row: LedgerPayment | LedgerRefund) -> Json:
    """What a payment or refund did to the balance. The fee is 2.9 % and 30 minor units."""
    amount = to_stripe(row.amount_minor, row.currency)
    paid = isinstance(row, LedgerPayment)
    fee = amount * 29 // 1000 + 30 if paid else 0
    signed = amount if paid else -amount
    details = [{"amount": fee, "currency": row.currency.lower(), "type": "stripe_fee"}]
    return {
        "id": f"txn_{tail(row.id)}",
        "object": "balance_transaction",
        "amount": signed,
        "available_on": seconds(row.created_at + timedelta(days=2)),
        "balance_type": "payments",
        "created": seconds(row.created_at),
        "currency": row.currency.lower(),
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": details if paid else [],
        "net": signed - fee,
        "reporting_category": "charge" if paid else "refund",
        "source": row.id,
        "status": "available",
        "type": "charge" if paid else "refund",
    }


def disputed_at(payment: LedgerPayment) -> datetime:
    """When the dispute began."""
    known = payment.extra.get("disputed_at")
    return datetime.fromisoformat(known) if known else payment.created_at + timedelta(days=3)


def dispute(payment: LedgerPayment) -> Json:
    """The Dispute of a disputed payment."""
    since = disputed_at(payment)
    return {
        "id": f"dp_{tail(payment.id)}",
        "object": "dispute",
        "amount": to_stripe(payment.amount_minor, payment.currency),
        "balance_transactions": [],
        "charge": payment.id,
        "created": seconds(since),
        "currency": payment.currency.lower(),
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": seconds(since + timedelta(days=14)),
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": payment.dispute == "inquiry",
        "livemode": False,
        "metadata": {},
        "payment_intent": f"pi_{tail(payment.id)}",
        "reason": "fraudulent",
        "status": _DISPUTE_STATUS[payment.dispute],
    }


def balance(account: SandboxAccount) -> Json:
    """What the account can pay refunds from."""
    funds = account.settings.balance

    def amount(currency: str) -> int:
        minor = 1_000_000_00 if funds is None else funds.get(currency, 0)
        return to_stripe(minor, currency)

    return {
        "object": "balance",
        "available": [
            {"amount": amount(currency), "currency": currency.lower()}
            for currency in account.currencies
        ],
        "livemode": False,
        "pending": [{"amount": 0, "currency": code.lower()} for code in account.currencies],
    }


def account(owner: SandboxAccount) -> Json:
    """Whose key it is: a harmless answer to check credentials with."""
    return {
        "id": f"acct_{sha256(owner.name.encode()).hexdigest()[:16]}",
        "object": "account",
        "business_profile": {"name": f"Sandbox {owner.name}", "url": "https://shop.example.com"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": owner.currency.lower(),
        "details_submitted": True,
        "email": f"{owner.name}@example.com",
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": f"Sandbox {owner.name}", "timezone": "Etc/UTC"}},
        "type": "standard",
    }
