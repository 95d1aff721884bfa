"""PayPal's objects as JSON, made from the ledger's rows.

The order of a capture has the capture's id read backwards, so that one leads to the other
without an index. Payments of the old interface have no order (``extra["order"] = "none"``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from gateways.money import Money, exponent_of

from .ledger import Ledger, LedgerPayment, LedgerRefund, SandboxAccount

Json = dict[str, Any]

# PayPal has no decimals in these, whatever ISO 4217 says.
WHOLE_ONLY = frozenset({"HUF", "JPY", "TWD"})

_REFUND_STATUS = {
    "pending": "PENDING",
    "succeeded": "COMPLETED",
    "failed": "FAILED",
    "canceled": "CANCELLED",
}
_BRANDS = {
    "visa": "VISA",
    "mastercard": "MASTERCARD",
    "amex": "AMEX",
    "discover": "DISCOVER",
    "jcb": "JCB",
    "unionpay": "CHINA_UNION_PAY",
}
_NOT_ALIKE = str.maketrans("01", "GH")
_DISPUTE_STAGE = {"inquiry": "INQUIRY", "open": "CHARGEBACK", "chargeback": "ARBITRATION"}


def money(minor: int, currency: str) -> Json:
    """An amount as PayPal writes it: a decimal string, whole units where it has no decimals."""
    if currency in WHOLE_ONLY:
        value = str(minor // 10 ** exponent_of(currency))
    else:
        value = Money(minor, currency).major()
    return {"currency_code": currency, "value": value}


def when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def order_id(payment: LedgerPayment) -> str:
    """The id of the payment's order; empty for payments that have none."""
    return "" if payment.extra.get("order") == "none" else payment.id[::-1]


