"""Reads what Authorize.net reports: its statuses and records in our words.

A ``row`` is one ``transaction`` of a list, an ``answer`` a whole getTransactionDetailsResponse.
What cannot be read raises ValueError with a sentence.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

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

_PAYMENT_STATUSES = {
    status: ours
    for ours, statuses in {
        PaymentStatus.AUTHORIZED: "authorizedPendingCapture authorizedPendingRelease "
        "FDSPendingReview FDSAuthorizedPendingReview underReview",
        PaymentStatus.CAPTURED: "capturedPendingSettlement pendingSettlement "
        "pendingFinalSettlement updatingSettlement approvedReview",
        PaymentStatus.SETTLED: "settledSuccessfully returnedItem chargeback chargebackReversal",
        PaymentStatus.VOIDED: "voided",
        PaymentStatus.FAILED: "declined expired failedReview couldNotVoid communicationError "
        "generalError settlementError",
    }.items()
    for status in statuses.split()
}
_DISPUTED = frozenset({"returnedItem", "chargeback", "chargebackReversal"})

# An approved refund is given back and settles with the next batch: succeeded, as other processors
# call it. A status that fits neither is not final, and stays pending.
_REFUND_STATES = {
    "refundPendingSettlement": RefundState.SUCCEEDED,
    "refundSettledSuccessfully": RefundState.SUCCEEDED,
    "voided": RefundState.FAILED,
    "returnedItem": RefundState.FAILED,
    "declined": RefundState.FAILED,
    "failedReview": RefundState.FAILED,
    "expired": RefundState.FAILED,
    "generalError": RefundState.FAILED,
}
_REFUND_FAILURES = {
    "voided": FailureCode.RETURNED,
    "returnedItem": FailureCode.RETURNED,
    "declined": FailureCode.DECLINED_BY_BANK,
    "failedReview": FailureCode.BLOCKED_BY_RULES,
}
_REFUND_STATUSES = frozenset({"refundPendingSettlement", "refundSettledSuccessfully"})
# Refunds share these with payments, and lists do not tell them apart. So they do declined, but
# those are many, and no money moved.
_AMBIGUOUS_STATUSES = frozenset(
    {
        "FDSAuthorizedPendingReview",
        "FDSPendingReview",
        "generalError",
        "returnedItem",
        "underReview",
        "voided",
    }
)

_BRANDS = {"AmericanExpress": "amex", "DinersClub": "diners", "eCheck": "ach"}
_WALLETS = {"applepay": "apple_pay", "googlepay": "google_pay"}


def reason_of(answer: Element, *, most_telling: Collection[str] = ()) -> tuple[str, str]:
    """Code and text of any answer: the transaction's own where there are some.

    Of several, the first whose code is among ``most_telling``, else the first.
    """
    for path, code, text in (
        ("transactionResponse/errors/error", "errorCode", "errorText"),
        ("transactionResponse/messages/message", "code", "description"),
        ("messages/message", "code", "text"),
    ):
        found = [(text_of(each, code), text_of(each, text)) for each in answer.iterfind(path)]
        if found:
            return next((each for each in found if each[0] in most_telling), found[0])
    return "", ""


def transaction_id_of(row: Element) -> str:
    """The row's own id."""
    return text_of(row, "transId")


def has_refund_status(row: Element) -> bool:
    """Whether the row is certainly a refund."""
    return text_of(row, "transactionStatus") in _REFUND_STATUSES


def is_ambiguous(row: Element) -> bool:
    """Whether the row may be a payment or a refund, which only its details tell."""
    return text_of(row, "transactionStatus") in _AMBIGUOUS_STATUSES


def read_summary(row: Element, currency: str, settled_at: datetime | None) -> list[Payment]:
    """The payment of a row, if it is not a refund. ``settled_at`` is when its batch settled."""
    if has_refund_status(row):
        return []
    status = _payment_status(row)
    payment = Payment(
        external_id=_id_of(row),
        amount=_money(row, "settleAmount", currency),
        status=status,
        created_at=time_of(row, "submitTimeUTC"),
        settled_at=settled_at if status is PaymentStatus.SETTLED else None,
        disputed=_is_disputed(row) or text_of(row, "hasReturnedItems") == "true",
        payer=Payer(name=_full_name(row)),
        method=_method(text_of(row, "accountType"), text_of(row, "accountNumber")),
        order_reference=text_of(row, "invoiceNumber"),
        has_details=False,
    )
    return [payment]


