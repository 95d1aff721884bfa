"""Whether and how money can go back: void, refund, wait or no, and why, in a sentence.

Pure functions from the facts of a transaction and the capabilities of its processor. They are asked
when the dialog opens, when the refund is requested, and again when it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.base import Capabilities, Operation
from gateways.money import Money
from gateways.registry import gateway_class
from transactions.models import TAKEN, Transaction, TransactionStatus


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why nothing can go back now: the value of a FailureCode, and a sentence for staff."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How a refund will be done. ``waits`` means: only after settlement, by itself."""

    operation: Operation
    waits: bool
    sentence: str

    @property
    def is_now(self) -> bool:
        """Whether money goes back as soon as it can be sent: nothing is taken back or awaited."""
        return self.operation is Operation.REFUND and not self.waits


# How often a refund that waits for settlement looks again.
SETTLEMENT_CHECK = timedelta(minutes=30)


def blocked(transaction: Transaction, *, now: datetime | None = None) -> Blocked | None:
    """What stands against any refund of the transaction, or None."""
    if transaction.status not in TAKEN:
        return _not_taken(transaction)
    if transaction.disputed:
        return Blocked(
            "disputed",
            _(
                "The customer's bank has disputed this payment, so it must not be refunded here. "
                "Answer the dispute at the processor."
            ),
        )
    limit = _capabilities(transaction).refund_age_limit
    if limit and (now or timezone.now()) - transaction.created_at > limit:
        return Blocked(
            "too_old",
            _(
                "This payment is older than the %(days)d days that %(processor)s allows for "
                "refunds. Pay the customer back another way."
            )
            % {"days": limit.days, "processor": transaction.get_processor_display()},
        )
    if transaction.refundable_minor <= 0:
        return _nothing_left(transaction)
    return None


def blocked_now(transaction: Transaction) -> Blocked | None:
    """What stands against sending a refund whose money is reserved on the transaction, or None."""
    if transaction.over_refunded:
        sentence = _("More would go back than was paid, as money went back elsewhere meanwhile.")
        return Blocked("exceeds_refundable", sentence)
    found = blocked(transaction)
    # That nothing is left is true of its own money, of course.
    return None if found and found.code == "exceeds_refundable" else found


def plan(transaction: Transaction, amount: Money) -> Plan:
    """Void, refund, or refund after settlement, for a transaction that is not blocked."""
    processor = transaction.get_processor_display()
    unsettled = transaction.status == TransactionStatus.CAPTURED
    if not unsettled or not _capabilities(transaction).voids_unsettled:
        return Plan(
            Operation.REFUND, waits=False, sentence=_("It is refunded now through %s.") % processor
        )
    if amount.minor == transaction.amount_minor:
        return Plan(
            Operation.VOID,
            waits=False,
            sentence=_("The payment has not settled, so it is cancelled whole and never charged."),
        )
    return Plan(
        Operation.REFUND,
        waits=True,
        sentence=_(
            "The payment has not settled, and %s refunds a part only after settlement. "
            "The refund waits and goes out by itself."
        )
        % processor,
    )


def check_step(transaction: Transaction, amount: Money) -> Blocked | None:
    """Whether the processor takes amounts as fine as this one (whole forints, for one)."""
    step = gateway_class(transaction.processor).smallest_step(amount.currency)
    if amount.minor % step == 0:
        return None
    return Blocked(
        "invalid_amount",
        _("%(processor)s takes %(currency)s only in steps of %(step)s. Change the amount.")
        % {
            "processor": transaction.get_processor_display(),
            "currency": amount.currency,
            "step": Money(step, amount.currency).major(),
        },
    )


def _capabilities(transaction: Transaction) -> Capabilities:
    return gateway_class(transaction.processor).capabilities


def _not_taken(transaction: Transaction) -> Blocked:
    sentences = {
        TransactionStatus.AUTHORIZED: _(
            "This payment is only authorized: no money was taken, so there is nothing to refund. "
            "Release the hold at the processor."
        ),
        TransactionStatus.VOIDED: _(
            "This payment was cancelled before it settled; no money is kept."
        ),
        TransactionStatus.FAILED: _("This payment failed: no money was taken."),
    }
    return Blocked("not_captured", sentences[TransactionStatus(transaction.status)])


def _nothing_left(transaction: Transaction) -> Blocked:
    if transaction.reserved_minor:
        sentence = _("Everything that is left is already on its way back in another refund.")
    else:
        sentence = _("This payment is fully refunded; nothing is left.")
    return Blocked("exceeds_refundable", sentence)
