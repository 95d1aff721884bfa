"""Reads what Stripe reports: its charges, refunds and amounts in our words.

Every function takes parsed JSON and raises ValueError, with a sentence, for a record that it
cannot read.
"""

from __future__ import annotations

from typing import Any

from .base import (
    Failure,
    FailureCode,
    Operation,
    Payer,
    Payment,
    PaymentMethod,
    PaymentStatus,
    RefundOrder,
    RefundState,
    ReportedRefund,
)
from .json_fields import integer_at, text_at, unix_time_at, value_at
from .money import CURRENCIES, Money, exponent_of
from .refusals import STRIPE, STRIPE_GAVE_UP

REFERENCE_KEY = "refund_desk_reference"  # where a refund's metadata carry our reference

# Stripe counts some currencies otherwise than ISO 4217 does (ISK, UGX, MGA, IQD …).
_NO_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD JOD KWD OMR TND"
_DECIMALS = {**dict.fromkeys(_NO_DECIMALS.split(), 0), **dict.fromkeys(_THREE_DECIMALS.split(), 3)}

_REFUND_STATES = {
    "succeeded": RefundState.SUCCEEDED,
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
_CARDS = {"card", "card_present", "interac_present"}
_BANKS = frozenset(
    "acss_debit ach_credit_transfer ach_debit au_becs_debit bacs_debit bancontact blik "
    "customer_balance eps fpx giropay ideal multibanco p24 pay_by_bank sepa_debit sofort "
    "us_bank_account".split()
)
_WALLETS = frozenset(
    "alipay amazon_pay cashapp link mobilepay paypal revolut_pay wechat_pay".split()
)
_ORDER_KEYS = ("order_reference", "order_id", "order_number", "order")


def to_stripe(money: Money) -> int:
    """The amount as Stripe counts it. Raises ValueError where it would have to be rounded."""
    return _rescale(money.minor, exponent_of(money.currency), _decimals(money.currency))


def from_stripe(amount: int, currency: str) -> Money:
    """What Stripe counts in its own smallest unit, in ISO 4217's."""
    code = currency.upper()
    if code not in CURRENCIES:
        raise ValueError(f"the currency {currency!r} is not known")
    return Money(_rescale(amount, _decimals(code), exponent_of(code)), code)


def smallest_step(currency: str) -> int:
    """Stripe takes three-decimal currencies with a last digit of 0, and whole MGA only."""
    if _decimals(currency) == 3:
        return 10
    return int(10 ** max(0, exponent_of(currency) - _decimals(currency)))


def read_charge(charge: object) -> Payment:
    """A charge, which is one movement of money, as a payment."""
    captured = value_at(charge, "captured") is True
    amount_field = "amount_captured" if captured else "amount"
    metadata = value_at(charge, "metadata")
    return Payment(
        external_id=_id(charge),
        amount=from_stripe(integer_at(charge, amount_field), text_at(charge, "currency")),
        status=_payment_status(charge, captured=captured),
        created_at=unix_time_at(charge, "created"),
        disputed=value_at(charge, "disputed") is True,
        payer=Payer(
            name=text_at(charge, "billing_details", "name"),
            email=text_at(charge, "billing_details", "email") or text_at(charge, "receipt_email"),
        ),
        method=_method(value_at(charge, "payment_method_details")),
        order_reference=next(
            (text_at(metadata, key) for key in _ORDER_KEYS if text_at(metadata, key)), ""
        ),
        description=text_at(charge, "description"),
        related_ids=tuple(filter(None, [_reference_to(charge, "payment_intent")])),
    )


def read_refund(refund: object) -> ReportedRefund:
    """A refund. A status that is not known yet is a ValueError: it proves nothing."""
    status = text_at(refund, "status")
    if status not in _REFUND_STATES:
        raise ValueError(f"the status {status!r} is not known")
    failure = None
    if _REFUND_STATES[status] is RefundState.FAILED:
        reason = text_at(refund, "failure_reason")
        code = STRIPE_GAVE_UP.get(reason, FailureCode.OTHER)
        failure = Failure(code, reason or status, f"Stripe reports the refund as {status}.")
    # Cancelling an authorisation is listed as a refund that moved no balance.
    is_reversal = status == "succeeded" and value_at(refund, "balance_transaction") is None
    return ReportedRefund(
        external_id=_id(refund),
        payment_id=_reference_to(refund, "charge"),
        amount=from_stripe(integer_at(refund, "amount"), text_at(refund, "currency")),
        state=_REFUND_STATES[status],
        created_at=unix_time_at(refund, "created"),
        operation=Operation.VOID if is_reversal else Operation.REFUND,
        reference=text_at(refund, "metadata", REFERENCE_KEY),
        failure=failure,
    )


def failure_code(status: int, kind: str, code: str, param: str, message: str) -> FailureCode | None:
    """Our code for a refusal that certainly moved no money; None for anything else."""
    if kind in STRIPE.open or status not in {400, 402, 404}:
        return None
    if code in STRIPE.refused:
        return STRIPE.refused[code]
    if param == "amount" and not code and "unrefunded amount" in message:
        return FailureCode.EXCEEDS_REFUNDABLE
    if status == 402:  # request failed, which is documented as a refusal whatever its code
        return STRIPE.refused.get(kind, FailureCode.OTHER)
    return None


def intent_of(order: RefundOrder) -> str:
    return next((related for related in order.related_ids if related.startswith("pi_")), "")


def is_canceled(order: RefundOrder, intent: object) -> bool:
    """Whether the payment intent of the order was cancelled before it was captured."""
    amount = from_stripe(integer_at(intent, "amount"), text_at(intent, "currency"))
    if (text_at(intent, "id"), amount) != (intent_of(order), order.amount):
        raise ValueError(f"it tells of another payment, {text_at(intent, 'id')} of {amount}")
    return text_at(intent, "status") == "canceled"


def _decimals(currency: str) -> int:
    return _DECIMALS.get(currency, 2)


def _rescale(amount: int, decimals: int, wanted: int) -> int:
    if wanted >= decimals:
        return amount * int(10 ** (wanted - decimals))
    whole, rest = divmod(amount, int(10 ** (decimals - wanted)))
    if rest:
        raise ValueError(f"the amount {amount} is finer than the currency")
    return whole


def _id(record: object) -> str:
    if not text_at(record, "id"):
        raise ValueError("the id is missing")
    return text_at(record, "id")


def _reference_to(record: object, field: str) -> str:
    """The id of another object, which stands there as a text or, expanded, as the object itself."""
    target = value_at(record, field)
    return text_at(target, "id") if isinstance(target, dict) else text_at(record, field)


def _payment_status(charge: object, *, captured: bool) -> PaymentStatus:
    status = text_at(charge, "status")
    if status == "succeeded" and not captured:
        released = value_at(charge, "refunded") is True
        return PaymentStatus.VOIDED if released else PaymentStatus.AUTHORIZED
    known = {
        "succeeded": PaymentStatus.SETTLED,
        "pending": PaymentStatus.CAPTURED,  # on its way, as with a bank debit
        "failed": PaymentStatus.FAILED,
    }
    if status not in known:
        raise ValueError(f"the status {status!r} is not known")
    return known[status]


def _method(details: Any) -> PaymentMethod:
    kind = text_at(details, "type")
    own = value_at(details, kind)
    if kind in _CARDS:
        wallet = text_at(own, "wallet", "type")
        return PaymentMethod("card", text_at(own, "brand"), text_at(own, "last4"), wallet)
    if kind in _BANKS:
        return PaymentMethod("bank", kind, text_at(own, "last4") or text_at(own, "iban_last4"))
    if kind in _WALLETS:
        return PaymentMethod("wallet", wallet=kind)
    return PaymentMethod("other", kind)
