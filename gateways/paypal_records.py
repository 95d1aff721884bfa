"""Reads what PayPal reports: captures, orders, refunds and rows of the transaction search.

Every function takes parsed JSON and raises ValueError, with a sentence, for a record that it
cannot read.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from .base import (
    Failure,
    FailureCode,
    Payer,
    Payment,
    PaymentMethod,
    PaymentStatus,
    RefundState,
    ReportedRefund,
)
from .json_fields import iso_time_at, rows_at, text_at, value_at
from .money import CURRENCIES, InvalidAmount, Money, exponent_of, parse_reported, write_amount
from .refusals import PAYPAL

Meaning = TypeVar("Meaning")

_WHOLE_UNITS = {"HUF", "JPY", "TWD"}

REFUND_CODES = ("T1107", "T1106")  # by the merchant, by PayPal
DISPUTE_CODES = {"T1110", "T1111", "T1201"}  # hold, hold released, chargeback
_HOLDS = {"T1110", "T1201"}

_CAPTURE_STATUSES = {
    "COMPLETED": PaymentStatus.SETTLED,
    "PARTIALLY_REFUNDED": PaymentStatus.SETTLED,
    "REFUNDED": PaymentStatus.SETTLED,
    "PENDING": PaymentStatus.CAPTURED,
    "DECLINED": PaymentStatus.FAILED,
    "FAILED": PaymentStatus.FAILED,
}
_ROW_STATUSES = {
    "S": PaymentStatus.SETTLED,
    "P": PaymentStatus.CAPTURED,
    "D": PaymentStatus.FAILED,
    "V": PaymentStatus.SETTLED,  # taken, and later given back: the refunds tell how much
}
_REFUND_STATES = {
    "COMPLETED": RefundState.SUCCEEDED,
    "PENDING": RefundState.PENDING,
    "FAILED": RefundState.FAILED,
    "CANCELLED": RefundState.FAILED,
}
_REFUND_ROW_STATES = {
    "S": RefundState.SUCCEEDED,
    "P": RefundState.PENDING,
    "D": RefundState.FAILED,
    "V": RefundState.FAILED,
}
_DISPUTE_REASONS = {"BUYER_COMPLAINT", "CHARGEBACK"}
_WALLETS = {"paypal": "paypal", "venmo": "venmo"}
_CARD_WALLETS = {"apple_pay", "google_pay"}


def decimals_of(currency: str) -> int:
    """How many decimals PayPal takes: none for HUF, JPY and TWD, never more than two."""
    return 0 if currency in _WHOLE_UNITS else min(exponent_of(currency), 2)


def to_paypal(money: Money) -> dict[str, str]:
    """The amount as PayPal writes it. Raises ValueError where it would have to be rounded."""
    value = write_amount(money, decimals=decimals_of(money.currency))
    return {"currency_code": money.currency, "value": value}


def failure_code(status: int, issue: str) -> FailureCode | None:
    """Our code for a refusal that certainly moved no money; None for anything else."""
    return PAYPAL.refused.get(issue) if status in {400, 404, 415, 422} else None


def read_capture(capture: object, order: object, *, disputed: bool) -> Payment:
    """A capture, with what only its order tells (None where there is no order)."""
    reason = text_at(capture, "status_details", "reason")
    units = rows_at(order, "purchase_units")
    payer, method = _payer_of_order(order)
    return Payment(
        external_id=_required(capture, "id"),
        amount=_amount_at(capture, "amount"),
        status=_known(_CAPTURE_STATUSES, text_at(capture, "status")),
        created_at=iso_time_at(capture, "create_time"),
        disputed=disputed or reason in _DISPUTE_REASONS,
        payer=payer,
        method=method,
        order_reference=text_at(capture, "invoice_id") or text_at(capture, "custom_id"),
        description=text_at(units[0], "description") if units else "",
        related_ids=tuple(filter(None, [order_id_of(capture)])),
    )


def order_id_of(capture: object) -> str:
    """The id of the order that a capture belongs to, empty where it has none."""
    named = text_at(capture, "supplementary_data", "related_ids", "order_id")
    return named or _linked(capture, "/v2/checkout/orders/")


def refunds_of_order(order: object) -> list[Any]:
    """All refunds that an order lists."""
    return [
        refund
        for unit in rows_at(order, "purchase_units")
        for refund in rows_at(unit, "payments", "refunds")
    ]


def reference_of(refund: object) -> str:
    """What we call a refund, where PayPal tells it."""
    return text_at(refund, "custom_id") or text_at(refund, "invoice_id")


def payment_of_refund(refund: object) -> str:
    """The capture that a refund is of, empty where it does not say."""
    return _linked(refund, "/v2/payments/captures/")


def read_refund(refund: object) -> ReportedRefund:
    """A refund of Payments v2. A status that is not known yet is a ValueError: no proof."""
    status = text_at(refund, "status")
    state = _known(_REFUND_STATES, status)
    failure = None
    if state is RefundState.FAILED:
        failure = Failure(FailureCode.OTHER, status, f"PayPal reports the refund as {status}.")
    return ReportedRefund(
        external_id=_required(refund, "id"),
        payment_id=payment_of_refund(refund),
        amount=_amount_at(refund, "amount"),
        state=state,
        created_at=iso_time_at(refund, "create_time"),
        reference=reference_of(refund),
        failure=failure,
    )


def event_code_of(row: object) -> str:
    """What a row of the transaction search is about."""
    return text_at(row, "transaction_info", "transaction_event_code")


def transaction_id_of(row: object) -> str:
    """The id of a row of the transaction search, empty where there is none."""
    return str(value_at(row, "transaction_info", "transaction_id") or "")


def payment_id_of(row: object) -> str:
    """The payment that a refund or dispute row is about."""
    return text_at(row, "transaction_info", "paypal_reference_id")


def is_hold(row: object) -> bool:
    """Whether the row takes a disputed payment's money away, for a while or for good."""
    return event_code_of(row) in _HOLDS


