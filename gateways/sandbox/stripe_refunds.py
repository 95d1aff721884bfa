"""Stripe's rules of giving money back: what it accepts, refuses, and leaves pending."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import stripe_params as parameters
from .ledger import Ledger, LedgerPayment, LedgerRefund, SandboxAccount
from .magic import Magic, ending
from .stripe_objects import from_stripe, tail, to_stripe
from .stripe_params import Params, StripeError, invalid

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
CANCELLATIONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
LARGEST = 999_999_999_999
_LATER = timedelta(seconds=20)

# HTTP status and type by code, where they are not 400 and invalid_request_error.
_STATUS = {
    "resource_missing": 404,
    "card_declined": 402,
    "idempotency_key_in_use": 409,
    "external_dependency_failed": 424,
    "lock_timeout": 429,
    "rate_limit": 429,
    "api_key_expired": 401,
    "secret_key_required": 401,
}
_KIND = {"card_declined": "card_error", "idempotency_error": "idempotency_error"}
_SENTENCES = {
    "amount_too_large": "The amount is larger than this payment method allows.",
    "amount_too_small": "The amount is smaller than this payment method allows.",
    "balance_insufficient": "Your balance is too low for this refund. Add funds and try again.",
    "card_declined": "The card issuer declined the refund.",
    "charge_already_refunded": "The charge has already been refunded.",
    "charge_disputed": "The charge has been charged back by the customer's bank.",
    "charge_not_refundable": "The charge can no longer be refunded.",
    "lock_timeout": "Another request works on this object at the moment. Try again.",
    "payment_intent_unexpected_state": "The payment was never captured. Cancel it instead.",
    "rate_limit": "Too many requests hit the API too quickly.",
    "refund_disputed_payment": "The payment is under dispute and cannot be refunded.",
}
_MAGIC_REFUSALS = {
    401: "charge_not_refundable",
    402: "card_declined",
    403: "balance_insufficient",
    424: "external_dependency_failed",
    429: "lock_timeout",
}
_MAGIC_ACTION = 405

MAGIC = (
    *(
        Magic(f"refund an amount that ends in {number / 100:.2f}", f"refused with {code}")
        for number, code in _MAGIC_REFUSALS.items()
    ),
    Magic("refund an amount that ends in 4.05", "waits for the customer (requires_action)"),
    Magic("refund a payment by card …7726", "pending, then succeeded after 20 seconds"),
    Magic("refund a payment by card …5126", "succeeded, then failed after 20 seconds"),
    Magic("refund in stripe-japan", "pending for lack of balance; a bank payment fails"),
    Magic("refund a disputed payment", "refused with refund_disputed_payment or charge_disputed"),
)


def refusal(code: str, *, param: str = "") -> StripeError:
    """A refusal by its code, in the status and type that Stripe gives it."""
    status = _STATUS.get(code, 400)
    return StripeError(
        _SENTENCES.get(code, f"The request was refused: {code}."),
        status=status,
        kind=_KIND.get(code, "invalid_request_error"),
        code=code,
        param=param,
        executed=status not in (401, 409, 429),
    )


def missing(what: str, object_id: str, param: str) -> StripeError:
    return StripeError(
        f"No such {what}: '{object_id}'", status=404, code="resource_missing", param=param
    )


def find_payment(
    ledger: Ledger, account: SandboxAccount, object_id: str, *, intent: bool = False
) -> LedgerPayment | None:
    """A payment by the id of its charge, or of its payment intent."""
    if not intent:
        return ledger.payment(account, object_id)
    if not object_id.startswith("pi_"):
        return None
    rest = tail(object_id)
    return ledger.payment(account, f"ch_{rest}") or ledger.payment(account, f"py_{rest}")


class RefundDesk:
    """Makes, changes and cancels refunds. Call it with the ledger's lock held."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def create(
        self, account: SandboxAccount, params: Params, trace: dict[str, str]
    ) -> LedgerRefund:
        """A refund of a captured payment. ``trace`` is kept with it for its events."""
        wish = self._read(params)
        payment = self._payment(account, params)
        self._check_state(payment)
        left = self.ledger.refundable_minor(payment)
        if left <= 0:
            raise refusal("charge_already_refunded")
        amount = left if wish is None else self._amount(payment, wish, left)
        magic = ending(amount, payment.currency)
        if magic in _MAGIC_REFUSALS:
            raise refusal(_MAGIC_REFUSALS[magic])
        made = LedgerRefund(
            id=self.ledger.new_id("re_", 24),
            payment_id=payment.id,
            dialect="stripe",
            account=account.name,
            amount_minor=amount,
            currency=payment.currency,
            status="requires_action" if magic == _MAGIC_ACTION else "succeeded",
            created_at=self.ledger.clock.now(),
            reference=trace.get("idempotency_key", ""),
            reason=parameters.choice(params, "reason", REASONS),
            extra={"metadata": parameters.metadata(params), **trace},
        )
        self.destine(account, payment, made)
        return self.ledger.add_refund(made)

    def _read(self, params: Params) -> int | None:
        """Check what can be checked before anything runs; the amount as Stripe counts it."""
        parameters.check_known(
            params,
            *("amount", "charge", "currency", "customer", "expand", "instructions_email"),
            *("metadata", "origin", "payment_intent", "reason", "refund_application_fee"),
            "reverse_transfer",
        )
        parameters.choice(params, "reason", REASONS)
        parameters.metadata(params)
        for name in ("currency", "customer", "origin"):
            if name in params:
                raise invalid(f"{name} is for refunds of a customer balance only.", name)
        for name in ("refund_application_fee", "reverse_transfer"):
            if parameters.choice(params, name, ("true", "false")) == "true":
                raise refusal("charge_invalid_parameter", param=name)
        amount = parameters.integer(params, "amount")
        if amount is not None and amount < 1:
            raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
        if amount is not None and amount > LARGEST:
            raise invalid(f"Amount must be no more than {LARGEST}", "amount", "amount_too_large")
        return amount

    def _payment(self, account: SandboxAccount, params: Params) -> LedgerPayment:
        charge_id = parameters.text(params, "charge")
        intent_id = parameters.text(params, "payment_intent")
        if not charge_id and not intent_id:
            raise invalid("Give charge or payment_intent.", "charge", "parameter_missing")
        if charge_id and intent_id:
            raise invalid(
                "Give only one of charge and payment_intent.", "charge", "parameters_exclusive"
            )
        if intent_id:
            payment = find_payment(self.ledger, account, intent_id, intent=True)
            if not payment:
                raise missing("payment_intent", intent_id, "payment_intent")
            return payment
        payment = find_payment(self.ledger, account, charge_id)
        if not payment:
            raise missing("charge", charge_id, "charge")
        return payment

    def _check_state(self, payment: LedgerPayment) -> None:
        if payment.status == "voided":
            raise refusal("charge_already_refunded")
        if payment.status == "authorized":
            raise refusal("payment_intent_unexpected_state")
        if payment.status == "failed":
            raise refusal("charge_not_refundable")
        if payment.dispute == "chargeback":
            raise refusal("charge_disputed")
        if payment.dispute == "open":
            raise refusal("refund_disputed_payment")

    def _amount(self, payment: LedgerPayment, wish: int, left: int) -> int:
        amount = from_stripe(wish, payment.currency)
        if amount is None:
            raise refusal("invalid_charge_amount", param="amount")
        if amount > left:
            raise StripeError(
                f"Refund amount ({wish}) is greater than unrefunded amount on charge "
                f"({to_stripe(left, payment.currency)})",
                param="amount",
            )
        return amount

    def destine(self, account: SandboxAccount, payment: LedgerPayment, made: LedgerRefund) -> None:
        """Decide what becomes of a refund: done, waiting, or bound to change by itself."""
        now = self.ledger.clock.now()
        if made.status != "succeeded":
            return
        if payment.status == "captured":
            made.status = "pending"
            made.extra["pending_reason"] = "charge_pending"
            made.due_at, made.due_status = payment.due_at or now + _LATER, "succeeded"
        elif not self.ledger.pay_out(account, made.currency, made.amount_minor):
            if payment.method_type == "card":
                made.status = "pending"
                made.extra["pending_reason"] = "insufficient_funds"
            else:
                made.status, made.failure_reason = "failed", "insufficient_funds"
        elif payment.last4 == "7726":
            made.status = "pending"
            made.extra["pending_reason"] = "processing"
            made.due_at, made.due_status = now + _LATER, "succeeded"
        elif payment.last4 == "5126":
            made.failure_reason = "expired_or_canceled_card"
            made.due_at, made.due_status = now + _LATER, "failed"

    def pay_waiting(self, account: SandboxAccount) -> None:
        """Pay the refunds that waited for balance, oldest first, as far as it goes."""
        line = self.ledger.timeline(account, "refunds", "created")
        for row in line.at(range(len(line))):
            waits = (
                row.status == "pending" and row.extra.get("pending_reason") == "insufficient_funds"
            )
            if waits and self.ledger.pay_out(account, row.currency, row.amount_minor):
                self.ledger.change(row, tell="refund.succeeded", status="succeeded")

    def update(self, row: LedgerRefund, params: Params) -> LedgerRefund:
        """Change the metadata: given keys are set, keys with an empty value removed."""
        parameters.check_known(params, "expand", "metadata")
        given = parameters.metadata(params)
        kept = {} if params.get("metadata") == "" else dict(row.extra.get("metadata", {}))
        kept.update(given)
        kept = {key: value for key, value in kept.items() if value}
        self.ledger.change(row, tell="refund.updated", extra={**row.extra, "metadata": kept})
        return row

    def cancel(self, row: LedgerRefund) -> LedgerRefund:
        """Call off a refund that waits for the customer."""
        return self._end(row, "canceled", "merchant_request")

    def expire(self, row: LedgerRefund) -> LedgerRefund:
        """The customer did not answer (a test helper)."""
        return self._end(row, "failed", "unknown")

    def _end(self, row: LedgerRefund, status: str, reason: str) -> LedgerRefund:
        if row.status != "requires_action":
            raise StripeError(
                f"This refund cannot be changed: its status is {row.status}, not requires_action."
            )
        self.ledger.change(row, tell=f"refund.{status}", status=status, failure_reason=reason)
        return row

    def cancel_payment(
        self, payment: LedgerPayment, params: Params, trace: dict[str, str]
    ) -> LedgerPayment:
        """Cancel an authorised payment; the reversal is listed as a refund, as Stripe does."""
        parameters.check_known(params, "cancellation_reason", "expand")
        reason = parameters.choice(params, "cancellation_reason", CANCELLATIONS)
        if payment.status != "authorized":
            raise StripeError(
                "This PaymentIntent cannot be canceled: only one that was not captured can.",
                code="payment_intent_unexpected_state",
            )
        extra: dict[str, Any] = {"metadata": {}, **trace}
        payment.extra["cancellation_reason"] = reason
        void = LedgerRefund(
            id=self.ledger.new_id("re_", 24),
            payment_id=payment.id,
            dialect="stripe",
            account=payment.account,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            status="succeeded",
            created_at=self.ledger.clock.now(),
            operation="void",
            reference=trace.get("idempotency_key", ""),
            extra=extra,
        )
        self.ledger.void(payment, void)
        return payment