def read_payment(answer: Element, currency: str) -> Payment | None:
    """The payment; None for a refund."""
    details = _details_of(answer)
    if _is_refund(details):
        return None
    status = _payment_status(details)
    has_settled = status is PaymentStatus.SETTLED and details.find("batch") is not None
    bank_account_name = text_of(details, "payment/bankAccount/nameOnAccount")
    return Payment(
        external_id=_id_of(details),
        amount=_amount(details, currency),
        status=status,
        created_at=time_of(details, "submitTimeUTC"),
        settled_at=time_of(details, "batch/settlementTimeUTC") if has_settled else None,
        disputed=_is_disputed(details) or details.find("returnedItems/returnedItem") is not None,
        payer=Payer(
            name=_full_name(details, "billTo/") or bank_account_name,
            email=text_of(details, "customer/email"),
        ),
        method=method_of(answer),
        order_reference=text_of(details, "order/invoiceNumber"),
        description=text_of(details, "order/description"),
    )


def read_refund(answer: Element, currency: str) -> list[ReportedRefund]:
    """The refund, linked to a payment or not, if it is one."""
    details = _details_of(answer)
    if not _is_refund(details):
        return []
    refund = ReportedRefund(
        external_id=_id_of(details),
        payment_id=text_of(details, "refTransId"),
        amount=_amount(details, currency),
        state=_refund_state(details),
        created_at=time_of(details, "submitTimeUTC"),
        reference=text_of(answer, "transrefId") or text_of(details, "order/invoiceNumber"),
        last4=method_of(answer).last4,
        failure=_refund_failure(details),
    )
    return [refund]


def method_of(answer: Element) -> PaymentMethod:
    """How it was paid. A wallet is a card to the processor, at times without its brand."""
    payment = "transaction/payment/"
    bank_account = text_of(answer, payment + "bankAccount/accountNumber")
    if bank_account:
        return _method("eCheck", bank_account)
    token = payment + "tokenInformation/"
    number = text_of(answer, token + "tokenNumber")
    if number:
        source = text_of(answer, token + "tokenSource")
        wallet = _WALLETS.get(source.replace(" ", "").lower(), "")
        return PaymentMethod(type="card", last4=number[-4:], wallet=wallet)
    card = payment + "creditCard/"
    return _method(text_of(answer, card + "cardType"), text_of(answer, card + "cardNumber"))


def time_of(parent: Element, path: str) -> datetime:
    """The time at the path, in UTC."""
    text = text_of(parent, path)
    try:
        return reported(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(f"{path} {text!r} is no time.") from None


def _details_of(answer: Element) -> Element:
    details = answer.find("transaction")
    if details is None:
        raise ValueError("The answer holds no transaction.")
    return details


def _is_refund(details: Element) -> bool:
    return text_of(details, "transactionType") == "refundTransaction"


def _id_of(row: Element) -> str:
    transaction_id = text_of(row, "transId")
    if not transaction_id:
        raise ValueError("It has no transId.")
    return transaction_id


def _refund_state(details: Element) -> RefundState:
    return _REFUND_STATES.get(text_of(details, "transactionStatus"), RefundState.PENDING)


def _refund_failure(details: Element) -> Failure | None:
    if _refund_state(details) is not RefundState.FAILED:
        return None
    status = text_of(details, "transactionStatus")
    return Failure(
        _REFUND_FAILURES.get(status, FailureCode.OTHER),
        processor_code=status,
        message=text_of(details, "responseReasonDescription"),
    )


def _money(parent: Element, path: str, currency: str) -> Money:
    text = text_of(parent, path)
    try:
        return parse_reported(text, currency)
    except InvalidAmount as error:
        raise ValueError(f"{path} {text!r} is no amount of {currency} ({error.code}).") from error


def _amount(details: Element, currency: str) -> Money:
    # What is only authorised, or was voided, settles as zero.
    settled = _money(details, "settleAmount", currency)
    return settled if settled.minor else _money(details, "authAmount", currency)


def _payment_status(row: Element) -> PaymentStatus:
    status = text_of(row, "transactionStatus")
    try:
        return _PAYMENT_STATUSES[status]
    except KeyError:
        raise ValueError(f"Its status {status!r} is not known.") from None


def _is_disputed(row: Element) -> bool:
    return text_of(row, "transactionStatus") in _DISPUTED


def _full_name(row: Element, path: str = "") -> str:
    return f"{text_of(row, path + 'firstName')} {text_of(row, path + 'lastName')}".strip()


def _method(account_type: str, number: str) -> PaymentMethod:
    return PaymentMethod(
        type="bank" if account_type == "eCheck" else "card",
        brand=_BRANDS.get(account_type, account_type.lower()),
        last4=number[-4:],
    )
