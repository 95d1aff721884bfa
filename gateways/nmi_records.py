"""Reads what NMI's query API reports: transactions with their actions, in our words.

A refund shows in one of two shapes: as a transaction of its own that does not name the payment
(and may be negative), or as one more action of the payment. Both are read. What cannot be read
raises ValueError with a sentence.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

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
from .hardened_xml import Element, text_of
from .moments import reported
from .money import InvalidAmount, Money, parse_reported

_TIME = re.compile("[0-9]{14}")  # strptime takes fewer digits, too, and guesses where they belong
_STATUSES = {
    "pending": PaymentStatus.AUTHORIZED,
    "in_progress": PaymentStatus.AUTHORIZED,
    "pendingsettlement": PaymentStatus.CAPTURED,
    "complete": PaymentStatus.SETTLED,
    "canceled": PaymentStatus.VOIDED,
    "failed": PaymentStatus.FAILED,
    "abandoned": PaymentStatus.FAILED,
}
# Approved is given back and settles with the next batch: succeeded, as other processors call it.
_REFUND_STATES = {
    "complete": RefundState.SUCCEEDED,
    "pendingsettlement": RefundState.SUCCEEDED,
    "canceled": RefundState.FAILED,
    "failed": RefundState.FAILED,
    "abandoned": RefundState.FAILED,
}
_TAKES = ("sale", "capture")
_PAYS = (*_TAKES, "auth")
_DISPUTES = ("return", "check_return", "check_late_return", "chargeback")
_BRANDS = {"american express": "amex", "diners club": "diners"}
_WALLETS = {"applepay": "apple_pay", "googlepay": "google_pay"}


def transaction_id_of(transaction: Element) -> str:
    """The transaction's own id."""
    return text_of(transaction, "transaction_id")


def last4_of(transaction: Element) -> str:
    """The last four digits of the card or bank account."""
    number = text_of(transaction, "cc_number") or text_of(transaction, "check_account")
    return number[-4:]


def is_voided(transaction: Element) -> bool:
    """Whether it was called off. Some accounts report no success with the void action."""
    voids = _actions(transaction, "void")
    return text_of(transaction, "condition") == "canceled" or any(
        text_of(void, "success") == "1" for void in voids
    )


def read_payments(transaction: Element, default_currency: str) -> list[Payment]:
    """The payment of a transaction, if it is one. ``default_currency`` is the account's."""
    actions = _actions(transaction, *_PAYS)
    if not actions:
        return []
    currency = _currency_of(transaction, default_currency)
    captured = [_money(action, currency) for action in _effective(transaction, *_TAKES)]
    settled = _effective(transaction, "settle")
    status = _status_of(transaction)
    if status is PaymentStatus.AUTHORIZED and captured:
        status = PaymentStatus.CAPTURED  # a bank payment that is still on its way
    payment = Payment(
        external_id=_id_of(transaction),
        amount=Money(sum(money.minor for money in captured), currency)
        if captured
        else _money(actions[0], currency),
        status=status,
        created_at=_time(actions[0]),
        settled_at=_time(settled[0]) if settled and status is PaymentStatus.SETTLED else None,
        disputed=bool(_effective(transaction, *_DISPUTES)),
        payer=_payer_of(transaction),
        method=_method_of(transaction),
        order_reference=text_of(transaction, "order_id"),
        description=text_of(transaction, "order_description"),
    )
    return [payment]


def read_refunds(transaction: Element, default_currency: str) -> list[ReportedRefund]:
    """The refunds of a transaction: itself, or those among the actions of a payment."""
    actions = _actions(transaction, "refund")
    if not actions:
        return []
    currency = _currency_of(transaction, default_currency)
    if _actions(transaction, *_PAYS):
        payment_id = _id_of(transaction)
        return [
            _refund(transaction, action, currency, _action_id(payment_id, action, n), payment_id)
            for n, action in enumerate(actions, start=1)
        ]
    return [_refund(transaction, actions[-1], currency, _id_of(transaction), "")]


