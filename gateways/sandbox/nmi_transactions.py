"""What moves money at NMI: refunds and voids, with no protection against asking twice."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateways.money import InvalidAmount, exponent_of, parse_reported

from .ledger import (
    ExceedsRefundableError,
    Ledger,
    LedgerPayment,
    LedgerRefund,
    NotVoidableError,
    SandboxAccount,
)
from .magic import Magic, ending
from .nmi_answers import Rejected, rejected_with

_TOO_MUCH = "Refund amount may not exceed the transaction balance"
_NOT_VOIDABLE = "Only transactions pending settlement can be voided"

# What the gateway answers to amounts with these last three digits, by response code.
_MAGIC = {
    401: "204",
    402: "200",
    403: "202",
    404: "264",
    420: "420",
    421: "421",
    424: "400",
    429: "301",
    430: "430",
    431: "300",
    461: "461",
}
_EXECUTED = frozenset((421,))  # the answer got lost behind the gateway, the refund did not
_TEST_MODE_FLOOR = 100  # hundredths: in test mode smaller amounts are declined
MAGIC = (
    *(
        Magic(
            f"refund an amount that ends in {number / 100:.2f}",
            f"{'carried out, but answered' if number in _EXECUTED else 'refused'} with {code}",
        )
        for number, code in _MAGIC.items()
    ),
    Magic("refund less than 1.00 in an account in test mode", "declined with 200"),
)


def carry_out(ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str]) -> dict[str, str]:
    """Refund or void, as ``type`` says. Returns the answer's fields; raises Rejected."""
    if fields.get("type") not in ("refund", "void"):
        raise Rejected("Invalid Transaction Type")
    transaction_id = fields.get("transactionid", "").strip()
    if not re.fullmatch("[0-9]{1,20}", transaction_id):
        raise Rejected("Invalid Transaction ID / Object ID specified")
    if fields["type"] == "void":
        refund = ledger.refund(account, transaction_id)
        if refund is not None and refund.operation == "refund":
            return _void_refund(ledger, account, refund)
        return _void(ledger, account, _payment(ledger, account, fields, transaction_id), fields)
    return _refund(ledger, account, _payment(ledger, account, fields, transaction_id), fields)


def transaction_id_of(serial: int) -> str:
    """Ids are numbers that grow with time."""
    return f"1{serial:09d}"


def order_id_of(refund: LedgerRefund) -> str:
    """The order id that the gateway keeps for a refund."""
    order_id: str = refund.extra.get("order_id", refund.reference)
    return order_id


def _payment(
    ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str], transaction_id: str
) -> LedgerPayment:
    payment = ledger.payment(account, transaction_id)
    if payment is None:
        raise Rejected("Transaction not found")
    kind = "check" if payment.method_type == "bank" else "creditcard"
    if (fields.get("payment") or "creditcard") != kind:
        raise Rejected("Invalid Transaction ID specified")
    return payment


def _refund(
    ledger: Ledger, account: SandboxAccount, payment: LedgerPayment, fields: Mapping[str, str]
) -> dict[str, str]:
    if fields.get("dup_seconds") == "0":
        raise Rejected("Disabling Duplicate Check is not allowed for this processor")
    minor = _amount_minor(fields.get("amount", ""), payment.currency)
    if minor == 0:  # also when there was no amount: everything that is left
        minor = ledger.refundable_minor(payment)
    order_id = _order_id(account, payment, fields)
    _check_test_mode(account, payment, minor, order_id)
    magic = ending(minor, payment.currency)
    if magic in _MAGIC and magic not in _EXECUTED:
        raise rejected_with(_MAGIC[magic], order_id)
    if payment.status == "captured" and not account.settings.refund_before_settlement:
        raise Rejected("Only settled transactions can be refunded", order_id=order_id)
    if minor == 0:
        raise Rejected(_TOO_MUCH, order_id=order_id)
    refund = _new_refund(ledger, account, payment, minor, order_id)
    refund.reference = fields.get("orderid", "")
    try:
        ledger.add_refund(refund)
    except ExceedsRefundableError:
        raise Rejected(_TOO_MUCH, order_id=order_id) from None
    if magic in _EXECUTED:
        raise rejected_with(_MAGIC[magic], order_id)
    return _approved("SUCCESS", refund.id, order_id)


def _new_refund(
    ledger: Ledger, account: SandboxAccount, payment: LedgerPayment, minor: int, order_id: str
) -> LedgerRefund:
    serial = ledger.next_serial()
    now = ledger.clock.now()
    waits = account.settings.settles_nightly
    return LedgerRefund(
        id=transaction_id_of(serial),
        payment_id=payment.id,
        dialect=account.dialect,
        account=account.name,
        amount_minor=minor,
        currency=payment.currency,
        status="pending" if waits else "succeeded",
        created_at=now,
        settled_at=None if waits else now,
        extra={"order_id": order_id},
        serial=serial,
    )


def _void(
    ledger: Ledger, account: SandboxAccount, payment: LedgerPayment, fields: Mapping[str, str]
) -> dict[str, str]:
    order_id = _order_id(account, payment, fields)
    record = LedgerRefund(
        id=f"void-{payment.id}",
        payment_id=payment.id,
        dialect=account.dialect,
        account=account.name,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        status="succeeded",
        created_at=ledger.clock.now(),
        operation="void",
        reference=fields.get("orderid", ""),
    )
    try:
        ledger.void(payment, record)
    except NotVoidableError:
        raise Rejected(
            _NOT_VOIDABLE, transaction_id=payment.id, order_id=payment.order_reference
        ) from None
    return _approved("Transaction Void Successful", payment.id, order_id)


def _void_refund(ledger: Ledger, account: SandboxAccount, refund: LedgerRefund) -> dict[str, str]:
    if refund.status != "pending" or not account.settings.voids_refunds:
        raise Rejected(_NOT_VOIDABLE, transaction_id=refund.id, order_id=order_id_of(refund))
    ledger.change(refund, tell="refund.canceled", status="canceled")
    return _approved("Transaction Void Successful", refund.id, order_id_of(refund))


def _amount_minor(text: str, currency: str) -> int:
    """Minor units of ``x.xx``; 0 where the field is missing. Yen have two decimals here, too."""
    if not text:
        return 0
    decimals = max(2, exponent_of(currency))
    if not re.fullmatch(rf"[0-9]{{1,10}}\.[0-9]{{{decimals}}}", text):
        raise Rejected("Invalid amount")
    try:
        return parse_reported(text, currency).minor
    except InvalidAmount:
        raise Rejected("Invalid amount") from None


def _order_id(account: SandboxAccount, payment: LedgerPayment, fields: Mapping[str, str]) -> str:
    """The one that was sent, even when empty; without one, the original's."""
    if not account.settings.refund_keeps_order_id:
        return payment.order_reference
    return fields.get("orderid", payment.order_reference)


def _check_test_mode(
    account: SandboxAccount, payment: LedgerPayment, minor: int, order_id: str
) -> None:
    floor = _TEST_MODE_FLOOR * 10 ** exponent_of(payment.currency) // 100
    if account.settings.test_mode and minor < floor:
        raise rejected_with("200", order_id)


def _approved(text: str, transaction_id: str, order_id: str) -> dict[str, str]:
    return {
        "response": "1",
        "responsetext": text,
        "transactionid": transaction_id,
        "orderid": order_id,
        "response_code": "100",
    }
