"""The failure playbook: our failure codes → what happened, in plain words, and what to do next.

Which processor code is which of ours stands in one table per adapter.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .base import FailureCode

C = FailureCode


@dataclass(frozen=True, slots=True)
class Explanation:
    """Two translated sentences for staff."""

    explanation: str | Promise
    next_step: str | Promise


_PLAYBOOK: dict[FailureCode, Explanation] = {
    C.ALREADY_REFUNDED: Explanation(
        _("This payment was already refunded in full."),
        _("Pull the transaction again: somebody may have refunded it at the processor."),
    ),
    C.EXCEEDS_REFUNDABLE: Explanation(
        _("The amount is more than what the processor still allows to be refunded."),
        _("Pull the transaction again and refund what is left, or less."),
    ),
    C.NOT_SETTLED: Explanation(
        _("The payment has not settled yet, so the processor cannot refund it."),
        _("Cancel the whole payment now, or refund it after settlement, usually the next day."),
    ),
    C.TOO_OLD: Explanation(
        _("The payment is older than the processor's limit for refunds."),
        _("Pay the customer back another way, such as a bank transfer, and write a note."),
    ),
    C.DISPUTED: Explanation(
        _("The customer's bank has disputed this payment."),
        _("Do not refund: answer the dispute at the processor. A refund could pay twice."),
    ),
    C.INSUFFICIENT_BALANCE: Explanation(
        _("The balance at the processor does not cover this refund."),
        _("Add funds at the processor, then try again."),
    ),
    C.DECLINED_BY_BANK: Explanation(
        _("The customer's bank refused the refund."),
        _("Ask the customer for another way to return the money."),
    ),
    C.CARD_NOT_VALID: Explanation(
        _("The card or account that paid can no longer receive money, or its data do not match."),
        _("Pull the transaction again; if it is refused again, return the money another way."),
    ),
    C.PAYMENT_NOT_FOUND: Explanation(
        _("The processor does not know this payment under this account."),
        _("Check that the account belongs to the right business and mode, test or live."),
    ),
    C.NOT_REFUNDABLE: Explanation(
        _("The processor does not allow this payment to be refunded."),
        _("Look at the payment at the processor, or return the money another way."),
    ),
    C.NOT_VOIDABLE: Explanation(
        _("The payment can no longer be cancelled; it has probably settled."),
        _("Pull the transaction again and refund it."),
    ),
    C.INVALID_AMOUNT: Explanation(
        _("The processor did not accept the amount."),
        _("Check the amount and the currency's decimals, then start a new refund."),
    ),
    C.CURRENCY_NOT_ACCEPTED: Explanation(
        _("The account cannot refund in this currency."),
        _("Ask an administrator to check the account's currencies at the processor."),
    ),
    C.BLOCKED_BY_RULES: Explanation(
        _("Security or fraud rules of the processor account blocked the refund."),
        _("Ask an administrator to look at the rules in the processor's settings."),
    ),
    C.LIMIT_REACHED: Explanation(
        _("A limit of the processor or of the account is reached."),
        _("Contact the processor, or return the money another way."),
    ),
    C.ACCOUNT_PROBLEM: Explanation(
        _("The account at the processor is not set up for this refund."),
        _("Ask an administrator to contact the processor. Nothing was refunded."),
    ),
    C.CREDENTIALS: Explanation(
        _("The processor did not accept our credentials, so nothing was refunded."),
        _("Ask an administrator to enter the credentials again, then try again."),
    ),
    C.UNREACHABLE: Explanation(
        _("The processor could not be reached, so nothing was refunded."),
        _("Try again in a few minutes; if it goes on, look at the processor's status page."),
    ),
    C.RATE_LIMITED: Explanation(
        _("The processor had too many requests and turned this one away; nothing was refunded."),
        _("Try again in a few minutes."),
    ),
    C.BAD_REQUEST: Explanation(
        _("The processor found a fault in our request, so nothing was refunded."),
        _("Show this page to the people who run Refund Desk."),
    ),
    C.RETURNED: Explanation(
        _("The money came back: the customer's bank did not take the refund."),
        _("Ask the customer for another way to return the money."),
    ),
    C.OTHER: Explanation(
        _("The processor refused the refund for a reason that is not in our list."),
        _("Read the processor's own words below, or look at the payment at the processor."),
    ),
}


def explain(code: str) -> Explanation:
    """The words for one of our codes; an unlisted code reads as ``other``."""
    try:
        return _PLAYBOOK[FailureCode(code)]
    except ValueError:
        return _PLAYBOOK[FailureCode.OTHER]