def fee(payment: LedgerPayment) -> int:
    """3.49 % and 49 minor units, never more than the amount."""
    return min(payment.amount_minor, payment.amount_minor * 349 // 10_000 + 49)


def names(payment: LedgerPayment) -> Json:
    """A person's name as given name and surname."""
    given, _, surname = (payment.payer_name or "").rpartition(" ")
    parts = {"given_name": given or surname, "surname": surname if given else ""}
    return {name: part for name, part in parts.items() if part}


def payer_id(payment: LedgerPayment) -> str:
    """The payer's account, the same for the same e-mail address."""
    return _account_id(payment.payer_email or payment.id)


def merchant_id(account: SandboxAccount) -> str:
    """The merchant's own account."""
    return _account_id(account.name)


def _account_id(text: str) -> str:
    """13 letters and digits; PayPal leaves out those that look alike."""
    return sha256(text.encode()).hexdigest()[:13].upper().translate(_NOT_ALIKE)


def link(base: str, path: str, rel: str, method: str = "GET") -> Json:
    return {"href": base + path, "rel": rel, "method": method}


def _references(payment: LedgerPayment) -> Json:
    if not payment.order_reference:
        return {}
    return {"invoice_id": payment.order_reference, "custom_id": payment.order_reference}


def _related(payment: LedgerPayment) -> Json:
    order = order_id(payment)
    return {"supplementary_data": {"related_ids": {"order_id": order}}} if order else {}


def capture_status(ledger: Ledger, payment: LedgerPayment) -> str:
    """The status of a capture."""
    if payment.status == "captured":
        return "PENDING"
    if payment.status == "failed":
        return "DECLINED"
    left = ledger.refundable_minor(payment)
    if left == payment.amount_minor:
        return "COMPLETED"
    return "PARTIALLY_REFUNDED" if left else "REFUNDED"


def capture(ledger: Ledger, payment: LedgerPayment, base: str) -> Json:
    """A capture: money that was taken."""
    status = capture_status(ledger, payment)
    made: Json = {
        "id": payment.id,
        "status": status,
        "amount": money(payment.amount_minor, payment.currency),
        **_references(payment),
        "seller_protection": {"status": "ELIGIBLE"},
        "final_capture": True,
        "create_time": when(payment.created_at),
        "update_time": when(payment.modified_at or payment.created_at),
        **_related(payment),
        "links": [
            link(base, f"/v2/payments/captures/{payment.id}", "self"),
            link(base, f"/v2/payments/captures/{payment.id}/refund", "refund", "POST"),
        ],
    }
    if order := order_id(payment):
        made["links"].append(link(base, f"/v2/checkout/orders/{order}", "up"))
    if status == "PENDING":
        reason = "ECHECK" if payment.method_type == "bank" else "PENDING_REVIEW"
        made["status_details"] = {"reason": reason}
    else:
        made["seller_receivable_breakdown"] = {
            "gross_amount": money(payment.amount_minor, payment.currency),
            "paypal_fee": money(fee(payment), payment.currency),
            "net_amount": money(payment.amount_minor - fee(payment), payment.currency),
        }
    return made


def authorization(payment: LedgerPayment, base: str) -> Json:
    """An authorization: money that is held."""
    return {
        "id": payment.id,
        "status": "CREATED" if payment.status == "authorized" else "VOIDED",
        "amount": money(payment.amount_minor, payment.currency),
        **_references(payment),
        "seller_protection": {"status": "ELIGIBLE"},
        "expiration_time": when(payment.created_at + timedelta(days=29)),
        "create_time": when(payment.created_at),
        "update_time": when(payment.modified_at or payment.created_at),
        **_related(payment),
        "links": [
            link(base, f"/v2/payments/authorizations/{payment.id}", "self"),
            link(base, f"/v2/payments/authorizations/{payment.id}/void", "void", "POST"),
        ],
    }


def refund(ledger: Ledger, row: LedgerRefund, base: str, *, whole: bool = True) -> Json:
    """A refund; not ``whole`` is what ``Prefer: return=minimal`` gives."""
    links = [
        link(base, f"/v2/payments/refunds/{row.id}", "self"),
        link(base, f"/v2/payments/captures/{row.payment_id}", "up"),
    ]
    status = _REFUND_STATUS[row.status]
    if not whole:
        return {"id": row.id, "status": status, "links": links}
    own: Json = {
        name: row.extra[name]
        for name in ("invoice_id", "custom_id", "note_to_payer")
        if name in row.extra
    }
    made: Json = {
        "id": row.id,
        "status": status,
        "amount": money(row.amount_minor, row.currency),
        **own,
        "seller_payable_breakdown": {
            "gross_amount": money(row.amount_minor, row.currency),
            "paypal_fee": money(0, row.currency),
            "net_amount": money(row.amount_minor, row.currency),
            "total_refunded_amount": money(_refunded_until(ledger, row), row.currency),
        },
        "create_time": when(row.created_at),
        "update_time": when(row.modified_at or row.created_at),
        "links": links,
    }
    if row.status == "pending":
        made["status_details"] = {"reason": "ECHECK"}
    return made


def _refunded_until(ledger: Ledger, row: LedgerRefund) -> int:
    """What was refunded of the payment, up to and with this refund."""
    total = 0
    for other in ledger.refunds_of(ledger.payments[row.payment_id]):
        if other.status in ("pending", "succeeded"):
            total += other.amount_minor
        if other is row:
            break
    return total


def order(ledger: Ledger, payment: LedgerPayment, base: str) -> Json:
    """The order of a payment: who paid, how, and all refunds."""
    refunds = [row for row in ledger.refunds_of(payment) if row.operation == "refund"]
    held = payment.status in ("authorized", "voided")
    payments: Json = (
        {"authorizations": [authorization(payment, base)]}
        if held
        else {"captures": [capture(ledger, payment, base)]}
    )
    if refunds:
        payments["refunds"] = [refund(ledger, row, base) for row in refunds]
    unit: Json = {
        "reference_id": "default",
        "amount": money(payment.amount_minor, payment.currency),
        **_references(payment),
        "payments": payments,
    }
    if payment.description:
        unit["description"] = payment.description[:127]
    return {
        "id": order_id(payment),
        "intent": "AUTHORIZE" if held else "CAPTURE",
        "status": "VOIDED" if payment.status == "voided" else "COMPLETED",
        "payment_source": payment_source(payment),
        "purchase_units": [unit],
        "create_time": when(payment.created_at),
        "update_time": when(payment.modified_at or payment.created_at),
        "links": [link(base, f"/v2/checkout/orders/{order_id(payment)}", "self")],
    }


def payment_source(payment: LedgerPayment) -> Json:
    """How an order was paid: PayPal account, card, or a wallet with a card in it."""
    email = {"email_address": payment.payer_email} if payment.payer_email else {}
    if payment.method_type != "card":
        full: Json = {"name": names(payment)} if payment.payer_name else {}
        return {"paypal": {**email, "account_id": payer_id(payment), **full}}
    name = {"name": payment.payer_name} if payment.payer_name else {}
    card: Json = {"type": "CREDIT"}
    if payment.last4:
        card["last_digits"] = payment.last4
    if payment.brand in _BRANDS:
        card["brand"] = _BRANDS[payment.brand]
    if payment.wallet in ("apple_pay", "google_pay"):
        return {payment.wallet: {**name, **email, "card": card}}
    return {"card": {**name, **card}}


def instrument(payment: LedgerPayment) -> Json:
    """How it was paid, in the words of transaction search."""
    if payment.wallet in ("apple_pay", "google_pay"):
        kind = payment.wallet.upper()
    else:
        kind = "CREDIT_CARD" if payment.method_type == "card" else "PAYPAL"
    brand = _BRANDS.get(payment.brand)
    return {"instrument_type": kind, **({"instrument_sub_type": brand} if brand else {})}


def disputed_at(payment: LedgerPayment) -> datetime:
    known = payment.extra.get("disputed_at")
    return datetime.fromisoformat(known) if known else payment.created_at + timedelta(days=3)


def dispute(payment: LedgerPayment, base: str, *, whole: bool = False) -> Json:
    """The dispute of a payment; ``whole`` names the transactions, as the single call does."""
    since = disputed_at(payment)
    over = payment.dispute == "chargeback"
    name = f"PP-D-{payment.id}"
    made: Json = {
        "dispute_id": name,
        "create_time": when(since),
        "update_time": when(since),
        "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        "status": "RESOLVED" if over else "WAITING_FOR_SELLER_RESPONSE",
        "dispute_state": "RESOLVED" if over else "REQUIRED_ACTION",
        "dispute_amount": money(payment.amount_minor, payment.currency),
        "dispute_life_cycle_stage": _DISPUTE_STAGE[payment.dispute],
        "dispute_channel": "INTERNAL",
        "seller_response_due_date": when(since + timedelta(days=10)),
        "links": [link(base, f"/v1/customer/disputes/{name}", "self")],
    }
    if over:
        made["dispute_outcome"] = {
            "outcome_code": "RESOLVED_BUYER_FAVOUR",
            "amount_refunded": money(payment.amount_minor, payment.currency),
        }
    if whole:
        made["disputed_transactions"] = [
            {
                "seller_transaction_id": payment.id,
                "create_time": when(payment.created_at),
                "gross_amount": money(payment.amount_minor, payment.currency),
            }
        ]
    return made