def _refund(
    transaction: Element, action: Element, currency: str, refund_id: str, payment_id: str
) -> ReportedRefund:
    state = _refund_state(transaction, action, is_own=not payment_id)
    amount = _money(action, currency)
    return ReportedRefund(
        external_id=refund_id,
        payment_id=payment_id,
        amount=Money(abs(amount.minor), currency),
        state=state,
        created_at=_time(action),
        reference="" if payment_id else text_of(transaction, "order_id"),
        last4=last4_of(transaction),
        payer=_payer_of(transaction),
        failure=_failure(transaction, action) if state is RefundState.FAILED else None,
        has_own_id=not payment_id or bool(text_of(action, "transaction_id")),
    )


def _refund_state(transaction: Element, action: Element, *, is_own: bool) -> RefundState:
    if text_of(action, "success") == "0":
        return RefundState.FAILED
    if not is_own:  # the condition is the payment's
        return RefundState.SUCCEEDED
    return _REFUND_STATES.get(text_of(transaction, "condition"), RefundState.PENDING)


def _failure(transaction: Element, action: Element) -> Failure:
    if is_voided(transaction) and text_of(action, "success") != "0":
        return Failure(FailureCode.RETURNED, message="The refund was voided.")
    return Failure(
        FailureCode.DECLINED_BY_BANK,
        processor_code=text_of(action, "response_code"),
        message=text_of(action, "response_text"),
    )


def _action_id(payment_id: str, action: Element, number: int) -> str:
    # Where actions have no id of their own, the place in the payment's history serves.
    return text_of(action, "transaction_id") or f"{payment_id}-refund-{number}"


def _actions(transaction: Element, *types: str) -> list[Element]:
    return [
        action
        for action in transaction.iterfind("action")
        if text_of(action, "action_type") in types
    ]


def _effective(transaction: Element, *types: str) -> list[Element]:
    return [a for a in _actions(transaction, *types) if text_of(a, "success") != "0"]


def _id_of(transaction: Element) -> str:
    transaction_id = transaction_id_of(transaction)
    if not transaction_id:
        raise ValueError("It has no transaction_id.")
    return transaction_id


def _status_of(transaction: Element) -> PaymentStatus:
    condition = text_of(transaction, "condition")
    try:
        return _STATUSES[condition]
    except KeyError:
        raise ValueError(f"Its condition {condition!r} says nothing that we know.") from None


def read_time(text: str) -> datetime:
    """The time that NMI writes as 14 digits, in UTC."""
    digits = text if _TIME.fullmatch(text) else ""
    try:
        return reported(datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC))
    except ValueError:
        raise ValueError(f"{text!r} is no time.") from None


def _currency_of(transaction: Element, default: str) -> str:
    currency = text_of(transaction, "currency").upper() or default
    if not currency:
        raise ValueError("It names no currency; set the account's currency.")
    return currency


def _money(action: Element, currency: str) -> Money:
    text = text_of(action, "amount")
    try:
        return parse_reported(text, currency)
    except InvalidAmount as error:
        raise ValueError(f"{text!r} is no amount of {currency} ({error.code}).") from error


def _time(action: Element) -> datetime:
    return read_time(text_of(action, "date"))


def _payer_of(transaction: Element) -> Payer:
    return Payer(_name_of(transaction), text_of(transaction, "email"))


def _name_of(transaction: Element) -> str:
    name = f"{text_of(transaction, 'first_name')} {text_of(transaction, 'last_name')}".strip()
    return name or text_of(transaction, "check_name")


def _method_of(transaction: Element) -> PaymentMethod:
    brand = text_of(transaction, "cc_type").lower()
    match text_of(transaction, "transaction_type"):
        case "cc":
            entry_mode = re.sub("[^a-z]", "", text_of(transaction, "entry_mode").lower())
            wallet = _WALLETS.get(entry_mode, "")
            return PaymentMethod("card", _BRANDS.get(brand, brand), last4_of(transaction), wallet)
        case "ck":
            return PaymentMethod("bank", "ach", last4_of(transaction))
    return PaymentMethod()
