"""PayPal's rules of giving money back."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gateways.money import CURRENCIES, exponent_of

from .ledger import Ledger, LedgerPayment, LedgerRefund, SandboxAccount
from .magic import Magic, ending
from .paypal_errors import PayPalError
from .paypal_objects import WHOLE_ONLY

IDS = string.ascii_uppercase + string.digits

_VALUE = re.compile(r"(-?)([0-9]*)(?:\.([0-9]+))?", re.ASCII)
_LENGTHS = {"invoice_id": 127, "custom_id": 127, "note_to_payer": 255}
_LATER = timedelta(seconds=20)
_MAGIC_REFUSALS = {
    401: "REFUND_NOT_ALLOWED",
    402: "REFUND_FAILED_INSUFFICIENT_FUNDS",
    403: "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
    404: "MAX_NUMBER_OF_REFUNDS_EXCEEDED",
}
_MAGIC_LATER = {405: "succeeded", 406: "failed"}

MAGIC = (
    *(
        Magic(f"refund an amount that ends in {number / 100:.2f}", f"refused with {issue}")
        for number, issue in _MAGIC_REFUSALS.items()
    ),
    Magic("refund an amount that ends in 4.05", "PENDING, then COMPLETED after 20 seconds"),
    Magic("refund an amount that ends in 4.06", "PENDING, then FAILED after 20 seconds"),
    Magic("refund a payment older than 180 days", "refused with REFUND_TIME_LIMIT_EXCEEDED"),
    Magic("refund a part of a disputed payment", "refused with TRANSACTION_DISPUTED"),
    Magic(
        'send the header PayPal-Mock-Response: {"mock_application_codes": "ISSUE"}',
        "refused with that issue",
    ),
)


class RefundDesk:
    """Makes refunds and voids. Call it with the ledger's lock held."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def create(
        self, account: SandboxAccount, payment: LedgerPayment, wish: Mapping[str, Any]
    ) -> LedgerRefund:
        """A refund of a capture. Raises PayPalError."""
        own = _texts(wish)
        asked = _amount(wish.get("amount"), payment)
        self._check_state(account, payment)
        left = self.ledger.refundable_minor(payment)
        if left <= 0:
            raise PayPalError("CAPTURE_FULLY_REFUNDED")
        amount = left if asked is None else asked
        if amount > left:
            raise PayPalError("REFUND_AMOUNT_EXCEEDED", field="/amount/value")
        if payment.dispute and amount < left:
            raise PayPalError("TRANSACTION_DISPUTED")
        invoice = own.get("invoice_id", "")
        if invoice and self.ledger.refunds_called(account, invoice):
            raise PayPalError("DUPLICATE_INVOICE_ID", field="/invoice_id")
        magic = ending(amount, payment.currency)
        if magic in _MAGIC_REFUSALS:
            raise PayPalError(_MAGIC_REFUSALS[magic])
        if not self.ledger.pay_out(account, payment.currency, amount):
            raise PayPalError("REFUND_FAILED_INSUFFICIENT_FUNDS")
        now = self.ledger.clock.now()
        later = _MAGIC_LATER.get(magic, "")
        made = LedgerRefund(
            id=self.ledger.new_id("", 17, IDS),
            payment_id=payment.id,
            dialect="paypal",
            account=account.name,
            amount_minor=amount,
            currency=payment.currency,
            status="pending" if later else "succeeded",
            created_at=now,
            reference=invoice or own.get("custom_id", ""),
            due_at=now + _LATER if later else None,
            due_status=later,
            extra=dict(own),
        )
        return self.ledger.add_refund(made)

    def _check_state(self, account: SandboxAccount, payment: LedgerPayment) -> None:
        if payment.status == "captured":
            raise PayPalError("PENDING_CAPTURE")
        if payment.status != "settled":
            raise PayPalError("REFUND_NOT_ALLOWED")
        if payment.dispute == "chargeback":
            raise PayPalError("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK")
        limit = account.settings.refund_age_days
        if limit and self.ledger.clock.now() - payment.created_at > timedelta(days=limit):
            raise PayPalError("REFUND_TIME_LIMIT_EXCEEDED")

    def void(self, payment: LedgerPayment) -> LedgerPayment:
        """Call an authorization off. Raises PayPalError."""
        if payment.status == "voided":
            raise PayPalError("PREVIOUSLY_VOIDED")
        self.ledger.void(
            payment,
            LedgerRefund(
                id=self.ledger.new_id("", 17, IDS),
                payment_id=payment.id,
                dialect="paypal",
                account=payment.account,
                amount_minor=payment.amount_minor,
                currency=payment.currency,
                status="succeeded",
                created_at=self.ledger.clock.now(),
                operation="void",
            ),
        )
        return payment


def _texts(wish: Mapping[str, Any]) -> dict[str, str]:
    texts = {}
    for name, longest in _LENGTHS.items():
        if name not in wish:
            continue
        value = wish[name]
        if not isinstance(value, str):
            raise PayPalError("INVALID_PARAMETER_SYNTAX", field=f"/{name}")
        if not 1 <= len(value) <= longest:
            raise PayPalError("INVALID_STRING_LENGTH", field=f"/{name}")
        texts[name] = value
    return texts


def _amount(wish: Any, payment: LedgerPayment) -> int | None:
    """The amount asked for in ISO minor units; None when the rest is asked for."""
    if wish is None:
        return None
    if not isinstance(wish, dict):
        raise PayPalError("INVALID_PARAMETER_SYNTAX", field="/amount")
    for name in ("currency_code", "value"):
        if name not in wish:
            raise PayPalError("MISSING_REQUIRED_PARAMETER", field=f"/amount/{name}")
        if not isinstance(wish[name], str):
            raise PayPalError("INVALID_PARAMETER_SYNTAX", field=f"/amount/{name}")
    currency, value = wish["currency_code"], wish["value"]
    found = _VALUE.fullmatch(value)
    if len(value) > 32 or not found or not (found[2] or found[3]):
        raise PayPalError("INVALID_PARAMETER_SYNTAX", field="/amount/value")
    if len(currency) != 3:
        raise PayPalError("INVALID_STRING_LENGTH", field="/amount/currency_code")
    if currency not in CURRENCIES:
        raise PayPalError("INVALID_CURRENCY_CODE", field="/amount/currency_code")
    if currency != payment.currency:
        raise PayPalError("REFUND_CAPTURE_CURRENCY_MISMATCH", field="/amount/currency_code")
    return _minor(found, currency)


def _minor(found: re.Match[str], currency: str) -> int:
    sign, whole, fraction = found[1], found[2] or "0", found[3] or ""
    if sign:
        raise PayPalError("CANNOT_BE_NEGATIVE", field="/amount/value")
    if fraction and currency in WHOLE_ONLY:
        raise PayPalError("DECIMALS_NOT_SUPPORTED", field="/amount/value")
    if len(fraction) > 2:
        raise PayPalError("DECIMAL_PRECISION", field="/amount/value")
    minor = int(whole + fraction.ljust(exponent_of(currency), "0"))
    if not minor:
        raise PayPalError("CANNOT_BE_ZERO_OR_NEGATIVE", field="/amount/value")
    return minor