def read_payment_row(row: object, disputed_ids: Collection[str]) -> tuple[Payment, ...]:
    """A payment that we received; nothing for any other row."""
    info = value_at(row, "transaction_info")
    if not event_code_of(row).startswith("T00"):
        return ()
    amount = _amount_at(info, "transaction_amount")
    if amount.minor <= 0:  # we paid somebody else
        return ()
    payer = value_at(row, "payer_info")
    items = rows_at(row, "cart_info", "item_details")
    is_order = text_at(info, "paypal_reference_id_type") == "ODR"
    external_id = _required(info, "transaction_id")
    payment = Payment(
        external_id=external_id,
        amount=amount,
        status=_known(_ROW_STATUSES, text_at(info, "transaction_status")),
        created_at=iso_time_at(info, "transaction_initiation_date"),
        disputed=external_id in disputed_ids,
        payer=Payer(_payer_name(value_at(payer, "payer_name")), text_at(payer, "email_address")),
        method=_method_of_row(info),
        order_reference=text_at(info, "invoice_id") or text_at(info, "custom_field"),
        description=text_at(items[0], "item_name") if items else "",
        related_ids=(payment_id_of(row),) if is_order else (),
        has_details=False,
    )
    return (payment,)


def read_refund_row(row: object) -> tuple[ReportedRefund]:
    """A refund in the transaction search, where its amount is negative."""
    info = value_at(row, "transaction_info")
    status = text_at(info, "transaction_status")
    state = _known(_REFUND_ROW_STATES, status)
    amount = _amount_at(info, "transaction_amount")
    failure = None
    if state is RefundState.FAILED:
        failure = Failure(FailureCode.OTHER, status, f"PayPal reports the refund as {status}.")
    refund = ReportedRefund(
        external_id=_required(info, "transaction_id"),
        payment_id=payment_id_of(row),
        amount=Money(abs(amount.minor), amount.currency),
        state=state,
        created_at=iso_time_at(info, "transaction_initiation_date"),
        reference=text_at(info, "custom_field") or text_at(info, "invoice_id"),
        failure=failure,
    )
    return (refund,)


def _required(record: object, field: str) -> str:
    text = text_at(record, field)
    if not text:
        raise ValueError(f"{field} is missing")
    return text


def _known(meanings: dict[str, Meaning], word: str) -> Meaning:
    if word not in meanings:
        raise ValueError(f"the status {word!r} is not known")
    return meanings[word]


def _amount_at(record: object, field: str) -> Money:
    currency = text_at(record, field, "currency_code")
    text = text_at(record, field, "value")
    if currency not in CURRENCIES:
        raise ValueError(f"the currency {currency!r} is not known")
    try:
        return parse_reported(text, currency)
    except InvalidAmount as error:
        raise ValueError(f"{text!r} is not an amount of {currency}") from error


def _linked(record: object, path: str) -> str:
    """The id at the end of the link that leads to this path, which is the one called ``up``."""
    for link in rows_at(record, "links"):
        before, _, linked_id = text_at(link, "href").partition(path)
        if before and linked_id and text_at(link, "rel") == "up":
            return linked_id
    return ""


def _payer_name(name: object) -> str:
    parts = (text_at(name, "given_name"), text_at(name, "surname"))
    return text_at(name, "alternate_full_name") or " ".join(filter(None, parts))


def _payer_of_order(order: object) -> tuple[Payer, PaymentMethod]:
    source = value_at(order, "payment_source")
    kind = next(iter(source), "") if isinstance(source, dict) else ""
    own = value_at(source, kind)
    payer = value_at(order, "payer")
    card = value_at(own, "card") if kind in _CARD_WALLETS else own
    name = value_at(own, "name")
    full_name = name if isinstance(name, str) else _payer_name(name)
    return (
        Payer(
            full_name or _payer_name(value_at(payer, "name")),
            text_at(own, "email_address") or text_at(payer, "email_address"),
        ),
        _method(kind, text_at(card, "brand"), text_at(card, "last_digits")),
    )


def _method_of_row(info: object) -> PaymentMethod:
    kind = text_at(info, "instrument_type").lower()
    brand = text_at(info, "instrument_sub_type")
    return _method("card" if kind in {"credit_card", "debit_card"} else kind, brand, "")


def _method(kind: str, brand: str, last4: str) -> PaymentMethod:
    if kind == "card" or kind in _CARD_WALLETS:
        wallet = kind if kind in _CARD_WALLETS else ""
        return PaymentMethod("card", brand.lower(), last4, wallet)
    if kind in _WALLETS:
        return PaymentMethod("wallet", wallet=kind)
    if kind in {"bank", "echeck", "sepa", "ideal", "bancontact", "blik", "eps", "p24", "trustly"}:
        return PaymentMethod("bank", kind)
    return PaymentMethod("other", kind)
