"""What moves money at Authorize.net: refunds, voids, and the duplicate window.

The order of a refund's checks is the sandbox's own choice, as the processor does not document
it: the request, duplicates, the original, the sum. Only what was accepted counts as a first
submission for the duplicate window; voids have none, for repeating one changes nothing.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from gateways.money import InvalidAmount, parse_reported

from .authorizenet_answers import (
    ALREADY_SO,
    REASONS,
    Answer,
    Outcome,
    response_code_of,
    transaction_answer,
)
from .authorizenet_orders import Order, read_order
from .authorizenet_schema import Element, Refused
from .ledger import (
    ExceedsRefundableError,
    Ledger,
    LedgerPayment,
    LedgerRefund,
    NotVoidableError,
    SandboxAccount,
    StoredAnswer,
)
from .magic import Magic, ending

# Reasons that the last three digits of an amount bring about.
_MAGIC = {401: 54, 402: 2, 403: 128, 405: 253, 429: 19}
# The processor's own test card: in its test mode the amount names the reason.
_MAGIC_LAST4 = "2222"
MAGIC = (
    *(
        Magic(
            f"refund an amount that ends in {number / 100:.2f}",
            f"{'held for review' if response_code_of(reason) == 4 else 'refused'} with {reason}",
        )
        for number, reason in _MAGIC.items()
    ),
    Magic(
        "refund N.00 of a payment by card 4222222222222",
        "answered with reason N: 2.00 declined, 50.00 not settled, 253.00 held for review, …",
    ),
)
_ACCOUNT_TYPES = {
    "visa": "Visa",
    "mastercard": "MasterCard",
    "amex": "AmericanExpress",
    "discover": "Discover",
    "jcb": "JCB",
    "diners": "DinersClub",
}
_DEFAULT_WINDOW = 120  # seconds
_CARD_NUMBER = re.compile(r"[0-9]{4}|XXXX[0-9]{4}|[0-9]{13,16}")
_EXPIRATION = re.compile(r"XXXX|(0[1-9]|1[0-2])[-/]?([0-9]{2}|[0-9]{4})|[0-9]{4}-(0[1-9]|1[0-2])")
_BANK_ACCOUNT = re.compile(r"[0-9]{4,17}|XXXX[0-9]{4}")
_ROUTING = re.compile(r"[0-9]{9}|XXXX[0-9]{4}")


class Declined(Exception):
    """A transaction that the processor does not carry out, by reason code."""

    def __init__(self, reason: int, trans_id: str = "0") -> None:
        super().__init__(REASONS[reason])
        self.reason = reason
        self.trans_id = trans_id


def create_transaction(ledger: Ledger, account: SandboxAccount, root: Element) -> Answer:
    """Carry out ``createTransactionRequest``. Raises Refused for a field that cannot be."""
    order = read_order(root)
    carry_out = {"refundTransaction": _refund, "voidTransaction": _void}.get(order.kind, _not_ours)
    try:
        outcome = carry_out(ledger, account, order)
    except Declined as declined:
        outcome = Outcome(declined.reason, declined.trans_id)
    return transaction_answer(outcome, order.ref_trans_id, order.user_fields)


def account_type(payment: LedgerPayment | None) -> str:
    """The brand as Authorize.net spells it, or eCheck."""
    if payment is None:
        return "Visa"
    if payment.method_type == "bank":
        return "eCheck"
    return _ACCOUNT_TYPES.get(payment.brand, payment.brand.title() or "Visa")


def transaction_id(serial: int) -> str:
    """Ids are numbers that grow with time."""
    return f"6{serial:010d}"


def _not_ours(_: Ledger, __: SandboxAccount, ___: Order) -> Outcome:
    """The sandbox gives money back; it takes none."""
    raise Declined(123)


def _refund(ledger: Ledger, account: SandboxAccount, order: Order) -> Outcome:
    minor = _amount_minor(order, account)
    last4 = _check_payment(order)
    first = _first_submission(ledger, account, order, minor)
    if first.record_id:
        # The first transaction's id comes only to those who sent a window.
        raise Declined(11, first.record_id if order.window is not None else "0")
    payment = _original(ledger, account, order)
    reason = _magic_reason(last4, minor, account.currency)
    if response_code_of(reason) not in (1, 4):
        raise Declined(reason)
    checked = not account.settings.expanded_credit
    if payment and checked:
        _check_original(ledger, account, payment, last4)
    refund = _new_refund(ledger, account, order, minor, reason)
    refund.payment_id = payment.id if payment else ""
    refund.extra["last4"] = last4
    try:
        ledger.add_refund(refund, enforce_cap=checked)
    except ExceedsRefundableError:
        raise Declined(55) from None
    first.record_id = refund.id
    ledger.keep_answer(first)
    return Outcome(reason, refund.id, f"XXXX{last4}", account_type(payment))


def _new_refund(
    ledger: Ledger, account: SandboxAccount, order: Order, minor: int, reason: int
) -> LedgerRefund:
    now = ledger.clock.now()
    serial = ledger.next_serial()
    held = reason != 1
    waits = account.settings.settles_nightly
    return LedgerRefund(
        id=transaction_id(serial),
        payment_id="",
        dialect=account.dialect,
        account=account.name,
        amount_minor=minor,
        currency=account.currency,
        status="requires_action" if held else "pending" if waits else "succeeded",
        created_at=now,
        reference=order.invoice_number,
        settled_at=None if held or waits else now,
        extra={"ref_id": order.ref_id},
        serial=serial,
    )


def _first_submission(
    ledger: Ledger, account: SandboxAccount, order: Order, minor: int
) -> StoredAnswer:
    """The earlier equal request within its window, or a new record without ``record_id``."""
    fingerprint = order.fingerprint(account.credentials["api_login_id"], minor)
    first = ledger.answers.get((account.name, f"duplicate-{fingerprint}"))
    now = ledger.clock.now()
    seconds = _DEFAULT_WINDOW if order.window is None else order.window
    if first and now - first.at < timedelta(seconds=seconds):
        return first
    return StoredAnswer(account.name, f"duplicate-{fingerprint}", fingerprint, at=now, status=200)


def _original(ledger: Ledger, account: SandboxAccount, order: Order) -> LedgerPayment | None:
    """The payment to refund; None where the account may give credit without one."""
    trans_id = order.ref_trans_id
    if trans_id and not re.fullmatch("[0-9]+", trans_id):
        raise Declined(15)
    payment = ledger.payment(account, trans_id)
    if payment is None and not account.settings.expanded_credit:
        raise Declined(16 if trans_id else 54)
    return payment


def _check_original(
    ledger: Ledger, account: SandboxAccount, payment: LedgerPayment, last4: str
) -> None:
    """Raise reason 54 unless the payment is settled, young enough, undisputed, and of this card."""
    settings = account.settings
    accepted = ("settled", "captured") if settings.refund_before_settlement else ("settled",)
    age_limit = timedelta(days=settings.refund_age_days)
    age = ledger.clock.now() - (payment.settled_at or payment.created_at)
    if (
        payment.status not in accepted
        or payment.dispute in ("open", "chargeback")
        or last4 != payment.last4
        or (age_limit and age > age_limit)
    ):
        raise Declined(54)


def _magic_reason(last4: str, minor: int, currency: str) -> int:
    """The reason that a test amount asks for; 1 (approved) for all others."""
    whole, hundredths = divmod(minor, 100)
    if last4 == _MAGIC_LAST4 and not hundredths and whole in REASONS.keys() - ALREADY_SO:
        return whole
    return _MAGIC.get(ending(minor, currency), 1)


def _void(ledger: Ledger, account: SandboxAccount, order: Order) -> Outcome:
    trans_id = order.ref_trans_id
    refund = ledger.refund(account, trans_id)
    if refund is not None and refund.operation == "refund":
        _void_refund(ledger, account, refund)
        payment = ledger.payments.get(refund.payment_id)
    else:
        payment = _void_payment(ledger, account, order)
    last4 = payment.last4 if payment else ""
    return Outcome(1, trans_id, f"XXXX{last4}", account_type(payment))


def _void_refund(ledger: Ledger, account: SandboxAccount, refund: LedgerRefund) -> None:
    if refund.status == "canceled":
        raise Declined(310)
    if refund.status not in ("pending", "requires_action"):
        raise Declined(311)
    if not account.settings.voids_refunds:
        raise Declined(175)
    ledger.change(refund, tell="refund.canceled", status="canceled")


def _void_payment(ledger: Ledger, account: SandboxAccount, order: Order) -> LedgerPayment:
    payment = ledger.payment(account, order.ref_trans_id)
    if payment is None or payment.status == "failed":
        raise Declined(16)
    if payment.status == "voided":
        raise Declined(310)
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
        reference=order.ref_id,
    )
    try:
        ledger.void(payment, record)
    except NotVoidableError:
        raise Declined(311) from None
    return payment


def _amount_minor(order: Order, account: SandboxAccount) -> int:
    if order.currency and order.currency != account.currency:
        raise Declined(39)
    try:
        # The schema allows .5 and 5. too.
        text = format(Decimal(order.amount or "0"), "f")
        minor = parse_reported(text, account.currency).minor
    except InvalidAmount:
        raise Declined(5) from None
    if minor <= 0:
        raise Declined(5)
    return minor


def _check_payment(order: Order) -> str:
    """The last four digits of what is to be credited."""
    match order.method:
        case "creditCard":
            if not _CARD_NUMBER.fullmatch(order.number):
                raise Declined(6)
            if not _EXPIRATION.fullmatch(order.check):
                raise Declined(7)
        case "bankAccount":
            if not _ROUTING.fullmatch(order.check):
                raise Declined(9)
            if not _BANK_ACCOUNT.fullmatch(order.number):
                raise Declined(10)
        case "profile":
            raise Refused("E00040", "The customer profile cannot be found.")
        case "other":
            raise Refused("E00155", "This payment method is not supported by the processor.")
        case _:
            raise Declined(33)
    return order.number[-4:]
